"""What doctor tries of a node: its config, its sources, its broker, and its bundle on each device."""

import json
from collections.abc import Iterator
from pathlib import Path

from daemon.bundles.load import Bundle, load_bundle
from daemon.config import Config, load_config
from daemon.doctor.finding import Finding
from daemon.doctor.machine import disk
from daemon.doctor.trial import tried
from daemon.doctor_devices import accelerator_findings
from daemon.doctor_sources import source_findings
from daemon.documents import Loaded
from daemon.errors import Refused
from daemon.mqtt import try_broker
from daemon.mqtt_config import MqttConfig
from daemon.places import state_directory
from daemon.recogniser import check_thresholds
from daemon.selftest import IN_CHILD, failures_in_short

SELFTEST_S = 120.0
"""Loading alone takes a minute on a small board with a slow card."""


class NodeChecks:
    """The checks of one config; what cannot be read makes the checks that need it find nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loaded: Loaded[Config] | None = None
        self._bundle: Bundle | None = None
        self._config_trouble = self._bundle_trouble = ""
        try:
            self._loaded = load_config(path)
        except Refused as error:
            self._config_trouble = str(error)
            return
        try:
            self._bundle = load_bundle(Path(self._loaded.document.bundle))
            check_thresholds(self._bundle.manifest, self._loaded)
        except Refused as error:
            self._bundle_trouble = str(error)

    def state_disk(self) -> Iterator[Finding]:
        """Where events will wait for the broker."""
        if self._loaded is not None:
            config = self._loaded.document
            yield disk(state_directory(config), config.mqtt.outbox.max_mb)

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

    def bundle(self) -> Iterator[Finding]:
        """Whether the bundle is whole, and runs on each device."""
        if self._bundle_trouble:
            yield Finding("bundle", "failure", self._bundle_trouble, "correct bundle in config.yaml, or the bundle")
        if self._loaded is not None and self._bundle is not None:
            if not self._bundle_trouble:
                manifest = self._bundle.manifest
                senses = ", ".join(manifest.modalities.present())
                yield Finding("bundle", "good", f"{manifest.id}: {len(manifest.labels)} labels by {senses}")
            yield from device_findings(self._loaded.document, self._bundle)


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
    trial = tried("TFLite", IN_CHILD, str(bundle.directory), deadline_s=SELFTEST_S)
    if trial.trouble is not None:
        return Finding(check, "failure", trial.trouble, "install the bundle, or a runtime for this processor, anew")
    result = json.loads(trial.said)
    failures = result["failures"]
    if not failures:
        return Finding(check, "good", f"good in {result['seconds'] * 1000:.0f} ms")
    remedy = f"perceptd bundle verify {bundle.directory} lists all"
    return Finding(check, "failure", failures_in_short(failures), remedy)
