"""Records what a source delivers."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.config.streams import StreamConfig
from daemon.core.media import MediaPacket
from daemon.core.ports import Source
from daemon.core.records import MODALITIES, Block, Captured, Counters, Frame, Modality
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.factory import build_sources

RATE_HZ = 16_000
DEADLINE_S = 20.0


def _new_counters() -> dict[Modality, Counters]:
    return {modality: Counters() for modality in MODALITIES}


@dataclass
class Recorded:
    """The frames, blocks and packets of a source, all of them in their order, and what it dropped."""

    frames: list[Frame] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    packets: list[MediaPacket] = field(default_factory=list)
    order: list[MediaPacket | Captured] = field(default_factory=list)
    counters: dict[Modality, Counters] = field(default_factory=_new_counters)

    def take_packet(self, packet: MediaPacket) -> None:
        self.packets.append(packet)
        self.order.append(packet)

    def take(self, item: Captured) -> None:
        self.order.append(item)
        if isinstance(item, Frame):
            self.frames.append(item)
        elif isinstance(item, Block):
            self.blocks.append(item)

    def run_source(
        self, source: Source, is_enough: Callable[[], bool], stop: threading.Event, deadline_s: float = DEADLINE_S
    ) -> None:
        """Run the source until `is_enough`, to its end, until stopped, or for `deadline_s`. Raises what it raises."""
        deadline_ns = monotonic_ns() + int(deadline_s * NS_PER_S)

        def deliver(item: Captured) -> None:
            self.take(item)
            if is_enough() or monotonic_ns() > deadline_ns:
                stop.set()

        source.run(deliver, stop)

    @property
    def dropped(self) -> dict[str, int]:
        """Return the numbers of dropped inputs by modality and reason, without zeros: `image no_time`."""
        dropped = {f"{name} {reason}": n for name, of in self.counters.items() for reason, n in of.dropped.items()}
        return {what: count for what, count in dropped.items() if count}


@dataclass(frozen=True)
class Enough:
    """Says when enough frames and blocks are recorded."""

    frames: int = 0
    blocks: int = 0

    def __call__(self, recorded: Recorded) -> bool:
        return len(recorded.frames) >= self.frames and len(recorded.blocks) >= self.blocks


def record(stream: StreamConfig, enough: Enough | None = None) -> Recorded:
    """Run the only source of a stream until `enough`, to its end, or for DEADLINE_S. Raises what the source raises."""
    recorded = Recorded()
    sources = build_sources(
        stream, sample_rate_hz=RATE_HZ, picture=True, counters=recorded.counters, packets=recorded.take_packet
    )
    (source,) = sources.values()
    recorded.run_source(source, lambda: enough is not None and enough(recorded), threading.Event())
    return recorded
