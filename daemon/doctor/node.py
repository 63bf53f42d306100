"""The checks of one config: its sources, its broker, its source of bundles and its bundle."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.config.mqtt import MqttConfig
from daemon.config.node import MODELS, Config, load_config, state_directory
from daemon.core.document import Loaded
from daemon.core.errors import Refused
from daemon.doctor.accelerators import accelerator_findings
from daemon.doctor.certificates import certificate_findings
from daemon.doctor.finding import Finding
from daemon.doctor.machine import disk_finding
from daemon.doctor.probe import LATE_REMEDY, probe
from daemon.doctor.service_files import STATE_DIRECTORY, access_findings
from daemon.doctor.service_user import Service, find_service
from daemon.doctor.sources import source_findings
from daemon.doctor.updates import assess_store, models_findings
from daemon.mqtt.broker.peer import identify_peer
from daemon.mqtt.health_report import HealthReport, closed, faults, remarks
from daemon.mqtt.requests import retained_health, try_broker
from daemon.pipeline.recogniser import check_matches_config
from daemon.pipeline.selftest import first_failures, print_selftest
from daemon.updates.policy import BuiltInBundle
from daemon.updates.startup import DryStart, dry_start

# loading alone takes a minute on a small board with a slow card
SELFTEST_S = 120.0

# a node that runs is this late with its health at most, on a busy machine
HEALTH_LATE = timedelta(seconds=30)

HEALTH_REMEDY = "docs/troubleshooting.md tells what to do about each; the node's log: journalctl -u perceptd"


class NodeChecks:
    """The checks of one config. A check has no findings if the document that it needs cannot be read."""

    def __init__(self, path: Path, service: Service | None = None) -> None:
        """`service` is the installed one unless it is given; None where there is none, or this user is not root."""
        self._path = path
        self._service = service or find_service()
        self._loaded: Loaded[Config] | None = None
        self._built_in: BuiltInBundle | None = None
        self._dry_start: DryStart | None = None
        self._bundle: Bundle | None = None
        self._config_problem = self._bundle_problem = ""
        self._cause: BaseException | None = None
        try:
            self._loaded = load_config(path)
        except Refused as error:
            self._config_problem = str(error)
            self._cause = error.__cause__
            return
        try:
            self._bundle = self._load_bundle(self._loaded.document)
            check_matches_config(self._bundle.manifest, self._loaded)
        except Refused as error:
            self._bundle_problem = str(error)

    @property
    def document(self) -> Config | None:
        """The config, if it is valid."""
        return None if self._loaded is None else self._loaded.document

    @property
    def active_bundle(self) -> Bundle | None:
        """The bundle that a start would run, if it can be read."""
        return self._bundle

    def state_disk(self) -> Iterator[Finding]:
        """Whether the outbox has room in the state directory."""
        if self._loaded is not None:
            config = self._loaded.document
            yield disk_finding(self._state(config), config.mqtt.outbox.max_mb)

    def config(self) -> Iterator[Finding]:
        """Whether the config is valid."""
        if self._loaded is None:
            remedy = "correct it, or name another with --config; its devices, broker and bundle were not checked"
            if isinstance(self._cause, PermissionError):
                remedy = "run doctor with sudo: only root and the service may read it"
            elif isinstance(self._cause, FileNotFoundError):
                remedy = "write one by perceptd setup, or name another with --config"
            yield Finding("config", "failure", self._config_problem, remedy)
        else:
            config = self._loaded.document
            yield Finding("config", "good", f"{self._path}: node {config.node}, streams: {', '.join(config.streams)}")

    def access(self) -> Iterator[Finding]:
        """Whether the user of the installed service may use the files of the config. Nothing unless run as root."""
        if self._loaded is not None and self._service is not None:
            yield from access_findings(self._service, self._loaded)

    def sources(self) -> Iterator[Finding]:
        """Whether cameras, microphones and recordings deliver data."""
        if self._loaded is not None:
            manifest = None if self._bundle is None else self._bundle.manifest
            yield from source_findings(self._loaded.document, manifest)

    def broker(self) -> Iterator[Finding]:
        """Whether each broker answers and accepts the login, and what the node has published of its health there."""
        if self._loaded is None:
            return
        config = self._loaded.document
        findings = broker_findings(config.mqtt)
        yield from findings
        if any(finding.level == "good" for finding in findings):
            report = retained_health(config.mqtt, config.node)
            if report is not None and report.at is not None:
                may_take = timedelta(seconds=config.health.every_s) + HEALTH_LATE
                is_late = datetime.now(timezone.utc) - report.at > may_take
                yield health_finding(config.node, report, runs=not is_late and report.status != "stopped")

    def certificates(self) -> Iterator[Finding]:
        """Whether the certificates that the config names, and those of the brokers, expire soon."""
        if self._loaded is not None:
            yield from certificate_findings(self._loaded, datetime.now(timezone.utc))

    def models(self) -> Iterator[Finding]:
        """Whether the source of bundles answers, and whether the installed bundles are intact."""
        if self._loaded is None or self._built_in is None or self._dry_start is None:
            return
        models = self._loaded.document.models
        if models.source is not None and models.root is not None:
            directory = self._state(self._loaded.document) / MODELS
            yield from models_findings(models.source, Path(models.root), directory, self._built_in, self._dry_start)
        elif self._dry_start.bundles or self._dry_start.problem is not None:
            yield assess_store(self._dry_start, self._built_in)

    def bundle(self) -> Iterator[Finding]:
        """Whether the bundle is valid, and passes its self-test on each device."""
        if self._bundle_problem:
            yield Finding("bundle", "failure", self._bundle_problem, self._bundle_remedy())
        if self._loaded is not None and self._bundle is not None:
            if not self._bundle_problem:
                manifest = self._bundle.manifest
                modalities = ", ".join(manifest.senses)
                yield Finding("bundle", "good", f"{manifest.id}: {len(manifest.labels)} labels by {modalities}")
            yield from device_findings(self._loaded.document, self._bundle)

    def _state(self, config: Config) -> Path:
        """The state directory of the service, if there is one, else that of a node that this user runs."""
        environment = dict(os.environ)
        if self._service is not None:
            environment.setdefault("STATE_DIRECTORY", STATE_DIRECTORY)
        return state_directory(config, environment)

    def _load_bundle(self, config: Config) -> Bundle:
        """The bundle that a start would run. Raises Refused."""
        built_in = load_bundle(Path(config.bundle))
        self._built_in = BuiltInBundle(built_in.manifest.id, built_in.directory)
        if not config.replaces_bundles:
            return built_in
        has_source = config.models.source is not None
        self._dry_start = dry_start(
            self._state(config) / MODELS, self._built_in, has_source=has_source, teaches=config.can_teach
        )
        stored = self._dry_start.bundle_to_run
        return built_in if stored is None else load_bundle(stored.directory)

    def _bundle_remedy(self) -> str:
        if self._dry_start is not None and self._dry_start.bundle_to_run is not None:
            return "correct config.yaml, or run perceptd models rollback"
        return "correct bundle in config.yaml, or the bundle"


def broker_findings(mqtt: MqttConfig) -> list[Finding]:
    """Whether a node could connect to each broker. One is enough for it, so the others are warnings then."""
    findings = [broker_finding(mqtt.model_copy(update={"host": host})) for host in mqtt.hosts]
    if all(finding.level == "failure" for finding in findings):
        return findings
    return [replace(each, level="warning") if each.level == "failure" else each for each in findings]


def broker_finding(mqtt: MqttConfig) -> Finding:
    """Whether a node could connect to the only broker of the config."""
    try:
        troubles = try_broker(mqtt)
    except Refused as error:
        return Finding("broker", "failure", str(error), "correct it in config.yaml")
    if troubles:
        peer = identify_peer(mqtt)
        troubles = troubles if peer is None else [peer]
        remedies = [trouble.remedy for trouble in troubles if trouble.remedy is not None]
        remedy = "; ".join(remedies) or "check that the broker runs there, and mqtt in config.yaml"
        return Finding("broker", "failure", "; ".join(trouble.finding for trouble in troubles), remedy)
    tls = "without TLS" if mqtt.tls is None else "TLS verified"
    return Finding("broker", "good", f"{mqtt.addresses} answers, {tls}, accepts the connection")


def health_finding(node: str, report: HealthReport, *, runs: bool) -> Finding:
    """The finding of the health that the broker retains; `runs` says whether it is of now."""
    if not runs:
        return Finding("health", "good", f"node {node} does not run; it published health last at {report.time}")
    wrong = [*faults(report), *remarks(report)]
    said = "; ".join([*wrong, *closed(report)])
    found = f"node {node} runs, with status {report.status}{f': {said}' if said else ''}"
    if report.status == "ok" and not wrong:
        return Finding("health", "good", found)
    return Finding("health", "warning", found, HEALTH_REMEDY)


def device_findings(config: Config, bundle: Bundle) -> Iterator[Finding]:
    """The bundle's self-test on the CPU, and then on each accelerator if the CPU passes."""
    on_cpu = cpu_selftest(bundle)
    yield on_cpu
    if on_cpu.level == "good":
        yield from accelerator_findings(config.devices, bundle, config.senses)


def cpu_selftest(bundle: Bundle) -> Finding:
    """The self-test on the CPU, in a child process: a kernel may use instructions that the processor lacks."""
    check = "self-test cpu"
    result = probe("TFLite", print_selftest, str(bundle.directory), deadline_s=SELFTEST_S)
    if result.problem is not None:
        remedy = LATE_REMEDY if result.is_late else "reinstall the bundle, or a runtime for this processor"
        return Finding(check, "failure", result.problem, remedy)
    report = json.loads(result.output)
    failures = report["failures"]
    if not failures:
        return Finding(check, "good", f"passed in {report['seconds'] * 1000:.0f} ms")
    remedy = f"run perceptd bundle verify {bundle.directory} for all failures"
    return Finding(check, "failure", first_failures(failures), remedy)
