"""Runs the active bundle for all streams, and switches to another bundle while the streams go on."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from daemon.bundle.fingerprint import encoder_fingerprints
from daemon.bundle.manifest import Manifest
from daemon.core.records import EndedBy
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.mqtt.recognition_json import BundleView
from daemon.node.latency import BundleMonitor, ErrorCount
from daemon.node.stream import Stream
from daemon.node.stream_publisher import PublishedBundle
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.lane import Lane
from daemon.pipeline.live import DRAIN_S, LiveFusion, LiveStream
from daemon.pipeline.recent import Window
from daemon.pipeline.recogniser import Recogniser
from daemon.pipeline.showing import Showing, encode_window
from daemon.runtime.heartbeat import Heartbeat

log = logging.getLogger(__name__)

ENCODERS_CLOSE_S = 0.4
FUSION_CLOSE_S = 0.4
ACCELERATORS_CLOSE_S = 0.4

# every stream has switched by then, even if an encoder hangs
SWITCH_S = DRAIN_S + 0.2


def published_bundle(recogniser: Recogniser, errors: ErrorCount) -> PublishedBundle:
    """Return what payloads show of a recogniser's bundle. Raises BundleError when a model cannot be read."""
    manifest = recogniser.bundle.manifest
    view = BundleView(
        manifest.id, manifest.labels, manifest.scoring, manifest.encoder_modalities, tells_encoders=manifest.format > 1
    )
    fingerprints = encoder_fingerprints(recogniser.bundle)
    return PublishedBundle(view, BundleMonitor(errors.total), manifest.taught, fingerprints, manifest.background)


def share_sources(one: Manifest, other: Manifest) -> bool:
    """Return whether the same sources serve both bundles: the same modalities, and sound at the same rate."""
    return one.senses == other.senses and one.sample_rate_hz == other.sample_rate_hz


class ActiveBundle:
    """Runs one bundle for all streams of a node.

    Live streams share one fusion thread. All streams share the encoders.
    """

    def __init__(
        self, recogniser: Recogniser, bundle: PublishedBundle, live: Sequence[Stream], *, on_change: Callable[[], None]
    ) -> None:
        """`on_change` is called when the bundle or the status of an accelerator has changed."""
        self._switching = threading.Lock()
        self.recogniser, self.bundle = recogniser, bundle
        self.encoders = EncoderPool(recogniser.parallel_encoders, recogniser.bundle.manifest.encoder_modalities)
        self.on_change = on_change
        self._streams = live
        head = recogniser.new_head()
        self._fusion = LiveFusion([stream.live(recogniser, bundle, head) for stream in live])

    def start(self) -> None:
        """Start accelerators, encoders, fusion and the live streams."""
        for accelerator in self.recogniser.accelerators:
            accelerator.start(self.on_change)
        self.encoders.start()
        self._fusion.start()
        for stream in self._streams:
            stream.start_live(self._fusion.stream(stream.name), self.encoders, self._fusion)

    @property
    def heartbeats(self) -> list[Heartbeat]:
        """The heartbeats of fusion, encoders and accelerators as they are now."""
        accelerators = [accelerator.progress for accelerator in self.recogniser.accelerators]
        return [self._fusion.progress, *self.encoders.progress, *accelerators]

    def encode(self, window: Window, name: str, deadline_s: float) -> tuple[Showing, Mapping[str, str]]:
        """Return what a window of recent input shows, and the fingerprints of the encoders that it is encoded with.

        Waits for the encoders, from any thread. `name` is that of no stream. Raises InputError, see `encode_window`.
        """
        with self._switching:
            recogniser, encoders, fingerprints = self.recogniser, self.encoders, self.bundle.fingerprints
        return encode_window(window, recogniser, encoders, name, deadline_s), fingerprints

    def prepare(self, recogniser: Recogniser, bundle: PublishedBundle) -> "PreparedBundle":
        """Prepare the switch to a bundle that the same sources serve. Runs on the updater's thread."""
        modalities = recogniser.bundle.manifest.encoder_modalities
        encoders, head = self.encoders.followed_by(recogniser.parallel_encoders, modalities), recogniser.new_head()
        streams = [
            StreamSwitch(stream, recogniser, stream.next_lane(recogniser, bundle, head, encoders, self._fusion))
            for stream in self._streams
        ]
        return PreparedBundle(self, recogniser, bundle, encoders, streams)

    def take_over(self, recogniser: Recogniser, bundle: PublishedBundle, encoders: EncoderPool) -> Recogniser:
        """Make another bundle the active one, once the streams have switched. Return the recogniser of before."""
        with self._switching:
            old, self.recogniser = self.recogniser, recogniser
            self.bundle, self.encoders = bundle, encoders
        return old

    def close_encoders(self) -> None:
        """Encode what is queued, then stop the encoders."""
        self.encoders.close(ENCODERS_CLOSE_S)

    def close_fusion(self, ended_by: EndedBy = "stopped") -> None:
        """Fuse what is queued, end open events with this reason, then stop fusion."""
        self._fusion.close(FUSION_CLOSE_S, ended_by)

    def close_accelerators(self) -> None:
        """Kill the processes of the accelerators."""
        close_accelerators(self.recogniser)


@dataclass(frozen=True, slots=True)
class StreamSwitch:
    """One stream's part of a prepared switch."""

    stream: Stream
    recogniser: Recogniser
    lane: Lane

    def commit(self) -> LiveStream:
        """Switch the stream; return it under the old bundle, which still fuses what was captured before."""
        return self.stream.switch_lane(self.recogniser, self.lane)


@dataclass(frozen=True)
class PreparedBundle:
    """A bundle that is loaded beside the active one and ready to take over."""

    active: ActiveBundle
    recogniser: Recogniser
    bundle: PublishedBundle
    encoders: EncoderPool
    streams: Sequence[StreamSwitch]

    def commit(self) -> None:
        """Switch all streams to this bundle, and wait until they have.

        The sources go on. The old bundle recognises what they have delivered so far, this bundle what comes next.
        There is one accelerator of a kind: it is closed for the old bundle before it starts for this one. Until then
        the CPU computes.
        """
        self.bundle.monitor.begin()
        _wait_for([stream.commit() for stream in self.streams])
        old = self.active.take_over(self.recogniser, self.bundle, self.encoders)
        close_accelerators(old)
        for accelerator in self.recogniser.accelerators:
            accelerator.start(self.active.on_change)
        self.active.on_change()


def close_accelerators(recogniser: Recogniser) -> None:
    """Kill the processes of a recogniser's accelerators, within `ACCELERATORS_CLOSE_S`."""
    deadline_ns = monotonic_ns() + round(ACCELERATORS_CLOSE_S * NS_PER_S)
    for accelerator in recogniser.accelerators:  # all at once, so that one that hangs takes no time from the others
        accelerator.request_close()
    for accelerator in recogniser.accelerators:
        if not accelerator.close(seconds_until(deadline_ns)):
            log.error(
                "%s did not stop within %.1f s; the daemon goes on without waiting",
                accelerator.device.name,
                ACCELERATORS_CLOSE_S,
            )


def _wait_for(replaced: Sequence[LiveStream]) -> None:
    deadline_ns = monotonic_ns() + round(SWITCH_S * NS_PER_S)
    for stream in replaced:
        if not stream.has_switched.wait(seconds_until(deadline_ns)):
            log.error("%s: fusion has not switched to the next bundle within %.1f s", stream.name, SWITCH_S)
