"""The bundle in use: its encoders, accelerators and fusion, and the change to another while all streams go on."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from daemon.bundle.manifest import Manifest
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.node.stream import Stream
from daemon.node.stream_publisher import Shown, VitalSigns
from daemon.pipeline.encode import Encoders
from daemon.pipeline.live import HOLD_S, LiveFusion, LiveStream
from daemon.pipeline.recogniser import Recogniser
from daemon.runtime.heartbeat import Heartbeat

log = logging.getLogger(__name__)

ENCODERS_CLOSE_S = 0.4
FUSION_CLOSE_S = 0.4
ACCELERATORS_CLOSE_S = 0.4

LEAVE_S = HOLD_S + 0.2
"""By then every stream has changed, whatever the encoders do."""


@dataclass(frozen=True)
class FunctionSwitch:
    """Implements PreparedSwitch by a function."""

    function: Callable[[], None]

    def commit(self) -> None:
        """Call the function."""
        self.function()


def shown(recogniser: Recogniser, errors: Callable[[], int]) -> Shown:
    """A bundle as payloads show it; `errors` counts what has failed since the daemon started."""
    manifest = recogniser.bundle.manifest
    return Shown(manifest.id, manifest.labels, VitalSigns(errors))


def take_the_same(one: Manifest, other: Manifest) -> bool:
    """Whether sources that serve one bundle serve the other: the same modalities, sound at the same rate."""
    audio, other_audio = one.modalities.audio, other.modalities.audio
    rates = [spec.preprocessing.sample_rate_hz if spec else None for spec in (audio, other_audio)]
    return one.modalities.present().keys() == other.modalities.present().keys() and rates[0] == rates[1]


class ActiveBundle:
    """Runs one bundle for all streams of a node: the live ones on one fusion thread, all on the same encoders."""

    def __init__(
        self, recogniser: Recogniser, bundle: Shown, live: Sequence[Stream], *, on_change: Callable[[], None]
    ) -> None:
        self.recogniser, self.bundle = recogniser, bundle
        self.encoders = Encoders(recogniser.crews)
        self._streams = live
        self._on_change = on_change
        head = recogniser.new_head()
        self._fusion = LiveFusion([stream.live(recogniser, bundle, head) for stream in live])

    def start(self) -> None:
        """Start everything but the streams that are fused in order."""
        for accelerator in self.recogniser.accelerators:
            accelerator.start(self._on_change)
        self.encoders.start()
        self._fusion.start()
        for stream in self._streams:
            stream.start_live(self._fusion.stream(stream.name), self.encoders, self._fusion)

    @property
    def progress(self) -> list[Heartbeat]:
        """Of every loop there is now."""
        accelerators = [accelerator.progress for accelerator in self.recogniser.accelerators]
        return [self._fusion.progress, *self.encoders.progress, *accelerators]

    def prepare(self, recogniser: Recogniser, bundle: Shown) -> Callable[[], None]:
        """Make ready for a bundle that takes the same; what is returned changes to it, and waits until it has.

        The sources go on: what they have delivered is recognised by the old bundle, what they deliver next by the new.
        An accelerator, of which there is one, is closed for the old bundle before it is started for the new; meanwhile
        the CPU computes.
        """
        encoders, head = self.encoders.followed_by(recogniser.crews), recogniser.new_head()
        changes = [stream.prepare_change(recogniser, bundle, head, encoders, self._fusion) for stream in self._streams]

        def change() -> None:
            bundle.signs.begin()
            left = [change_one() for change_one in changes]
            _wait_for(left)
            old, self.recogniser = self.recogniser, recogniser
            self.bundle, self.encoders = bundle, encoders
            _close_accelerators(old)
            for accelerator in recogniser.accelerators:
                accelerator.start(self._on_change)
            self._on_change()

        return change

    def close_encoders(self) -> None:
        """Encode what is queued."""
        self.encoders.close(ENCODERS_CLOSE_S)

    def close_fusion(self) -> None:
        """Fuse what is queued, end what is open."""
        self._fusion.close(FUSION_CLOSE_S)

    def close_accelerators(self) -> None:
        """Kill their processes."""
        _close_accelerators(self.recogniser)


def _wait_for(left: Sequence[LiveStream]) -> None:
    deadline_ns = monotonic_ns() + round(LEAVE_S * NS_PER_S)
    for stream in left:
        if not stream.has_left.wait(seconds_until(deadline_ns)):
            log.error("%s: fusion has not changed to the next bundle within %.1f s", stream.name, LEAVE_S)


def _close_accelerators(recogniser: Recogniser) -> None:
    deadline_ns = monotonic_ns() + round(ACCELERATORS_CLOSE_S * NS_PER_S)
    for accelerator in recogniser.accelerators:
        if not accelerator.close(seconds_until(deadline_ns)):
            log.error("%s did not stop within %.1f s; left behind", accelerator.device.name, ACCELERATORS_CLOSE_S)


def errors_of(streams: Mapping[str, Stream]) -> int:
    """What has failed in encoders and fusion since the daemon started."""
    reasons = ("encoder_failed", "fusion_failed")
    counters = [found for stream in streams.values() for found in stream.counters.values()]
    return sum(found.dropped.get(reason, 0) for found in counters for reason in reasons)
