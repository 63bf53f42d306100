"""Entry point of scripts/evaluate-teaching: measures the chosen parts, and prints and writes their tables."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from evaluation.progress import report
from home_evaluation.report import Part

from daemon.core.errors import InputError, Refused
from teaching_evaluation.base import base_part
from teaching_evaluation.embedding import Clips, hear_clips, read_photos
from teaching_evaluation.pairs import pairs_part
from teaching_evaluation.place import place_part
from teaching_evaluation.sounds import classes_part, foreign_part
from teaching_evaluation.states import states_part
from teaching_evaluation.subject import Subject

SHARED = Path("../shared")
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
    names = list(PARTS) if "all" in options.part else options.part
    if not (options.shared / "datasets").is_dir():
        where = options.shared / "datasets"
        report(f"scripts/evaluate-teaching: no data sets in {where}; give their folder with --shared")
        return 1
    if options.json and not options.json.parent.is_dir():
        report(f"scripts/evaluate-teaching: {options.json.parent} is not a folder; make it first, or change --json")
        return 1
    try:
        evaluation = Evaluation(options)
        parts = _measured(evaluation, names)
    except (Refused, InputError) as error:
        report(f"scripts/evaluate-teaching: {error}")
        return 1
    met = [row.met for part in parts.values() for row in part.rows if row.met is not None]
    print(f"\n{sum(met)} of {len(met)} targets met")
    if options.json:
        document = {
            "bundle": evaluation.subject.manifest.id,
            "seeds": options.seeds,
            "parts": {name: part.to_json() for name, part in parts.items()},
        }
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _measured(evaluation: Evaluation, names: list[str]) -> dict[str, Part]:
    print(f"# {evaluation.subject.manifest.id}")
    parts = {}
    for name in names:
        start_s = time.monotonic()
        report(f"{name} ...")
        parts[name] = PARTS[name](evaluation)
        print(f"\n## {name} ({time.monotonic() - start_s:.0f} s)\n", *parts[name].lines(), sep="\n", flush=True)
    return parts


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
        "--shared", type=Path, default=SHARED, metavar="DIR", help="folder with datasets/ (default: %(default)s)"
    )
    parser.add_argument(
        "--part", nargs="+", choices=[*PARTS, "all"], default=["all"], help="measure only these parts (default: all)"
    )
    parser.add_argument(
        "--seeds", type=_count, default=1, metavar="N", help="choose the presses anew N times (default: %(default)s)"
    )
    parser.add_argument(
        "--cache", type=Path, default=CACHE, metavar="DIR", help="folder that keeps embeddings (default: %(default)s)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write all rows and tables to this file, as JSON"
    )
    return parser


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("expected a whole number from 1 up")
    return count


if __name__ == "__main__":
    sys.exit(main())
