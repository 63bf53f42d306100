"""What one live stream has captured in the latest seconds, before the gates. Teaching encodes windows of it."""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from daemon.bundle.encoder_specs import AudioSpec, EncoderSpec, ImageSpec
from daemon.bundle.manifest import Manifest
from daemon.core.errors import InputError
from daemon.core.records import MODALITIES, Block, Captured, Frame, Modality, ended_ns, modality_of
from daemon.core.timing import NS_PER_MS, NS_PER_S, Schedule, monotonic_ns
from daemon.encoders.resize import Size
from daemon.encoders.shrink import shrunk

# A press may take 5 s that ended 10 s ago, and what an encoder needs before that. It waits for some seconds itself.
KEEP_NS = 20 * NS_PER_S

# Pictures of a second that are kept. Encoders of other people's models take as many.
PICTURES_HZ = 2.0

# At most so much of each modality is kept. 20 s of sound at 96 kHz are 8 MB, and 40 pictures of 512 x 512 are 16 MB.
MAX_BYTES: Mapping[Modality, int] = {"image": 16_000_000, "audio": 8_000_000, "text": 100_000}

# what an item takes beside its content, so that many short lines are bounded too
ITEM_BYTES = 300


@dataclass(frozen=True, slots=True)
class Window:
    """What a stream captured from `start_ns` to `end_ns`, in the order of the ends.

    Before that come the items that encoders need to give embeddings from `start_ns` on.
    """

    items: Sequence[Captured]
    start_ns: int
    end_ns: int


class RecentInput:
    """Holds what one live stream has captured in the latest `KEEP_NS`. Thread-safe.

    Of pictures it holds small copies, at most `PICTURES_HZ`. No other picture is converted for it. A plane that equals
    that of the picture before is held once.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._lock = threading.Lock()
        self._items: dict[Modality, deque[Captured]] = {modality: deque() for modality in MODALITIES}
        self._bytes: dict[Modality, int] = dict.fromkeys(MODALITIES, 0)
        self._pictures = Schedule(PICTURES_HZ)
        self._late_ns: dict[Modality, int] = {}
        self.adapt_to(manifest)

    def adapt_to(self, manifest: Manifest) -> None:
        """Keep from now on what the encoders of this bundle need."""
        self._least = input_size(manifest)
        self._lead_ns = lead_ns(manifest)

    def add(self, captured: Captured) -> None:
        """Keep an item, or leave it out: a picture that comes too soon, or that cannot be converted.

        Called by one thread at a time.
        """
        if isinstance(captured, Frame):
            if not self._pictures.passes(captured.captured_ns):
                return
            try:
                captured = shrunk(captured, self._least)
            except InputError:  # its encoder finds the same, and counts it
                return
        modality = modality_of(captured)
        with self._lock:
            self._late_ns[modality] = monotonic_ns() - ended_ns(captured)
            kept = self._items[modality]
            before = kept[-1] if kept else None
            if isinstance(captured, Frame) and isinstance(before, Frame):
                captured = with_planes_of(before, captured)
            kept.append(captured)
            self._bytes[modality] += _size(captured)
            self._drop_old(ended_ns(captured) - KEEP_NS)

    def forget(self, *modalities: Modality) -> None:
        """Drop what was captured of these modalities."""
        with self._lock:
            for modality in modalities:
                self._items[modality].clear()
                self._late_ns.pop(modality, None)
                self._bytes[modality] = 0

    def window(self, start_ns: int, end_ns: int) -> Window:
        """Return what was captured in this interval, as far as it is still kept."""
        with self._lock:
            items = [
                item
                for modality, kept in self._items.items()
                for item in kept
                if ended_ns(item) > start_ns - self._lead_ns[modality] and _begin_ns(item) <= end_ns
            ]
        return Window(sorted(items, key=ended_ns), start_ns, end_ns)

    def newest_ns(self) -> dict[Modality, int]:
        """Return by modality the end of the newest item that is kept."""
        with self._lock:
            return {modality: ended_ns(kept[-1]) for modality, kept in self._items.items() if kept}

    @property
    def late_ns(self) -> int:
        """How long after its time the input comes now, of the modality that comes last."""
        with self._lock:
            return max(0, max(self._late_ns.values(), default=0))

    @property
    def size_bytes(self) -> int:
        """Return the memory of what is kept now; it is less where pictures share planes."""
        return sum(self._bytes.values())

    def _drop_old(self, until_ns: int) -> None:
        for modality, kept in self._items.items():
            while kept and (ended_ns(kept[0]) <= until_ns or self._bytes[modality] > MAX_BYTES[modality]):
                self._bytes[modality] -= _size(kept.popleft())


def with_planes_of(before: Frame, frame: Frame) -> Frame:
    """Return the frame with each plane of the picture before it that is equal, in place of its own."""
    if len(before.planes) != len(frame.planes):
        return frame
    pairs = zip(before.planes, frame.planes, strict=True)
    return replace(frame, content=tuple(old if np.array_equal(old, new) else new for old, new in pairs))


def input_size(manifest: Manifest) -> Size:
    """Return the smallest width and height that cover the input of each encoder of pictures."""
    shapes = [spec.input.shape for spec in manifest.of_modality(ImageSpec).values()]
    return max((shape[2] for shape in shapes), default=1), max((shape[1] for shape in shapes), default=1)


def lead_ns(manifest: Manifest) -> dict[Modality, int]:
    """Return by modality how long before a window its input begins to matter."""
    lead = dict.fromkeys(MODALITIES, 0)
    for spec in manifest.encoder_specs.values():
        lead[spec.modality] = max(lead[spec.modality], _lead_of(spec))
    return lead


def _lead_of(spec: EncoderSpec) -> int:
    pooled_ns = round(spec.pool.seconds * NS_PER_S) if spec.pool else 0
    if isinstance(spec, AudioSpec):
        how = spec.preprocessing
        return pooled_ns + (how.patch_samples + how.stride_samples) * NS_PER_S // how.sample_rate_hz
    return pooled_ns + spec.max_age_ms * NS_PER_MS


def _begin_ns(item: Captured) -> int:
    return item.start_ns if isinstance(item, Block) else item.captured_ns


def _size(item: Captured) -> int:
    if isinstance(item, Frame):
        content: int = sum(map(attrgetter("nbytes"), item.planes))
    else:
        content = item.samples.nbytes if isinstance(item, Block) else 4 * len(item.text)
    return ITEM_BYTES + content
