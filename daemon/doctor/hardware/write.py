"""Writes the report of `perceptd doctor --report`."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from daemon import __version__
from daemon.bundle.bundle import Bundle
from daemon.config.devices import DevicesConfig
from daemon.config.node import Config
from daemon.core.files import replace_file
from daemon.core.status_line import StatusLine
from daemon.doctor.finding import Finding
from daemon.doctor.hardware import media, timings, words
from daemon.doctor.hardware.document import HardwareReport
from daemon.doctor.hardware.facts import library_versions, machine_facts, told_findings


def write_report(path: Path, findings: Sequence[Finding], config: Config | None, bundle: Bundle | None) -> str:
    """Write the report. Return what to tell about it. Raises OSError."""
    with StatusLine() as line:
        report = collect(findings, config, bundle, line)
    replace_file(path, rendered(report).encode(), 0o644)
    return f"{path}: written, without pictures, names, addresses and paths; read it, and attach it to an issue"


def collect(
    findings: Sequence[Finding], config: Config | None, bundle: Bundle | None, line: StatusLine
) -> HardwareReport:
    """Return the report. Takes minutes on a slow machine: encoders, accelerators, cameras and decoders are tried."""
    devices = DevicesConfig() if config is None else config.devices
    machine, libraries = machine_facts(), library_versions()
    line.show("timing the encoders on the CPU ...")
    on_cpu = None if bundle is None else timings.bundle_report(bundle)
    line.show("trying accelerators ...")
    accelerators = [] if bundle is None else list(timings.attempts(bundle, devices))
    line.show("opening cameras and recordings ...")
    video_devices = list(media.video_devices())
    cameras = [] if config is None else list(media.cameras(config))
    line.show("trying decoders ...")
    return HardwareReport(
        perceptd=words.version(__version__) or "0",
        date=f"{datetime.now(timezone.utc):%Y-%m-%d}",
        machine=machine,
        libraries=libraries,
        findings=told_findings(findings),
        bundle=on_cpu,
        accelerators=accelerators,
        video_devices=video_devices,
        cameras=cameras,
        decoders=list(media.decoders()),
    )


def rendered(report: HardwareReport) -> str:
    """Return the text of the file."""
    return json.dumps(report.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False) + "\n"
