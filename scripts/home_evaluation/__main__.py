"""Entry point of scripts/evaluate-home: measures the chosen parts, and prints and writes their tables."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from evaluation.progress import report

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.core.errors import InputError, Refused
from daemon.core.records import Modality
from home_evaluation.classes import Classes, load_classes
from home_evaluation.fused import RAIN, fused_part
from home_evaluation.hours import hours_part
from home_evaluation.material import HELD_OUT_FOLDS, Clip, clips
from home_evaluation.midi import check_renderer
from home_evaluation.mixtures import mixtures_part
from home_evaluation.parts import add_options, count_from_1, measured, names_of, problem_of, write_json
from home_evaluation.pictures import PERSON, Picture, Seen, load_pictures, people_part, see, sights_part
from home_evaluation.report import Part
from home_evaluation.sounds import Heard, hear, sounds_part

MAX_HOURS = 100

DESCRIPTION = """Measure a bundle of household sounds and sights through the daemon's streaming code.
docs/models.md says what each part measures."""
EPILOG = """All parts take about twenty minutes on two cores. Speech needs espeak-ng. The part `hours` needs fluidsynth:
  apt-get install fluidsynth timgm6mb-soundfont

example: scripts/evaluate-home --bundle ~/.local/share/perceptd/bundles/home --part sounds --json build/home.json"""


class Evaluation:
    """Measures one bundle. What several parts need is measured once."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.bundle: Path = arguments.bundle
        self.manifest: Manifest = load_bundle(arguments.bundle).manifest
        self.classes: Classes = load_classes()
        self.hours: float = arguments.hours
        self.every: int = arguments.every
        self._data: Path = arguments.shared / "datasets"
        self._folds: tuple[int, ...] = tuple(arguments.folds)

    @cached_property
    def clips(self) -> Mapping[str, list[Clip]]:
        """The clips by class, of the classes whose label the bundle has."""
        found = clips(self._data, self._folds)
        lacking = sorted(name for name in found if self.classes.of(name).label not in self.manifest.labels)
        if lacking:
            report(f"left out, because the bundle lacks their labels: {', '.join(lacking)}")
        return {name: of_class[:: self.every] for name, of_class in found.items() if name not in lacking}

    @cached_property
    def heard(self) -> list[Heard]:
        """Every clip alone."""
        return hear(self.bundle, self.clips, self.classes)

    @cached_property
    def pictures(self) -> list[Picture]:
        """The pictures."""
        return load_pictures(self._data, self.every)

    @cached_property
    def seen(self) -> list[Seen]:
        """Every picture alone."""
        return see(self.bundle, self.pictures)

    def lacking(self, part: str) -> str | None:
        """What the bundle or the data set lacks for a part; None: nothing."""
        for sense in SENSES[part]:
            if sense not in self.manifest.senses:
                return f"encoder of {sense} in the bundle"
        if part == "people" and PERSON not in self.manifest.labels:
            return f"label {PERSON} in the bundle"
        if part == "fused" and RAIN not in self.clips:
            return f"sound of {RAIN}"
        return None


def _sounds(run: Evaluation) -> Part:
    return sounds_part(run.heard, run.manifest.labels, run.manifest.background)


def _mixtures(run: Evaluation) -> Part:
    return mixtures_part(run.bundle, run.manifest, run.heard, run.clips, run.classes, run.every)


def _sights(run: Evaluation) -> Part:
    return sights_part(run.seen, run.classes.pictures, run.manifest.labels)


def _people(run: Evaluation) -> Part:
    return people_part(run.seen, run.manifest.labels)


def _fused(run: Evaluation) -> Part:
    return fused_part(run.bundle, run.manifest, run.pictures, run.clips, run.classes, run.every)


def _hours(run: Evaluation) -> Part:
    return hours_part(run.bundle, run.manifest, run.clips, run.classes, run.hours)


PARTS: Mapping[str, Callable[[Evaluation], Part]] = {
    "sounds": _sounds,
    "mixtures": _mixtures,
    "sights": _sights,
    "people": _people,
    "fused": _fused,
    "hours": _hours,
}
SENSES: Mapping[str, Sequence[Modality]] = {
    "sounds": ("audio",),
    "mixtures": ("audio",),
    "sights": ("image",),
    "people": ("image",),
    "fused": ("image", "audio"),
    "hours": ("audio",),
}


def main(arguments: list[str] | None = None) -> int:
    """Print the tables of each part when they are ready; returns the exit code."""
    options = _parser().parse_args(arguments)
    names = names_of(options, PARTS)
    if (problem := problem_of(options)) is not None:
        report(f"scripts/evaluate-home: {problem}")
        return 1
    try:
        if "hours" in names:
            check_renderer()
        evaluation = Evaluation(options)
        print(f"# {evaluation.manifest.id}")
        parts = measured(evaluation, PARTS, [name for name in names if _can_be_measured(name, evaluation)])
    except (Refused, InputError) as error:
        report(f"scripts/evaluate-home: {error}")
        return 1
    if options.json:
        about = {"bundle": evaluation.manifest.id, "folds": options.folds, "every": options.every}
        write_json(options.json, about, parts)
    return 0


def _can_be_measured(name: str, evaluation: Evaluation) -> bool:
    lacking = evaluation.lacking(name)
    if lacking is not None:
        report(f"{name}: left out, because there is no {lacking}")
    return lacking is None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate-home",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="bundle to measure")
    parser.add_argument(
        "--folds",
        nargs="+",
        type=int,
        choices=(1, 2, 3, 4),
        default=list(HELD_OUT_FOLDS),
        metavar="FOLD",
        help="folds of the sounds (default: 3 4; 1 and 2 are what the bundle is calibrated on)",
    )
    parser.add_argument("--hours", type=_hours_above_0, default=1.0, help="hours of speech, and of music (default: 1)")
    parser.add_argument(
        "--every",
        type=count_from_1,
        default=1,
        metavar="N",
        help="measure one in N clips, pictures and pairs (default: all)",
    )
    add_options(parser, PARTS)
    return parser


def _hours_above_0(text: str) -> float:
    if not 0 < (hours := float(text)) <= MAX_HOURS:
        raise argparse.ArgumentTypeError(f"expected a number above 0, at most {MAX_HOURS}")
    return hours


if __name__ == "__main__":
    sys.exit(main())
