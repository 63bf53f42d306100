"""A microphone, captured in a child process, and the list of microphones."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event

import numpy as np

from daemon.core.errors import ChildError, SourceError
from daemon.core.media import DecoderStatus
from daemon.core.ports import Deliver
from daemon.core.records import Block, Counters, Modality
from daemon.core.timing import NS_PER_MS, monotonic_ns
from daemon.runtime.child import Child, RecordReceiver
from daemon.runtime.shared_ring import Record
from daemon.sources.capture.messages import SOUND_SLOT_BYTES, WAITING_CHUNKS, unpack_sound
from daemon.sources.capture.microphone import capture_microphone, print_microphones
from daemon.sources.stamping import BlockCutter, DriftMeter

# After a failure the next process looks this long for its microphone, because starting a process costs more.
# It is not longer, because the source reports nothing until the process ends.
PATIENCE_S = 2.0

# How long listing the microphones may take.
LIST_S = 5.0

# How often `stop` is checked while no sound comes.
CHECK_STOP_S = 0.1

# The times that sound servers report jitter by tens of milliseconds. A loss of sound is longer than this.
TOLERANCE_NS = 50 * NS_PER_MS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MicrophoneDevice:
    """A microphone: its device name for config.yaml, its number, its channels and its default sample rate.

    A source of the sound server has no number. `name` is the name for people.
    """

    device: str
    number: int | None
    channels: int
    sample_rate_hz: int
    name: str
    is_default: bool

    def __str__(self) -> str:
        number = "" if self.number is None else f"number {self.number}: "
        name = "" if self.name == self.device else f"{self.name}, "
        return f"{self.device}  ({number}{name}{self.channels} channels, {self.sample_rate_hz} Hz)"


class Microphone:
    """Delivers blocks of 20 ms from one channel of a sound device, stamped with the times that the device reports."""

    def __init__(
        self, device: int | str, channel: int | None, sample_rate_hz: int, counters: Mapping[Modality, Counters]
    ) -> None:
        """`device` "default" is the default of the system. `channel` counts from 0; None: the first with sound."""
        self.drift_ppm: float | None = None
        self.decoder: DecoderStatus | None = None
        self._label = f"microphone {device}"
        self._sample_rate_hz = sample_rate_hz
        self._drift = DriftMeter()
        self._channel: int | None = None
        self._counters = counters
        self._settings = {
            "device": None if device == "default" else device,
            "channel": channel,
            "sample_rate_hz": sample_rate_hz,
        }
        self._is_missing = False
        self._child: Child | None = None

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until stopped. Raises SourceError when the microphone is missing, or ends."""
        try:
            if self._child is not None:
                self._child.check_gone()
            with RecordReceiver(WAITING_CHUNKS, SOUND_SLOT_BYTES) as inlet, self._start(inlet) as child:
                self._child = child
                self._receive(child, inlet, deliver, stop)
        except ChildError as error:
            self._is_missing = True
            raise SourceError(f"{self._label}: {error}") from error

    def _start(self, inlet: RecordReceiver) -> Child:
        settings = {**self._settings, "patience_s": PATIENCE_S if self._is_missing else 0}
        return Child(capture_microphone, inlet.address, json.dumps(settings), inherits=inlet.descriptors)

    def _receive(self, child: Child, inlet: RecordReceiver, deliver: Deliver, stop: Event) -> None:
        cutter = BlockCutter(self._sample_rate_hz, TOLERANCE_NS)
        self._drift, self._channel = DriftMeter(), None
        self.drift_ppm = None
        while not stop.is_set():
            for record in inlet.receive(child, CHECK_STOP_S):
                if record.payload:
                    self._is_missing = False
                    self._take(record, cutter, deliver)

    def _take(self, record: Record, cutter: BlockCutter, deliver: Deliver) -> None:
        chunk = unpack_sound(record.payload)
        blocks = []
        lost = record.lost + chunk.overflows
        if lost:
            self._counters["audio"].drop("overflow", lost)
            blocks = cutter.end_run()
        if chunk.channel != self._channel:
            blocks += self._change_channel(chunk.channel, cutter)
        blocks += cutter.push(np.frombuffer(chunk.samples, np.float32), chunk.rate_hz, chunk.start_ns)
        for block in blocks:
            deliver(block)
        if any(block.gap for block in blocks):
            self._drift = DriftMeter()  # a new run has a new clock
        self._drift.observe(cutter.moved_ns, monotonic_ns())
        self.drift_ppm = self._drift.ppm

    def _change_channel(self, channel: int, cutter: BlockCutter) -> list[Block]:
        """Use another channel. Return the last blocks of the one before."""
        if self._channel is not None:
            log.warning("%s: channel %d is silent; using channel %d", self._label, self._channel + 1, channel + 1)
        self._channel = channel
        return cutter.end_run()


def list_microphones() -> list[MicrophoneDevice]:
    """Return the microphones of this machine. Raises SourceError when the sound system does not list them."""
    try:
        with Child(print_microphones) as child:
            return [MicrophoneDevice(**fields) for fields in json.loads(child.result(LIST_S))]
    except (ChildError, ValueError, TypeError) as error:
        raise SourceError(f"microphones: {error}") from error
