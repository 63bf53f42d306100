"""What one live stream has captured in the latest seconds, coded as it is kept: a clip begins before its event."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import dropwhile
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from daemon.core.media import MediaFormat, MediaPacket
from daemon.core.records import Array, Block, Captured, Frame, Modality
from daemon.core.timing import NS_PER_S
from daemon.history.own_pictures import OwnPictures

# The most that one stream keeps. At 8 Mbit/s it is 16 s.
MAX_BYTES = 16_000_000

# What is older goes in any case, also where key pictures are further apart.
MAX_NS = 60 * NS_PER_S

# The thread `history` hears of an event so much later than the event starts, at most.
LATE_NS = 3 * NS_PER_S

# A camera whose frames or blocks come for so long without a packet of their kind sends a codec that is not kept. Then
# frames and blocks are kept instead. When a camera is opened, its first picture comes before its first packet.
FALLBACK_NS = 2 * NS_PER_S
FALLBACK_ITEMS = 5

# what an item takes beside its content
ITEM_BYTES = 200

# A camera has stopped where its latest picture is so much older than the start of a clip.
STOPPED_NS = 10 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a ring: pictures and sound with these numbers, or higher ones, come after it."""

    picture: int
    sound: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What came after a mark, in the order in which it came, and the mark for what comes next.

    `is_cut`: something after the mark is not there any more. Pictures of which some are lost begin at a key picture.
    """

    packets: Sequence[MediaPacket]
    blocks: Sequence[Block]
    mark: Mark
    is_cut: bool


@dataclass(frozen=True, slots=True)
class _Sound:
    """A block of sound, as 16-bit samples."""

    samples: NDArray[np.int16]
    sample_rate_hz: int
    captured_ns: int
    gap: bool

    def block(self) -> Block:
        samples: Array = self.samples.astype(np.float32) / np.float32(2**15)
        return Block(samples, self.sample_rate_hz, self.captured_ns, self.gap)


@dataclass(frozen=True, slots=True)
class _Kept:
    """An item with its number in the ring."""

    number: int
    item: MediaPacket | _Sound
    size_bytes: int

    @property
    def needs_key(self) -> bool:
        return isinstance(self.item, MediaPacket) and not self.item.is_key


@dataclass(frozen=True, slots=True)
class _Key:
    """A key picture that is kept."""

    number: int
    captured_ns: int
    format: MediaFormat


class _Track:
    """The kept pictures, or the kept sound. `lost_before`: what had a lower number is not there any more."""

    def __init__(self) -> None:
        self.kept: deque[_Kept] = deque()
        self.lost_before = 0

    def pop(self) -> _Kept:
        """Drop the oldest item, and return it."""
        oldest = self.kept.popleft()
        self.lost_before = oldest.number + 1
        return oldest

    def since(self, number: int) -> list[_Kept]:
        """Return what has this number or a higher one, oldest first."""
        return [kept for kept in self.kept if kept.number >= number]


class MediaRing:
    """Holds the latest packets, own pictures and sound of one live stream, bounded in bytes and seconds. Thread-safe.

    It keeps the seconds before an event, back to the key picture before them.
    `dropped` counts by reason. memory: went before its time, because there is too much; busy: frames that were not
    encoded in time; corrupt: frames that cannot be encoded.
    """

    def __init__(self, *, has_packets: bool, before_s: float) -> None:
        """`has_packets`: the camera's packets are kept. Otherwise only own pictures are.

        `before_s` is how long before the news of an event its clip begins.
        """
        self.has_packets = has_packets
        self._keep_ns = round(before_s * NS_PER_S) + LATE_NS
        self._own = OwnPictures()
        self._memory_drops = 0
        self._lock = threading.Lock()
        self._pictures, self._sound = _Track(), _Track()
        self._keys: deque[_Key] = deque()
        self._next = 0
        self._bytes = 0
        # of the latest picture
        self._format: MediaFormat | None = None
        # since when frames or blocks have come without a packet of their kind, and how many
        self._alone: dict[str, tuple[int, int]] = {}
        # how often pictures were forgotten
        self._forgotten = 0

    @property
    def size_bytes(self) -> int:
        """Return the memory of what is kept now, without the frames that wait to be encoded."""
        return self._bytes

    @property
    def dropped(self) -> dict[str, int]:
        """Return what was dropped, by reason."""
        return {"memory": self._memory_drops, **self._own.dropped}

    def add_packet(self, packet: MediaPacket) -> None:
        """Keep a packet of the camera. Called on the thread of the source; never blocks."""
        if self.has_packets:
            with self._lock:
                self._alone.pop(packet.format.kind, None)
                self._add_packet(packet)

    def add(self, captured: Captured) -> None:
        """Keep a frame or a block, unless packets come for it. Called by one thread at a time for each modality."""
        with self._lock:
            if isinstance(captured, Block) and self._is_alone("audio", captured.start_ns):
                samples = np.round(np.clip(captured.samples, -1, 1) * (2**15 - 1)).astype(np.int16)
                sound = _Sound(samples, captured.sample_rate_hz, captured.start_ns, captured.gap)
                self._keep(self._sound, sound, samples.nbytes)
            elif isinstance(captured, Frame) and self._is_alone("video", captured.captured_ns):
                self._own.add(captured)

    def encode_pictures(self) -> None:
        """Make packets of the frames that wait. Called on the thread `history`."""
        while True:
            with self._lock:
                frame, forgotten = self._own.pop(), self._forgotten
            if frame is None:
                return
            packet = self._own.encoded(frame)
            with self._lock:
                if packet is not None and forgotten == self._forgotten:
                    self._add_packet(packet)

    def begin(self, start_ns: int) -> Mark:
        """Return the mark of the last key picture at or before `start_ns`, else of the first one after it.

        Only the latest opening of the camera counts. Where it has stopped, the clip is sound from `start_ns` on.
        """
        with self._lock:
            key = self._key_at(start_ns)
            from_ns = start_ns if key is None else key.captured_ns
            sounds = (kept.number for kept in self._sound.kept if kept.item.captured_ns >= from_ns)
            return Mark(self._next if key is None else key.number, next(sounds, self._next))

    def take(self, since: Mark) -> Taken:
        """Return what came after a mark."""
        with self._lock:
            is_picture_lost = since.picture < self._pictures.lost_before
            is_cut = is_picture_lost or since.sound < self._sound.lost_before
            pictures, sounds = self._pictures.since(since.picture), self._sound.since(since.sound)
            mark = Mark(self._next, self._next)
        if is_picture_lost:
            pictures = list(dropwhile(attrgetter("needs_key"), pictures))
        items = [kept.item for kept in merge(pictures, sounds, key=attrgetter("number"))]
        packets = [item for item in items if isinstance(item, MediaPacket)]
        return Taken(packets, [item.block() for item in items if isinstance(item, _Sound)], mark, is_cut)

    def forget(self, *modalities: Modality) -> None:
        """Drop what was captured of these modalities. What comes after an earlier mark counts as cut."""
        with self._lock:
            if "image" in modalities:
                self._clear(self._pictures, "video")
                self._keys.clear()
                self._own.clear()
                self._format = None
                self._forgotten += 1
            if "audio" in modalities:
                self._clear(self._sound, "audio")

    def _clear(self, track: _Track, kind: str) -> None:
        self._bytes -= sum(kept.size_bytes for kept in track.kept)
        track.kept.clear()
        # a clip that had taken everything has a hole too
        self._next += 1
        track.lost_before = self._next
        self._alone.pop(kind, None)

    def _key_at(self, start_ns: int) -> _Key | None:
        if not self._pictures.kept or self._pictures.kept[-1].item.captured_ns < start_ns - STOPPED_NS:
            return None
        keys = [key for key in self._keys if key.format is self._keys[-1].format]
        before = [key for key in keys if key.captured_ns <= start_ns]
        return before[-1] if before else next(iter(keys), None)

    def _is_alone(self, kind: str, at_ns: int) -> bool:
        """Return whether no packet comes for a frame or a block."""
        since_ns, count = self._alone.get(kind, (at_ns, 0))
        self._alone[kind] = since_ns, count + 1
        return not self.has_packets or (count >= FALLBACK_ITEMS and at_ns - since_ns >= FALLBACK_NS)

    def _add_packet(self, packet: MediaPacket) -> None:
        if packet.format.kind == "audio":
            self._keep(self._sound, packet, len(packet.data))
        elif packet.is_key or packet.format is self._format:  # others refer to a picture that is not there
            if packet.is_key:
                self._keys.append(_Key(self._next, packet.captured_ns, packet.format))
            self._format = packet.format
            self._keep(self._pictures, packet, len(packet.data))

    def _keep(self, track: _Track, item: MediaPacket | _Sound, content_bytes: int) -> None:
        kept = _Kept(self._next, item, content_bytes + ITEM_BYTES)
        track.kept.append(kept)
        self._next += 1
        self._bytes += kept.size_bytes
        self._drop_old(item.captured_ns)

    def _drop_old(self, now_ns: int) -> None:
        until_ns = now_ns - self._keep_ns
        while len(self._keys) > 1 and self._keys[1].captured_ns <= until_ns:
            second = self._keys[1].number
            while self._pictures.kept[0].number < second:
                self._pop(self._pictures)
        if self._keys:
            until_ns = min(until_ns, self._keys[0].captured_ns)
        for track, limit_ns in ((self._pictures, now_ns - MAX_NS), (self._sound, max(until_ns, now_ns - MAX_NS))):
            while track.kept and track.kept[0].item.captured_ns < limit_ns:
                self._pop(track)
        while self._bytes > MAX_BYTES:
            tracks = [track for track in (self._pictures, self._sound) if track.kept]
            self._pop(min(tracks, key=_oldest))
            self._memory_drops += 1

    def _pop(self, track: _Track) -> None:
        popped = track.pop()
        self._bytes -= popped.size_bytes
        if self._keys and self._keys[0].number == popped.number:
            self._keys.popleft()


def _oldest(track: _Track) -> int:
    return track.kept[0].number
