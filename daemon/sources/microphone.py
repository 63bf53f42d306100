"""A microphone, captured in a child process."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event

import numpy as np

from daemon.children.pieces import SLOT_BYTES, WAITING_PIECES, unpack
from daemon.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from daemon.errors import ChildError, SourceError
from daemon.ports import Deliver
from daemon.records import Counters, Modality
from daemon.runtime.child import Child, RecordInlet
from daemon.runtime.ring import Record
from daemon.sources.sound import BlockCutter

LISTEN = "daemon.children.microphone:listen"
DESCRIBE = "daemon.children.microphone:describe"

SILENT_S = 3.0
"""A sound server that is frozen, or has suspended the microphone, says nothing: only the sound stays away."""

START_S = 10.0
"""Within which a process begins to run, however busy the machine; no device has a part in it."""

ASK_S = 5.0
"""Within which a sound system says which microphones it has."""

LOOK_S = 0.1
"""How often we look whether to stop while there is no sound."""

TOLERANCE_NS = 50 * NS_PER_MS
"""The times that sound servers report jitter by tens of milliseconds; a real loss is told by more than this."""


@dataclass(frozen=True)
class MicrophoneDevice:
    """A microphone: the name or number that config.yaml takes, its channels, and the rate it runs at by itself."""

    device: str
    number: int
    channels: int
    sample_rate_hz: int

    def __str__(self) -> str:
        return f"{self.device}  (number {self.number}: {self.channels} channels, {self.sample_rate_hz} Hz)"


class Microphone:
    """Delivers blocks of 20 ms from one channel of a sound device, stamped with the time the device reports."""

    def __init__(
        self, device: int | str, channel: int, sample_rate_hz: int, counters: Mapping[Modality, Counters]
    ) -> None:
        """`channel` counts from 0; device "default" is the one the system prefers."""
        self.drift_ppm: float | None = None
        self._label = f"microphone {device}"
        self._sample_rate_hz = sample_rate_hz
        self._counters = counters
        wanted = {
            "device": None if device == "default" else device,
            "channel": channel,
            "sample_rate_hz": sample_rate_hz,
        }
        self._settings = json.dumps(wanted)

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until stopped. Raises SourceError when the microphone is missing, ends or falls silent."""
        try:
            with RecordInlet(WAITING_PIECES, SLOT_BYTES) as inlet, self._listener(inlet) as child:
                self._pump(child, inlet, deliver, stop)
        except ChildError as error:
            raise SourceError(f"{self._label}: {error}") from error

    def _listener(self, inlet: RecordInlet) -> Child:
        return Child(LISTEN, inlet.address, self._settings, inherits=inlet.descriptors)

    def _pump(self, child: Child, inlet: RecordInlet, deliver: Deliver, stop: Event) -> None:
        cutter = BlockCutter(self._sample_rate_hz, TOLERANCE_NS)
        heard_ns, patience_s = monotonic_ns(), START_S
        while not stop.is_set():
            records = inlet.receive(child, LOOK_S)
            if records:
                heard_ns, patience_s = monotonic_ns(), SILENT_S
            elif monotonic_ns() - heard_ns > patience_s * NS_PER_S:
                raise SourceError(f"{self._label}: no sound for {patience_s:g} s")
            for record in records:
                if record.payload:
                    self._take(record, cutter, deliver)

    def _take(self, record: Record, cutter: BlockCutter, deliver: Deliver) -> None:
        piece = unpack(record.payload)
        blocks = []
        lost = record.lost + piece.overflows
        if lost:
            self._counters["audio"].drop("overflow", lost)
            blocks = cutter.end_run()
        for block in blocks + cutter.push(np.frombuffer(piece.samples, np.float32), piece.rate_hz, piece.start_ns):
            deliver(block)


def list_microphones() -> list[MicrophoneDevice]:
    """The microphones of this machine. Raises SourceError when the sound system cannot be asked."""
    try:
        with Child(DESCRIBE) as child:
            return [MicrophoneDevice(**fields) for fields in json.loads(child.result(ASK_S))]
    except (ChildError, ValueError, TypeError) as error:
        raise SourceError(f"microphones: {error}") from error
