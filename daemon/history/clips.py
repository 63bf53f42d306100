"""Writes the clip of an event: what a camera has sent, as it came, and sound beside it, as an MP4 file."""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import av

from daemon.core.files import create_own
from daemon.core.media import MediaPacket
from daemon.core.records import Block
from daemon.core.timing import NS_PER_S, wall_seconds
from daemon.history.clip_file import ClipFile
from daemon.history.records import MAX_CLIP_NS, Clip
from daemon.history.track_formats import can_write

log = logging.getLogger(__name__)

# the tracks of a file are declared at its beginning. So long a clip waits for its first picture and its first sound
WAIT_NS = 2 * NS_PER_S
# and for a key frame, when there are pictures
WAIT_FOR_KEY_NS = 10 * NS_PER_S
MAX_WAITING_BYTES = 16 << 20

# sound that begins less than this before the first picture is left out, so that a clip begins with a picture
MAX_LEAD_NS = NS_PER_S


class ClipWriter:
    """One clip that is being written. Used by one thread.

    Packets are written as they came, beginning at a key frame, and are not decoded. Blocks become Opus, where the
    camera sends no AAC. Times in the file are those of capture, so pictures and sound are in step.
    `is_full`: the clip takes no more, because it is at its longest, or the camera was opened again with another format.
    `is_cut`: something within it was lost, or it ends before its event.
    """

    def __init__(self, path: Path, *, with_sound: bool) -> None:
        """Create the file, which only this user may read. Raises OSError."""
        self._path, self._with_sound = path, with_sound
        self._file = create_own(path, 0o600)
        self._clip: ClipFile | None = None
        self._packets: list[MediaPacket] = []
        self._blocks: list[Block] = []
        self._formats: dict[str, MediaPacket] = {}
        self._has_blocks = False
        self._zero_ns = self._end_ns = 0
        self._needs_key = False
        self.is_full = self.is_cut = False

    def write(self, packets: Sequence[MediaPacket], blocks: Sequence[Block], *, is_lost: bool = False) -> None:
        """Write what has come since the last call. Raises OSError; the clip is then to be abandoned.

        `is_lost`: something is missing before these packets. Pictures go on at the next key frame.
        """
        if self.is_full:
            return
        if is_lost and self._packets:
            self._begin()
        if is_lost and self._clip is not None:
            self.is_cut = self._needs_key = True
        self._packets += [packet for packet in packets if self._with_sound or packet.format.kind == "video"]
        self._blocks += blocks if self._with_sound else []
        if self._clip is None and self._is_ready():
            self._begin()
        if self._clip is not None:
            self._write_waiting(self._clip)

    @property
    def size_bytes(self) -> int:
        """Return the bytes that were written so far. Raises ValueError once the clip is closed."""
        return self._file.tell()

    def close(self) -> Clip | None:
        """Finish the file, and flush it to disk. None: nothing was in it, and there is no file. Raises OSError."""
        if self._clip is None and not self.is_full:
            self._begin()
        if self._clip is None:
            self.abandon()
            return None
        self._write_waiting(self._clip)
        try:
            self._clip.finish()
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError):
                raise
            log.warning("a clip cannot be finished: %s", error)
            self.abandon()
            return None
        self._file.flush()
        os.fsync(self._file.fileno())
        size_bytes = self._file.tell()
        self._file.close()
        video = self._formats.get("video")
        return Clip(
            size_bytes,
            video.format.codec if video is not None else None,
            "aac" if "audio" in self._formats else "opus" if self._has_blocks else None,
            wall_seconds(self._zero_ns),
            self._clip.end_ns / NS_PER_S,
            self.is_cut,
        )

    def abandon(self) -> None:
        """Remove the file. Raises nothing."""
        self.is_full = True
        if self._clip is not None:
            self._clip.abandon()
        with suppress(OSError):  # a full disk: what is not written yet cannot be
            self._file.close()
        with suppress(OSError):
            self._path.unlink()

    def _is_ready(self) -> bool:
        """Return whether the first picture and the first sound are there, or have been waited for."""
        kinds = {packet.format.kind for packet in self._packets}
        has_key = self._first("video") is not None
        if has_key and (not self._with_sound or self._blocks or "audio" in kinds):
            return True
        times = [packet.captured_ns for packet in self._packets] + [block.start_ns for block in self._blocks]
        patience_ns = WAIT_FOR_KEY_NS if "video" in kinds and not has_key else WAIT_NS
        waiting_bytes = sum(len(packet.data) for packet in self._packets) + sum(
            block.samples.nbytes for block in self._blocks
        )
        return bool(times) and (max(times) - min(times) >= patience_ns or waiting_bytes > MAX_WAITING_BYTES)

    def _first(self, kind: str) -> MediaPacket | None:
        """Return the first packet of a kind with which its track can begin."""
        for packet in self._packets:
            if packet.format.kind == kind and (kind == "audio" or packet.is_key) and can_write(packet.format):
                return packet
        return None

    def _begin(self) -> None:
        """Declare the tracks of what is there. What cannot be in a clip is left out."""
        picture, sound = self._first("video"), self._first("audio")
        sound_ns = [packet.captured_ns for packet in (sound,) if packet] or [block.start_ns for block in self._blocks]
        if picture is None and not sound_ns:
            self.is_cut |= bool(self._packets)
            self._packets.clear()
            return
        if picture is not None:
            before = self._packets.index(picture)
            early, self._packets = self._packets[:before], self._packets[before:]
            self._packets[:0] = [packet for packet in early if packet.format.kind == "audio"]
        starts_ns = [*sound_ns[:1], *([picture.captured_ns] if picture else [])]
        self._zero_ns = min(starts_ns)
        if picture is not None and picture.captured_ns - self._zero_ns <= MAX_LEAD_NS:
            self._zero_ns = picture.captured_ns
        self._end_ns = self._zero_ns + MAX_CLIP_NS
        self._formats = {packet.format.kind: packet for packet in (picture, sound) if packet is not None}
        self._has_blocks = sound is None and bool(self._blocks)
        try:
            self._clip = ClipFile(self._file, self._zero_ns, picture, sound, has_blocks=self._has_blocks)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError):
                raise
            log.warning("a clip cannot be written: %s", error)
            self.is_full = True

    def _write_waiting(self, clip: ClipFile) -> None:
        packets, self._packets = self._packets, []
        blocks, self._blocks = self._blocks, []
        for packet in packets:
            if self._belongs(packet):
                self.is_cut |= not clip.add(packet)
        for block in blocks:
            if block.end_ns > self._zero_ns and self._is_within(block.start_ns):
                self.is_cut |= not clip.add_block(block)

    def _belongs(self, packet: MediaPacket) -> bool:
        """Return whether a packet is written.

        What comes after a change of the format is not written, and no picture without the key frame that it needs.
        """
        kind = packet.format.kind
        first = self._formats.get(kind)
        if first is None:
            self.is_cut = True
            return False
        if not self._is_within(packet.captured_ns):
            return False
        if packet.format is not first.format:
            if packet.format != first.format:
                self._end_at(packet.captured_ns)
                return False
            # the camera was opened again, and sends as before
            first = self._formats[kind] = packet
            self.is_cut = True
            self._needs_key |= kind == "video"
        if kind == "audio":
            return packet.captured_ns >= self._zero_ns
        if self._needs_key and not packet.is_key:
            return False
        self._needs_key = False
        # pictures that are shown before the first key frame need the one before it
        return packet.captured_ns >= first.captured_ns

    def _is_within(self, at_ns: int) -> bool:
        if at_ns >= self._end_ns:
            self._end_at(self._end_ns)
        return at_ns < self._end_ns

    def _end_at(self, end_ns: int) -> None:
        self._end_ns = min(self._end_ns, end_ns)
        self.is_full = self.is_cut = True
