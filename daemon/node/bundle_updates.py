"""Connects the updater with the node: loads and switches bundles for it, and publishes what it does."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.config.node import Config, models_directory
from daemon.core.document import Loaded
from daemon.core.errors import Refused
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.mqtt.session import Session
from daemon.mqtt.update_payloads import ModelsPayload
from daemon.node.active_bundle import ActiveBundle, PreparedBundle, published_bundle, share_sources
from daemon.node.announcement import Announcement
from daemon.node.derivation import NewBases
from daemon.node.fit_ports import Outcome
from daemon.node.latency import ErrorCount
from daemon.node.models_payload import models_payload
from daemon.node.stop_request import StopRequest
from daemon.node.stream import Stream
from daemon.node.stream_publisher import PublishedBundle
from daemon.pipeline import trial
from daemon.pipeline.acceleration import accelerate
from daemon.pipeline.recogniser import Recogniser, check_matches_config, load_recogniser, unknown_thresholds
from daemon.runtime.heartbeat import short_switch_interval
from daemon.runtime.memory import give_back_memory
from daemon.updates.fetch import main as fetch
from daemon.updates.policy import BuiltInBundle
from daemon.updates.slots import content_of
from daemon.updates.state import BundleMetrics
from daemon.updates.steps import Beat, Derived, PreparedSwitch, Step
from daemon.updates.taught_state import TaughtState
from daemon.updates.taught_transitions import UNTRIED
from daemon.updates.updater import Snapshot, Updater

log = logging.getLogger(__name__)

# what the child processes of an update run
UPDATE_STEPS: Mapping[Step, Callable[[str], None]] = {
    "list": fetch.list_releases,
    "resolve": fetch.resolve,
    "download": fetch.download,
    "verify": fetch.verify,
    "check": trial.answer_check,
    "selftest": trial.answer_selftest,
}

# on a slow link every message about progress takes time from the download
PROGRESS_EVERY_NS = 5 * NS_PER_S

NO_METRICS = BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)

NewStream = Callable[[str, Recogniser, PublishedBundle], Stream]


class BundleLoader:
    """Loads bundles and checks that they match the config."""

    def __init__(self, config: Loaded[Config]) -> None:
        self._config = config
        self._models = models_directory(config.document)

    def load(self, directory: Path, bundle_id: str | None = None) -> Recogniser:
        """Load a bundle, with its encoders on the devices that the config names. An installed one is verified.

        Encoders of a modality that no stream delivers are left out: they would take memory for nothing.

        Raises Refused when it cannot be used, or when it has another id than `bundle_id`.
        """
        bundle = load_bundle(directory, content_of(directory, self._models))
        config = self._config.document
        recogniser = accelerate(load_recogniser(bundle, config.senses), config.devices)
        found = recogniser.bundle.manifest.id
        if bundle_id not in (None, found):
            raise Refused(f"{directory}: is {found}, expected {bundle_id}")
        return recogniser

    def check(self, manifest: Manifest) -> None:
        """Raise Refused when a bundle does not match the config. Thresholds that wait for a label are logged."""
        check_matches_config(manifest, self._config)
        for remark in unknown_thresholds(manifest, self._config):
            log.warning("%s; it counts while the bundle has this label", remark)


class UpdateHost:
    """Loads and switches bundles for the updater, on the updater's thread. Implements Host."""

    def __init__(
        self,
        loader: BundleLoader,
        active: ActiveBundle,
        errors: ErrorCount,
        announcement: Announcement,
        new_stream: NewStream,
        streams: Mapping[str, Stream],
        stop: StopRequest,
        bases: NewBases,
    ) -> None:
        """`new_stream` makes a stream for a bundle without starting it. `bases` takes new bases to the teacher."""
        self._loader = loader
        self._active = active
        self._errors = errors
        self._announcement = announcement
        self._new_stream = new_stream
        self._streams = streams
        self._stop = stop
        self._bases = bases

    def prepare(self, directory: Path, bundle: str) -> PreparedSwitch:
        """Load a bundle beside the active one; return its switch. Raises Refused when it cannot be used.

        A bundle that needs other sources than the active one restarts the node in the same process.
        """
        with short_switch_interval():
            recogniser = self._loader.load(directory, bundle)
            self._loader.check(recogniser.bundle.manifest)
            published = published_bundle(recogniser, self._errors)
            if share_sources(self._active.recogniser.bundle.manifest, recogniser.bundle.manifest):
                return _LiveSwitch(bundle, self._active.prepare(recogniser, published), self._announcement)
            for name in self._streams:  # raises Refused now rather than after the restart
                self._new_stream(name, recogniser, published)
            return _Restart(self._stop)

    def derive(self, directory: Path, bundle: str, beat: Beat) -> Derived | None:
        """Fit the labels that were taught onto a new base; return what to install in its place. See Host."""
        return self._bases.derive(directory, bundle, beat)

    def bundle_metrics(self) -> BundleMetrics:
        """Return the metrics of the active bundle."""
        # until the restart the old bundle still runs
        return NO_METRICS if self._stop.restarts else self._active.bundle.monitor.read()


