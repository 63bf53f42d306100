"""A microphone, captured in a child process."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event

import numpy as np

from daemon.core.errors import ChildError, SourceError
from daemon.core.ports import Deliver
from daemon.core.records import Block, Counters, Modality
from daemon.core.timing import NS_PER_MS, monotonic_ns
from daemon.runtime.child import Child, RecordReceiver
from daemon.runtime.shared_ring import Record
from daemon.sources.capture.messages import SOUND_SLOT_BYTES, WAITING_PIECES, unpack_sound
from daemon.sources.capture.microphone import describe, listen
from daemon.sources.stamping import BlockCutter, DriftMeter

log = logging.getLogger(__name__)


PATIENCE_S = 2.0
"""A process that did not find its microphone is followed by one that looks for so long: to start one costs more than to
look again, and nothing may be silent for longer."""

ASK_S = 5.0
"""Within which a sound system says which microphones it has."""

LOOK_S = 0.1
"""How often we look whether to stop while there is no sound."""

TOLERANCE_NS = 50 * NS_PER_MS
"""The times that sound servers report jitter by tens of milliseconds; a real loss is told by more than this."""


@dataclass(frozen=True)
class MicrophoneDevice:
    """A microphone: the name or number that config.yaml takes, its channels, and the rate it runs at by itself.

    A source of the sound server has no number.
    """

    device: str
    number: int | None
    channels: int
    sample_rate_hz: int

    def __str__(self) -> str:
        number = "" if self.number is None else f"number {self.number}: "
        return f"{self.device}  ({number}{self.channels} channels, {self.sample_rate_hz} Hz)"


class Microphone:
    """Delivers blocks of 20 ms from one channel of a sound device, stamped with the time the device reports."""

    def __init__(
        self, device: int | str, channel: int | None, sample_rate_hz: int, counters: Mapping[Modality, Counters]
    ) -> None:
        """`channel` counts from 0, None: the first that carries sound; device "default" is what the system prefers."""
        self.drift_ppm: float | None = None
        self._label = f"microphone {device}"
        self._sample_rate_hz = sample_rate_hz
        self._drift = DriftMeter()
        self._channel: int | None = None
        self._counters = counters
        self._wanted = {
            "device": None if device == "default" else device,
            "channel": channel,
            "sample_rate_hz": sample_rate_hz,
        }
        self._is_missing = False
        self._child: Child | None = None

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until stopped. Raises SourceError when the microphone is missing or ends."""
        try:
            if self._child is not None:
                self._child.check_gone()
            with RecordReceiver(WAITING_PIECES, SOUND_SLOT_BYTES) as inlet, self._listener(inlet) as child:
                self._child = child
                self._pump(child, inlet, deliver, stop)
        except ChildError as error:
            self._is_missing = True
            raise SourceError(f"{self._label}: {error}") from error

    def _listener(self, inlet: RecordReceiver) -> Child:
        settings = {**self._wanted, "patience_s": PATIENCE_S if self._is_missing else 0}
        return Child(listen, inlet.address, json.dumps(settings), inherits=inlet.descriptors)

    def _pump(self, child: Child, inlet: RecordReceiver, deliver: Deliver, stop: Event) -> None:
        cutter = BlockCutter(self._sample_rate_hz, TOLERANCE_NS)
        self._drift, self._channel = DriftMeter(), None
        self.drift_ppm = None
        while not stop.is_set():
            for record in inlet.receive(child, LOOK_S):
                if record.payload:
                    self._is_missing = False
                    self._take(record, cutter, deliver)

    def _take(self, record: Record, cutter: BlockCutter, deliver: Deliver) -> None:
        piece = unpack_sound(record.payload)
        blocks = []
        lost = record.lost + piece.overflows
        if lost:
            self._counters["audio"].drop("overflow", lost)
            blocks = cutter.end_run()
        if piece.channel != self._channel:
            blocks += self._use_channel(piece.channel, cutter)
        blocks += cutter.push(np.frombuffer(piece.samples, np.float32), piece.rate_hz, piece.start_ns)
        for block in blocks:
            deliver(block)
        if any(block.gap for block in blocks):
            self._drift = DriftMeter()  # the time of the next run begins anew
        self._drift.observe(cutter.moved_ns, monotonic_ns())
        self.drift_ppm = self._drift.ppm

    def _use_channel(self, channel: int, cutter: BlockCutter) -> list[Block]:
        """Begin with this channel; gives what is left of another before it."""
        if self._channel is not None:
            log.warning("%s: channel %d is dead; channel %d is used", self._label, self._channel + 1, channel + 1)
        self._channel = channel
        return cutter.end_run()


def list_microphones() -> list[MicrophoneDevice]:
    """The microphones of this machine. Raises SourceError when the sound system cannot be asked."""
    try:
        with Child(describe) as child:
            return [MicrophoneDevice(**fields) for fields in json.loads(child.result(ASK_S))]
    except (ChildError, ValueError, TypeError) as error:
        raise SourceError(f"microphones: {error}") from error
