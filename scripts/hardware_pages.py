"""Writes docs/hardware.md from the reports in docs/hardware, the schema of a report, and the words that it may have."""

import ast
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from daemon.doctor.hardware.document import HardwareReport
from daemon.doctor.hardware.words import OWN_WORDS

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "hardware"
PAGE = ROOT / "docs" / "hardware.md"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

# the modules whose messages may stand in a report
SPEAKERS = (
    "daemon/doctor/accelerator_run.py",
    "daemon/doctor/edgetpu.py",
    "daemon/doctor/libraries.py",
    "daemon/doctor/machine.py",
    "daemon/doctor/probe.py",
    "daemon/core/errors.py",
    "daemon/inference/accelerator.py",
    "daemon/inference/accelerator_main.py",
    "daemon/inference/accelerator_process.py",
    "daemon/inference/placement.py",
    "daemon/inference/verification.py",
    "daemon/sources/container.py",
    "daemon/sources/decoding/clip.py",
    "daemon/sources/decoding/context.py",
    "daemon/sources/decoding/process.py",
    "daemon/sources/decoding/ways.py",
)
WORD = re.compile(r"(?<![\w/.:-])[A-Za-z]{2,}(?:-[a-z]+)?(?![\w/-]|\.\w)")

# hardware that people ask about, and how its report is known
ASKED = (
    ("Raspberry Pi 4", "Raspberry Pi 4"),
    ("Raspberry Pi 5", "Raspberry Pi 5"),
    ("NVIDIA Jetson Orin Nano", "Jetson Orin Nano"),
    ("NVIDIA Jetson Nano", "Jetson Nano"),
    ("Intel N100", "N100"),
)
TPUS = (("Coral USB Accelerator", "edgetpu-usb"), ("Coral on PCI or M.2", "edgetpu-pci"))
NOT_SEEN = "not seen"

HEAD = """# Hardware

After reading this page you know on which machines perceptd has run, and how fast its encoders are
there. You can add your machine. [sizing.md](sizing.md) computes what is not measured here.

This page is written by `scripts/hardware_pages.py` from the reports in
[docs/hardware/reports](hardware/reports). "Not seen" means that no report of such a machine has come
yet. It does not mean that perceptd fails there.

## Send a report

```
sudo perceptd doctor --report
```

The command takes some minutes, and writes `perceptd-report.json` here. It runs all checks of doctor.
Then it times the encoders of the active bundle on the CPU and on each accelerator. It opens the cameras
of the config, and tries each decoder of pictures. Whatever may crash or hang runs in a child process,
and a crash is a line of the report. Stop a running perceptd first: it holds cameras and accelerators.
Read the file, and attach it to an issue.

A report has no pictures and no sound. It has no name of the node, of the host, of a user, a stream, a
file or an encoder of yours. It has no label, no address, no URL, no path and no serial number. No text is
copied into it: each field takes only the words of a list, and numbers in a fixed form
([schema](hardware/report.schema.json)). "…" stands for words that were left out. Of the checks that
concern your config a report tells only how they ended.
"""


def reports() -> list[tuple[str, HardwareReport]]:
    """Return the reports, by the name of their file."""
    paths = sorted((FOLDER / "reports").glob("*.json"))
    return [(path.stem, HardwareReport.model_validate_json(path.read_text(encoding="utf-8"))) for path in paths]


def schema() -> str:
    """Return the text of the schema."""
    document = {"$schema": DIALECT} | HardwareReport.model_json_schema(by_alias=True, mode="serialization")
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def own_words() -> str:
    """Return the words of the messages that may stand in a report, one a line."""
    found = {word.lower() for path in SPEAKERS for text in _literals(ROOT / path) for word in WORD.findall(text)}
    return "\n".join(sorted(found)) + "\n"


def page(found: Sequence[tuple[str, HardwareReport]]) -> str:
    """Return the page."""
    parts = [HEAD, _machines(found), _accelerators(found), _decoders(found)]
    return "\n".join(parts)


