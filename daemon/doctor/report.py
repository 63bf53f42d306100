"""`perceptd doctor`: checks everything that a node depends on, and prints what is wrong and what to do."""

import argparse
import json
import logging
import os
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.config.places import find_config, node_configs
from daemon.core.errors import DocumentError
from daemon.core.status_line import StatusLine
from daemon.core.text import harmless
from daemon.doctor.edgetpu import edge_tpu_findings
from daemon.doctor.finding import EXIT_CODES, Finding, exit_code
from daemon.doctor.libraries import assess_versions, installed, library_findings
from daemon.doctor.machine import clock_finding, gpu_findings, memory_finding, processor_finding
from daemon.inference.hardware import EDGETPU_LIBRARY
from daemon.runtime.child_main import give_way

if TYPE_CHECKING:
    from daemon.doctor.node import NodeChecks

# after this time without a finding, a terminal shows which check is running
SHOW_CHECK_AFTER_S = 2.0


@dataclass
class Report:
    """Prints findings as they come. As JSON they are one document, with one finding a line."""

    as_json: bool
    findings: list[Finding] = field(default_factory=list)

    def take(self, work: str, findings: Iterable[Finding]) -> None:
        """Add the findings of one check; `work` is shown while they take long."""
        remaining = iter(findings)
        while True:
            with _RunningCheck(work):
                finding = next(remaining, None)
            if finding is None:
                return
            if self.as_json:
                begin = "," if self.findings else '{"findings": [\n'
                print(begin + json.dumps(finding.to_json(), ensure_ascii=False), flush=True)
            else:
                print(harmless(finding.line()), flush=True)
            self.findings.append(finding)

    def close(self) -> int:
        """Print the end of the JSON, if it was requested; returns the exit code."""
        code = exit_code(self.findings)
        if self.as_json:
            print(f'], "exit_code": {code}}}', flush=True)
        return code


def doctor(options: argparse.Namespace) -> int:
    """Run all checks; 0: all good, 1: warnings, 2: a node will not work."""
    code = _run(options.config or _usual_config(), as_json=options.json, hardware=options.report)
    if threading.active_count() > 1:
        # a source that hangs must not run on while the interpreter ends
        sys.stdout.flush()
        os._exit(code)
    return code


def print_report(config: str) -> None:
    """In a child process of a node: run all checks of its config, and print the report as JSON."""
    give_way()
    _run(Path(config), as_json=True)


def _run(config: Path, *, as_json: bool, hardware: Path | None = None) -> int:
    """Run all checks, print what they find, and write the report on `hardware`. Return the exit code."""
    logging.disable(logging.CRITICAL)  # problems are reported once, as findings
    report = Report(as_json)
    have = installed()
    report.take("python", [assess_versions(have)])
    report.take("loading libraries", library_findings(have))
    checks: NodeChecks | None = None
    if exit_code(report.findings) == 0:
        with _RunningCheck("reading config and bundles"):
            # imported here, once all libraries are known to load: a library that crashes must not end doctor
            from daemon.doctor import node

            checks = node.NodeChecks(config)
    state_disk = () if checks is None else checks.state_disk()
    report.take("machine", [processor_finding(), memory_finding(), *state_disk, clock_finding()])
    report.take(f"loading {EDGETPU_LIBRARY}", edge_tpu_findings(have))
    report.take("gpu", gpu_findings())
    if checks is None:
        remedy = "first repair what is reported above, then run doctor again"
        report.take("config", [Finding("config", "failure", "not checked, nor anything that it configures", remedy)])
    else:
        report.take("config", checks.config())
        report.take("testing what the service may use", checks.access())
        report.take("opening cameras, microphones and recordings", checks.sources())
        report.take("connecting to the broker", checks.broker())
        report.take("reading certificates", checks.certificates())
        report.take("checking the source of bundles", checks.models())
        report.take("running the bundle's self-test", checks.bundle())
    code = report.close()
    if hardware is not None:
        code = max(code, _write_hardware(hardware, report.findings, checks))
    return code


def _write_hardware(path: Path, findings: list[Finding], checks: "NodeChecks | None") -> int:
    """Write the report for an issue; return the exit code."""
    if any(finding.check == "libraries" and finding.level == "failure" for finding in findings):
        print(f"{path}: not written: first repair the libraries that do not load", file=sys.stderr)
        return EXIT_CODES["failure"]
    # imported here, once all libraries are known to load
    from daemon.doctor.hardware.write import write_report

    config, bundle = (None, None) if checks is None else (checks.document, checks.active_bundle)
    try:
        print(write_report(path, findings, config, bundle), file=sys.stderr)
    except OSError as error:
        print(f"{path}: cannot be written: {error.strerror or error}", file=sys.stderr)
        return EXIT_CODES["failure"]
    return 0


def _usual_config() -> Path:
    """Return the config that doctor takes when none is named, and say which. Where there is none, a finding says so."""
    places = node_configs()
    try:
        config = find_config(places)
    except DocumentError:
        return places[0]
    print(f"using {config.absolute()}", file=sys.stderr)
    return config


class _RunningCheck:
    """While a check takes long, shows on a terminal what it does. A context manager."""

    def __init__(self, work: str) -> None:
        self._line = StatusLine()
        self._timer = threading.Timer(SHOW_CHECK_AFTER_S, self._line.show, [f"{work} ..."])

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        self._line.clear()
