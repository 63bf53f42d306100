"""What doctor tries of a node: its config, its sources, its broker, its source of bundles, its bundle."""

import json
from collections.abc import Iterator
from pathlib import Path

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.config.mqtt import MqttConfig
from daemon.config.node import Config, load_config, models_directory, state_directory
from daemon.core.document import Loaded
from daemon.core.errors import Refused
from daemon.doctor.accelerators import accelerator_findings
from daemon.doctor.finding import Finding, probe
from daemon.doctor.machine import disk_finding
from daemon.doctor.sources import source_findings
from daemon.doctor.updates import models_findings
from daemon.mqtt.requests import try_broker
from daemon.pipeline.offline import failures_in_short, run_in_child
from daemon.pipeline.recogniser import check_matches_config
from daemon.updates.policy import BuiltInBundle
from daemon.updates.startup import DryStart, dry_start

SELFTEST_S = 120.0
"""Loading alone takes a minute on a small board with a slow card."""


class NodeChecks:
    """The checks of one config; what cannot be read makes the checks that need it find nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loaded: Loaded[Config] | None = None
        self._built_in: BuiltInBundle | None = None
        self._kept: DryStart | None = None
        self._bundle: Bundle | None = None
        self._config_trouble = self._bundle_trouble = ""
        try:
            self._loaded = load_config(path)
        except Refused as error:
            self._config_trouble = str(error)
            return
        try:
            self._bundle = self._to_run(self._loaded.document)
            check_matches_config(self._bundle.manifest, self._loaded)
        except Refused as error:
            self._bundle_trouble = str(error)

    def state_disk(self) -> Iterator[Finding]:
        """Where events will wait for the broker."""
        if self._loaded is not None:
            config = self._loaded.document
            yield disk_finding(state_directory(config), config.mqtt.outbox.max_mb)

    def config(self) -> Iterator[Finding]:
        """Whether the config can be read."""
        if self._loaded is None:
            remedy = "correct it, or name another with --config; its devices, broker and bundle were not tried"
            yield Finding("config", "failure", self._config_trouble, remedy)
        else:
            config = self._loaded.document
            yield Finding("config", "good", f"{self._path}: node {config.node}, streams: {', '.join(config.streams)}")

    def sources(self) -> Iterator[Finding]:
        """Whether cameras, microphones and recordings deliver."""
        if self._loaded is not None:
            manifest = None if self._bundle is None else self._bundle.manifest
            yield from source_findings(self._loaded.document, manifest)

    def broker(self) -> Iterator[Finding]:
        """Whether the broker is reached and lets us in."""
        if self._loaded is not None:
            yield broker_finding(self._loaded.document.mqtt)

    def models(self) -> Iterator[Finding]:
        """Whether the source of bundles answers, and what came of it before is whole."""
        if self._loaded is None or self._built_in is None or self._kept is None:
            return
        models = self._loaded.document.models
        if models.source is not None and models.root is not None:
            directory = models_directory(self._loaded.document)
            yield from models_findings(models.source, Path(models.root), directory, self._built_in, self._kept)

    def bundle(self) -> Iterator[Finding]:
        """Whether the bundle is whole, and runs on each device."""
        if self._bundle_trouble:
            yield Finding("bundle", "failure", self._bundle_trouble, self._remedy())
        if self._loaded is not None and self._bundle is not None:
            if not self._bundle_trouble:
                manifest = self._bundle.manifest
                senses = ", ".join(manifest.modalities.present())
                yield Finding("bundle", "good", f"{manifest.id}: {len(manifest.labels)} labels by {senses}")
            yield from device_findings(self._loaded.document, self._bundle)

    def _to_run(self, config: Config) -> Bundle:
        """The bundle that a start would load: an active one that is whole, or the config's own. Raises Refused."""
        built_in = load_bundle(Path(config.bundle))
        self._built_in = BuiltInBundle(built_in.manifest.id, built_in.directory)
        if config.models.source is None:
            return built_in
        self._kept = dry_start(models_directory(config), self._built_in)
        return built_in if self._kept.bundle_to_run is None else load_bundle(self._kept.bundle_to_run.directory)

    def _remedy(self) -> str:
        if self._kept is not None and self._kept.bundle_to_run is not None:
            return "correct config.yaml, or go back by perceptd models rollback"
        return "correct bundle in config.yaml, or the bundle"


def broker_finding(mqtt: MqttConfig) -> Finding:
    """Whether a node could connect, in the link's own words if not."""
    try:
        trouble = try_broker(mqtt)
    except Refused as error:
        return Finding("broker", "failure", str(error), "correct it in config.yaml")
    if trouble is not None:
        remedy = None if "check" in trouble else "check that the broker runs there, and mqtt in config.yaml"
        return Finding("broker", "failure", trouble.replace("; trying again", ""), remedy)
    tls = "without TLS" if mqtt.tls is None else "TLS verified"
    return Finding("broker", "good", f"{mqtt.host}:{mqtt.port} answers, {tls}, lets us in")


def device_findings(config: Config, bundle: Bundle) -> Iterator[Finding]:
    """The bundle's self-test on each device, with the time it took; on the CPU alone where that fails already."""
    on_cpu = cpu_selftest(bundle)
    yield on_cpu
    if on_cpu.level == "good":
        yield from accelerator_findings(config.devices, bundle)


def cpu_selftest(bundle: Bundle) -> Finding:
    """The self-test on the CPU, in a child process: a kernel may use instructions that the processor lacks."""
    check = "self-test cpu"
    trial = probe("TFLite", run_in_child, str(bundle.directory), deadline_s=SELFTEST_S)
    if trial.trouble is not None:
        return Finding(check, "failure", trial.trouble, "install the bundle, or a runtime for this processor, anew")
    result = json.loads(trial.said)
    failures = result["failures"]
    if not failures:
        return Finding(check, "good", f"good in {result['seconds'] * 1000:.0f} ms")
    remedy = f"perceptd bundle verify {bundle.directory} lists all"
    return Finding(check, "failure", failures_in_short(failures), remedy)
