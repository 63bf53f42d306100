"""Entry point of scripts/evaluate-teaching: measures the chosen parts, and prints and writes their tables."""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from evaluation.progress import report
from home_evaluation.parts import add_options, count_from_1, measured, names_of, problem_of, write_json
from home_evaluation.report import Part

from daemon.core.errors import InputError, Refused
from teaching_evaluation.base import base_part
from teaching_evaluation.embedding import Clips, hear_clips, read_photos
from teaching_evaluation.pairs import pairs_part
from teaching_evaluation.place import place_part
from teaching_evaluation.sounds import classes_part, foreign_part
from teaching_evaluation.states import states_part
from teaching_evaluation.subject import Subject

DIGITS = Path("models/digits")
CACHE = Path("~/.cache/perceptd/teaching")

DESCRIPTION = """Measure taught labels: presses of some recordings are taught, and held-out recordings are recognised.
docs/models.md says what each part measures."""
EPILOG = """All parts take about ten minutes on two cores, and about three more when no embeddings are kept yet.

example: scripts/evaluate-teaching --bundle ~/.local/share/perceptd/bundles/home --part place"""


class Evaluation:
    """Measures teaching with one bundle. What several parts need is read once."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.subject = Subject(arguments.bundle, arguments.cache.expanduser())
        self.data: Path = arguments.shared / "datasets"
        self.digits: Path = arguments.digits
        self.seeds: int = arguments.seeds

    @cached_property
    def clips(self) -> Clips:
        """All clips of the data set."""
        return hear_clips(self.subject.bundle, self.data, self.subject.folder)


def _classes(run: Evaluation) -> Part:
    return classes_part(run.subject, run.clips, run.seeds)


def _foreign(run: Evaluation) -> Part:
    return foreign_part(run.subject, run.clips, run.seeds)


def _place(run: Evaluation) -> Part:
    return place_part(run.subject, run.clips, run.seeds)


def _pairs(run: Evaluation) -> Part:
    return pairs_part(run.subject, run.clips, read_photos(run.data), run.seeds)


def _states(run: Evaluation) -> Part:
    return states_part(run.subject, run.seeds)


def _base(run: Evaluation) -> Part:
    return base_part(run.subject, run.clips, run.digits, run.data)


PARTS: Mapping[str, Callable[[Evaluation], Part]] = {
    "classes": _classes,
    "foreign": _foreign,
    "place": _place,
    "pairs": _pairs,
    "states": _states,
    "base": _base,
}


def main(arguments: list[str] | None = None) -> int:
    """Print the tables of each part when they are ready; returns the exit code."""
    options = _parser().parse_args(arguments)
    if (problem := problem_of(options)) is not None:
        report(f"scripts/evaluate-teaching: {problem}")
        return 1
    try:
        evaluation = Evaluation(options)
        print(f"# {evaluation.subject.manifest.id}")
        parts = measured(evaluation, PARTS, names_of(options, PARTS))
    except (Refused, InputError) as error:
        report(f"scripts/evaluate-teaching: {error}")
        return 1
    if options.json:
        write_json(options.json, {"bundle": evaluation.subject.manifest.id, "seeds": options.seeds}, parts)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate-teaching",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="bundle `home` to teach")
    parser.add_argument(
        "--digits", type=Path, default=DIGITS, metavar="DIR", help="bundle `digits` to teach (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds",
        type=count_from_1,
        default=1,
        metavar="N",
        help="choose the presses anew N times (default: %(default)s)",
    )
    parser.add_argument(
        "--cache", type=Path, default=CACHE, metavar="DIR", help="folder that keeps embeddings (default: %(default)s)"
    )
    add_options(parser, PARTS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
