"""`perceptd doctor`: looks at everything a node depends on, and says what is wrong and what to do.

What is heavy is imported only once it is known to load: a library that crashes must not take doctor along.
"""

import argparse
import importlib
import json
import logging
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from daemon.doctor.edgetpu import edge_tpu_findings
from daemon.doctor.finding import Finding, exit_code
from daemon.doctor.libraries import assess_versions, installed, library_findings
from daemon.doctor.machine import clock_finding, gpu_findings, memory_finding, processor_finding
from daemon.inference.hardware import EDGETPU_LIBRARY

PATIENCE_S = 2.0
"""After so long without a finding, a person is told what is being tried."""


@dataclass
class Report:
    """Says findings as they come, or all at the end as JSON."""

    as_json: bool
    findings: list[Finding] = field(default_factory=list)

    def take(self, what: str, findings: Iterable[Finding]) -> None:
        """Go through the findings of one check; `what` is told while it takes long."""
        remaining = iter(findings)
        while True:
            with _patience(what):
                finding = next(remaining, None)
            if finding is None:
                return
            self.findings.append(finding)
            if not self.as_json:
                print(finding.line(), flush=True)

    def close(self) -> int:
        """Say what is left to say; gives the exit code."""
        code = exit_code(self.findings)
        if self.as_json:
            told = {"exit_code": code, "findings": [finding.to_json() for finding in self.findings]}
            print(json.dumps(told, indent=2, ensure_ascii=False))
        return code


def doctor(options: argparse.Namespace) -> int:
    """Look at everything; 0: good, 1: warnings, 2: will not work."""
    logging.disable(logging.CRITICAL)  # what goes wrong is told once, as a finding
    report = Report(options.json)
    have = installed()
    report.take("python", [assess_versions(have)])
    report.take("loading libraries", library_findings(have))
    node = None
    if exit_code(report.findings) == 0:
        with _patience("reading config and bundles"):
            node = importlib.import_module("daemon.doctor.node").NodeChecks(options.config)
    report.take(
        "machine", [processor_finding(), memory_finding(), *(node.state_disk() if node else ()), clock_finding()]
    )
    report.take(f"loading {EDGETPU_LIBRARY}", edge_tpu_findings(have))
    report.take("gpu", gpu_findings())
    if node is None:
        remedy = "first repair what is said above, then run doctor again"
        report.take("config", [Finding("config", "failure", "not tried, and neither is what it says", remedy)])
    else:
        report.take("config", node.config())
        report.take("opening cameras, microphones and recordings", node.sources())
        report.take("connecting to the broker", node.broker())
        report.take("asking the source of bundles", node.models())
        report.take("running the bundle's self-test", node.bundle())
    code = report.close()
    if threading.active_count() > 1:
        # a source that hangs must not come back while the interpreter is taken apart
        sys.stdout.flush()
        os._exit(code)
    return code


@contextmanager
def _patience(what: str) -> Iterator[None]:
    """Where a person is looking, tell after a while what is being waited for."""
    if not sys.stderr.isatty():
        yield
        return
    told = threading.Event()

    def tell() -> None:
        told.set()
        print(f"{what} ...", end="\r", file=sys.stderr, flush=True)

    timer = threading.Timer(PATIENCE_S, tell)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if told.is_set():
            print(" " * (len(what) + 4), end="\r", file=sys.stderr, flush=True)
