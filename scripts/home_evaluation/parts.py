"""Measures the chosen parts of an evaluation one after the other, and prints and writes their tables."""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from evaluation.progress import report

from home_evaluation.report import Part

SHARED = Path("../shared")

RunT = TypeVar("RunT")


def add_options(parser: argparse.ArgumentParser, parts: Mapping[str, object]) -> None:
    """Add the options of every evaluation in parts."""
    parser.add_argument(
        "--shared", type=Path, default=SHARED, metavar="DIR", help="folder with datasets/ (default: %(default)s)"
    )
    parser.add_argument(
        "--part", nargs="+", choices=[*parts, "all"], default=["all"], help="measure only these parts (default: all)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write all rows and tables to this file, as JSON"
    )


def problem_of(options: argparse.Namespace) -> str | None:
    """Return what is wrong with the folders of the options; None: nothing."""
    if not (options.shared / "datasets").is_dir():
        return f"no data sets in {options.shared / 'datasets'}; give their folder with --shared"
    if options.json and not options.json.parent.is_dir():
        return f"{options.json.parent} is not a folder; make it first, or change --json"
    return None


def names_of(options: argparse.Namespace, parts: Mapping[str, object]) -> list[str]:
    """Return the names of the parts that the options choose."""
    return list(parts) if "all" in options.part else options.part


def measured(run: RunT, parts: Mapping[str, Callable[[RunT], Part]], names: list[str]) -> dict[str, Part]:
    """Measure these parts, and print the tables of each when they are ready, and at last how many targets are met."""
    found = {}
    for name in names:
        start_s = time.monotonic()
        report(f"{name} ...")
        found[name] = parts[name](run)
        print(f"\n## {name} ({time.monotonic() - start_s:.0f} s)\n", *found[name].lines(), sep="\n", flush=True)
    met = [row.met for part in found.values() for row in part.rows if row.met is not None]
    print(f"\n{sum(met)} of {len(met)} targets met")
    return found


def write_json(path: Path, about: Mapping[str, object], parts: Mapping[str, Part]) -> None:
    """Write what was measured, and the rows and tables of each part."""
    document = {**about, "parts": {name: part.to_json() for name, part in parts.items()}}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def count_from_1(text: str) -> int:
    """Return the number of an option. Raises ArgumentTypeError when it is below 1."""
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("expected a whole number from 1 up")
    return count