@dataclass(frozen=True, slots=True)
class _LiveSwitch:
    """The switch to a bundle while the streams go on. Implements PreparedSwitch."""

    bundle_id: str
    prepared: PreparedBundle
    announcement: Announcement

    def commit(self) -> None:
        """Switch to the bundle."""
        self.prepared.commit()
        self.announcement.publish(self.prepared.recogniser.bundle.manifest)
        give_back_memory()
        log.info("%s is active now", self.bundle_id)


@dataclass(frozen=True, slots=True)
class _Restart:
    """The switch to a bundle that needs other sources. Implements PreparedSwitch."""

    stop: StopRequest

    def commit(self) -> None:
        """Restart the node in the same process."""
        self.stop.restart("bundle")


class ModelsTopic:
    """Publishes the topic `models` of a node whose bundles are replaced."""

    def __init__(self, config: Config, built_in: BuiltInBundle, updater: Updater, session: Session) -> None:
        self._node, self._source = config.node, config.models.source
        self._built_in = built_in
        self._updater = updater
        self._session = session
        self._published: Snapshot | None = None
        self._published_ns = 0

    def publish(self) -> None:
        """Publish what has changed since the last time.

        Called once before the updater starts, then on the updater's thread.
        """
        snapshot, now_ns = self._updater.status(), monotonic_ns()
        before = self._published
        if snapshot == before:
            return
        is_progress_only = before is not None and replace(snapshot, bytes_done=before.bytes_done) == before
        if not is_progress_only or now_ns - self._published_ns >= PROGRESS_EVERY_NS:
            self._published, self._published_ns = snapshot, now_ns
            self._session.publish("models", self._payload(snapshot).to_json(), retain=True, qos=1)

    def payload(self) -> ModelsPayload:
        """Return the payload as it is now. Callable from any thread."""
        return self._payload(self._updater.status())

    def _payload(self, snapshot: Snapshot) -> ModelsPayload:
        return models_payload(self._node, self._source, self._built_in, snapshot, time.time())


@dataclass(frozen=True, slots=True)
class LocalBundles:
    """Has the updater install what was taught here. Implements LocalInstaller."""

    updater: Updater

    def install_local(self, directory: Path, bundle_id: str) -> str | None:
        """Request the installation of the bundle in a directory; return None, or why the request is not accepted."""
        return self.updater.install_local(directory, bundle_id)

    def install_base(self) -> None:
        """Request that the base runs, because nothing is taught any more."""
        self.updater.install_base()

    def derive_again(self) -> None:
        """Request that a new base that waits for its labels is tried again, because something was taught."""
        self.updater.derive_again()

    def outcome(self, bundle_id: str) -> Outcome:
        """Return how far the installation of a bundle is."""
        snapshot = self.updater.status()
        return outcome_of(snapshot.taught, bundle_id, snapshot.requested)

    def highest_number(self) -> int:
        """Return the highest number of a taught version that the updater knows of."""
        snapshot = self.updater.status()
        return highest_number(snapshot.taught, snapshot.requested)


def outcome_of(taught: TaughtState, bundle_id: str, requested: str | None = None) -> Outcome:
    """Return how far the installation of a bundle is, as the updater says. `requested` is not in its state yet."""
    results = [result for result in (taught.refused, taught.last_result) if result is not None]
    failure = next((each for each in results if each.id == bundle_id and each.reason is not None), None)
    reason = "" if failure is None else failure.reason or ""
    if bundle_id == requested or (taught.candidate is not None and taught.candidate.slot.id == bundle_id):
        return Outcome("pending", reason)
    if any(version.slot is not None and version.slot.id == bundle_id for version in taught.versions):
        return Outcome("active")
    return Outcome("void" if failure is None or failure.stage == UNTRIED else "failed", reason)


def highest_number(taught: TaughtState, requested: str | None = None) -> int:
    """Return the highest number of a taught version that the updater knows of; 0: it knows of none."""
    slots = [slot for version in taught.versions for slot in (version.slot, version.previous) if slot is not None]
    ids = [slot.id for slot in slots] + [each.id for each in (taught.refused, taught.last_result) if each is not None]
    ids += [] if taught.candidate is None else [taught.candidate.slot.id]
    ids += [] if requested is None else [requested]
    return max((int(number) for each in ids if (number := each.partition("+taught.")[2]).isdecimal()), default=0)
