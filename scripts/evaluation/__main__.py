"""Entry point of scripts/evaluate-digits: measures the chosen groups, and prints and writes their tables."""

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
from evaluation.progress import report
from evaluation.quantized import FLOAT_BUNDLE, has_float_bundle, lost_rows
from evaluation.rows import Row, render
from evaluation.single import image_rows, sound_rows, text_rows
from evaluation.streams import rows as stream_rows
from evaluation.subject import Subject
from evaluation.unheard import Kind, unheard_rows

DATA = Path("../shared/datasets")
BUNDLE = Path("models/digits")
BASELINE = Path("build/baseline")

DESCRIPTION = "Measure a bundle on held-out data with the daemon's code, and print the tables of docs/models.md."
EPILOG = """Every row has its number of items, the 95 % interval and the target. All groups take about half an hour.
Some groups also train networks. These are stored in build/ and used again:
  unheard, quantized   five networks, two at a time, about 20 minutes each
  baseline             one network, about 40 minutes
  missing              seven heads every time, about 5 minutes
`quantized` compares with the same bundle in float32. scripts/train writes that bundle to build/digits-float.
It measures both bundles in all groups about recognition, unless the same run has measured them already.

example: scripts/evaluate-digits --only image text --json build/rows.json"""


class Evaluation:
    """Measures one bundle. Data that several groups need is made once."""

    def __init__(self, directory: Path, kind: Kind = "int8") -> None:
        self.directory, self.kind = directory, kind
        self.subject = Subject(directory)
        self._measured: dict[str, list[Row]] = {}

    @cached_property
    def embedded(self) -> Embedded:
        """The test part of the data, embedded by the bundle's encoders."""
        return Embedded(self.subject, _held_out())

    def rows(self, group: str) -> list[Row]:
        """The rows of one group, measured on the first call."""
        if group not in self._measured:
            self._measured[group] = GROUPS[group](self)
        return self._measured[group]


@cache
def _held_out() -> HeldOut:
    return load_held_out(DATA)


def _quantized(run: Evaluation) -> list[Row]:
    """The loss of this bundle against the same bundle in float32, in every group about recognition."""
    if not has_float_bundle():
        return []
    float_bundle = Evaluation(FLOAT_BUNDLE, "float32")
    return [row for group in RECOGNISING for row in lost_rows(run.rows(group), float_bundle.rows(group))]


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
    """Print the table of each group when it is ready; returns the exit code."""
    arguments = _parser().parse_args()
    if not DATA.is_dir():
        report(f"scripts/evaluate-digits: no data sets in {DATA}. docs/models.md lists them.")
        return 1
    try:
        evaluation = Evaluation(arguments.bundle)
    except (Refused, ValueError) as error:
        report(f"scripts/evaluate-digits: {error}")
        return 1
    print(f"# {evaluation.subject.bundle.manifest.id}")
    table = {}
    for name in arguments.only or GROUPS:
        start = time.monotonic()
        report(f"{name} ...")
        table[name] = evaluation.rows(name)
        print(f"\n## {name} ({time.monotonic() - start:.0f} s)\n", *render(table[name]), sep="\n", flush=True)
    targets_met = [row.met for group in table.values() for row in group if row.met is not None]
    print(f"\n{sum(targets_met)} of {len(targets_met)} targets met")
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
        "--bundle", type=Path, default=BUNDLE, metavar="DIR", help="bundle to measure (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all rows to this file, as JSON")
    parser.add_argument(
        "--only", nargs="+", choices=GROUPS, metavar="GROUP", help=f"measure only these groups: {', '.join(GROUPS)}"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
