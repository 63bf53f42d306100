"""Entry of scripts/evaluate-digits: which tables, of which bundle, printed and written."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path

from daemon.core.errors import Refused
from evaluation.baseline import rows as baseline_rows
from evaluation.footprint import size_rows, speed_rows
from evaluation.fused import contradiction_rows, fused_rows
from evaluation.held_out import Embedded, HeldOut, load_held_out
from evaluation.moments import calibration_rows, missing_rows
from evaluation.progress import tell
from evaluation.quantized import TWIN, has_twin, lost_rows
from evaluation.rows import Row, render
from evaluation.single import image_rows, sound_rows, text_rows
from evaluation.streams import rows as stream_rows
from evaluation.subject import Subject
from evaluation.unheard import Kind, unheard_rows

DATA = Path("../shared/datasets")
BUNDLE = Path("models/digits")
BASELINE = Path("build/baseline")

DESCRIPTION = "Print what docs/models.md reports: a bundle on held-out data, through the daemon's own code."
EPILOG = """Every row says how many items it is from, the 95 % interval and the target. About half an hour for all, but
some groups train networks, which are kept in build/ and used again: `unheard` and `quantized` five (about 20 minutes
each, two at a time), `baseline` one (about 40 minutes); `missing` fits seven heads every time (about 5 minutes).
`quantized` measures the float32 twin in build/digits-float, which scripts/train writes, in all groups that say how
well a bundle recognises, and this bundle too where that was not done in the same run.

example: scripts/evaluate-digits --only image text --json build/rows.json"""


class Evaluation:
    """One bundle, and what is measured of it; what several groups need is made once."""

    def __init__(self, directory: Path, kind: Kind = "int8") -> None:
        self.directory, self.kind = directory, kind
        self.subject = Subject(directory)
        self._measured: dict[str, list[Row]] = {}

    @cached_property
    def embedded(self) -> Embedded:
        """The test part of the data as the bundle's encoders see it."""
        return Embedded(self.subject, _held_out())

    def rows(self, group: str) -> list[Row]:
        """The rows of one group, measured when first asked for."""
        if group not in self._measured:
            self._measured[group] = GROUPS[group](self)
        return self._measured[group]


@cache
def _held_out() -> HeldOut:
    return load_held_out(DATA)


def _quantized(run: Evaluation) -> list[Row]:
    """What this bundle loses against its float32 twin, in every group that says how well it recognises."""
    if not has_twin():
        return []
    twin = Evaluation(TWIN, "float32")
    return [row for group in RECOGNISING for row in lost_rows(run.rows(group), twin.rows(group))]


GROUPS: dict[str, Callable[[Evaluation], list[Row]]] = {
    "image": lambda run: image_rows(run.embedded),
    "sound": lambda run: sound_rows(run.embedded, DATA),
    "unheard": lambda run: unheard_rows(run.subject.bundle, run.kind, DATA, _held_out().noises),
    "text": lambda run: text_rows(run.embedded),
    "fused": lambda run: fused_rows(run.embedded),
    "missing": lambda run: missing_rows(run.embedded, DATA),
    "contradiction": lambda run: contradiction_rows(run.embedded),
    "streams": lambda run: stream_rows(run.directory, DATA),
    "calibration": lambda run: calibration_rows(run.embedded),
    "quantized": _quantized,
    "footprint": lambda run: [*size_rows(run.subject), *speed_rows(run.subject)],
    "baseline": lambda _: baseline_rows(BASELINE, DATA),
}
RECOGNISING = ("image", "sound", "unheard", "text", "fused", "missing", "contradiction", "streams", "calibration")


def main() -> int:
    """Print a table of each group as soon as it is there; returns the exit code."""
    arguments = _parser().parse_args()
    if not DATA.is_dir():
        tell(f"scripts/evaluate-digits: no data sets at {DATA}; see docs/models.md")
        return 1
    try:
        evaluation = Evaluation(arguments.bundle)
    except (Refused, ValueError) as error:
        tell(f"scripts/evaluate-digits: {error}")
        return 1
    print(f"# {evaluation.subject.bundle.manifest.id}")
    table = {}
    for name in arguments.only or GROUPS:
        start = time.monotonic()
        tell(f"{name} ...")
        table[name] = evaluation.rows(name)
        print(f"\n## {name} ({time.monotonic() - start:.0f} s)\n", *render(table[name]), sep="\n", flush=True)
    judged = [row.met for group in table.values() for row in group if row.met is not None]
    print(f"\n{sum(judged)} of {len(judged)} targets met")
    if arguments.json:
        groups = {name: [row.to_json() for row in group] for name, group in table.items()}
        document = {"bundle": evaluation.subject.bundle.manifest.id, "groups": groups}
        arguments.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate-digits",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--bundle", type=Path, default=BUNDLE, metavar="DIR", help="what is measured (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all rows there")
    parser.add_argument(
        "--only", nargs="+", choices=GROUPS, metavar="GROUP", help=f"some of the groups: {', '.join(GROUPS)}"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