def _literals(path: Path) -> Iterator[str]:
    """Yield the texts of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and _has_doc(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def _has_doc(node: Any) -> bool:
    return bool(node.body) and isinstance(node.body[0], ast.Expr)


def _machines(found: Sequence[tuple[str, HardwareReport]]) -> str:
    lines = [
        "## Machines",
        "",
        "p50 and p99 of one input on one core of the CPU, in milliseconds. A load near the number of cores means that",
        "other programs ran, and that the machine alone is faster.",
        "",
        "| machine | processor, cores, memory, load | kernel, system | bundle | encoder | p50 | p99 | report |",
        "|---|---|---|---|---|---|---|---|",
    ]
    seen: set[str] = set()
    for name, report in found:
        shown, machine = _shown_name(report), report.machine
        seen |= {asked for asked, key in ASKED if key in f"{machine.model} {machine.processor}"}
        about = f"{machine.processor or machine.architecture}, {machine.cores}, {_gigabytes(machine.memory_mb)}"
        about += f", {machine.load:.1f}"
        system = f"{machine.kernel}, {machine.system} {machine.system_version}"
        link = f"[{report.date}](hardware/reports/{name}.json)"
        bundle = "" if report.bundle is None else f"{report.bundle.name} {report.bundle.version or ''}".strip()
        for number, each in enumerate(report.bundle.encoders_on_cpu if report.bundle else ()):
            first = [shown, about, system, bundle] if number == 0 else ["", "", "", ""]
            figures = [_ms(each.p50_ms), _ms(each.p99_ms)] if each.problem is None else [each.problem, ""]
            lines.append(_row([*first, each.encoder, *figures, link if number == 0 else ""]))
    lines += [_row([asked, NOT_SEEN, *[""] * 6]) for asked, _ in ASKED if asked not in seen]
    return "\n".join(lines) + "\n"


def _accelerators(found: Sequence[tuple[str, HardwareReport]]) -> str:
    lines = [
        "## Accelerators",
        "",
        "The times include the way to the process of the accelerator.",
        "",
        "| accelerator | machine | outcome | encoder | p50 | p99 |",
        "|---|---|---|---|---|---|",
    ]
    seen: set[str] = set()
    for _, report in found:
        for attempt in report.accelerators:
            if attempt.outcome == "absent" and attempt.device.startswith("edgetpu"):
                continue
            seen.add(attempt.device)
            said = attempt.outcome if attempt.said is None else f"{attempt.outcome}: {attempt.said}"
            rows = [[each.encoder, _ms(each.p50_ms), _ms(each.p99_ms)] for each in attempt.timings] or [["", "", ""]]
            first = [attempt.device, _shown_name(report), said]
            lines += [_row([*(first if number == 0 else ["", "", ""]), *row]) for number, row in enumerate(rows)]
    lines += [_row([asked, NOT_SEEN, *[""] * 4]) for asked, device in TPUS if device not in seen]
    return "\n".join(lines) + "\n"


def _decoders(found: Sequence[tuple[str, HardwareReport]]) -> str:
    lines = [
        "## Decoders of pictures",
        "",
        "Milliseconds for a picture of the clip of 336x200, with opening the decoder: compare them within one",
        "machine. [sources.md](sources.md#decoding-in-hardware) says how a decoder is chosen.",
        "",
        "| machine | codec | decoder | outcome | ms a picture |",
        "|---|---|---|---|---|",
    ]
    for _, report in found:
        for number, each in enumerate(report.decoders):
            said = each.outcome if each.said is None else f"{each.outcome}: {each.said}"
            shown = _shown_name(report) if number == 0 else ""
            lines.append(_row([shown, each.codec, each.way, said, _ms(each.ms_a_picture)]))
    works = {each.way for _, report in found for each in report.decoders if each.outcome == "works"}
    asked = (("a V4L2 decoder of whole streams (Raspberry Pi 4)", "v4l2m2m"), ("DRM (Raspberry Pi 4 and 5)", "drm"))
    lines += [_row([name, "", way, NOT_SEEN, ""]) for name, way in asked if way not in works]
    return "\n".join(lines) + "\n"


def _shown_name(report: HardwareReport) -> str:
    machine = report.machine
    if machine.model is not None and not machine.virtual:
        return machine.model
    kind = {"x86_64": "x86-64", "aarch64": "arm64"}.get(machine.architecture, machine.architecture)
    return f"{kind} virtual machine" if machine.virtual else f"{kind} machine"


def _gigabytes(megabytes: int) -> str:
    return f"{megabytes / 1024:.1f} GB"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def main() -> int:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    OWN_WORDS.write_text(own_words(), encoding="utf-8")
    (FOLDER / "report.schema.json").write_text(schema(), encoding="utf-8")
    PAGE.write_text(page(reports()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
