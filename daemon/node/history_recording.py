"""Records one event while it goes on: its clip from the ring of its stream, and its snapshot."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from daemon.core.files import create_own
from daemon.core.media import MediaPacket
from daemon.core.timing import NS_PER_MS, NS_PER_S, wall_seconds
from daemon.history.clips import ClipWriter
from daemon.history.records import Clip, KeptEvent, Paths
from daemon.history.remux import without_sound
from daemon.history.ring import MediaRing
from daemon.history.snapshots import snapshot_of
from daemon.node.history_following import ClipTimes, Followed

# of the pictures after the peak so much is held, because the nearest one may be the next one
AROUND_NS = 500 * NS_PER_MS

# The pictures around a peak are large. After so long without a higher one, one JPEG takes their place.
DECODE_AFTER_NS = 10 * NS_PER_S

# only the daemon's user may look at what is kept
SNAPSHOT_MODE = 0o600


def kept_event(event: Followed, started_s: float) -> KeptEvent:
    """Return an event as it is kept, without clip and snapshot; `started_s` is the wall time of its start.

    Its other times are reckoned from that one, so that a step of the clock changes no duration.
    """
    to_wall_s = started_s - event.started_ns / NS_PER_S
    return KeptEvent(
        id=event.id,
        stream=event.stream,
        label=event.label,
        bundle=event.bundle,
        started_s=started_s,
        peak_s=event.peak_ns / NS_PER_S + to_wall_s,
        peak=event.peak,
        shares=event.shares,
        ended_s=None if event.ended_ns is None else event.ended_ns / NS_PER_S + to_wall_s,
        ended_by=event.ended_by,
    )


class Recording:
    """One event that is being recorded. Used by the thread `history`; its calls wait for the disk and raise OSError.

    `event` is the event as far as it has come, and `times` are those of its clip. `is_clip_open`: the clip goes on.
    `is_cut`: something of it is missing. `is_ended`: the snapshot is written, and the event has its end in the store.
    """

    def __init__(
        self,
        event: Followed,
        times: ClipTimes,
        started_s: float,
        paths: Paths,
        ring: MediaRing | None,
        *,
        with_sound: bool,
    ) -> None:
        """`started_s` is the wall time of the start. `ring` None: there will be neither clip nor snapshot."""
        self.event = event
        self.times = times
        self.is_clip_open = ring is not None
        self.is_cut = self._is_lost = False
        # the peak of the snapshot that was published
        self.published_ns: int | None = None
        # when the clip really begins: with the key picture before
        self.begins_ns = times.begin_ns
        self._started_s = started_s
        self._paths = paths
        self._ring = ring
        self._mark = None if ring is None else ring.begin(times.begin_ns)
        self._with_sound = with_sound
        self._writer: ClipWriter | None = None
        self._clip: Clip | None = None
        # when the picture of the snapshot was captured, the pictures around that, and whether there is one after it
        self._picture_ns: int | None = None
        self._around: Sequence[MediaPacket] = ()
        self._has_next = False
        self._snapshot: bytes | None = None
        self.is_ended = False

    def follow(self, event: Followed, times: ClipTimes) -> None:
        """Take the event as far as it has come now."""
        self.event, self.times = event, times

    def take(self, now_ns: int) -> None:
        """Write to the clip what was captured since the last call."""
        self._hold_pictures()
        if self._picture_ns is not None and now_ns - self._picture_ns > DECODE_AFTER_NS:
            self.snapshot()
        if self._ring is None or self._mark is None or not self.is_clip_open:
            return
        taken, until_ns = self._ring.take(self._mark), self.times.until_ns
        self._mark = taken.mark
        self._is_lost |= taken.is_cut
        packets = [packet for packet in taken.packets if packet.captured_ns < until_ns]
        blocks = [block for block in taken.blocks if block.start_ns < until_ns]
        if not packets and not blocks:
            return
        if self._writer is None:
            begins_ns = [*(each.captured_ns for each in packets[:1]), *(each.start_ns for each in blocks[:1])]
            self.begins_ns = min([self.begins_ns, *begins_ns])
            self._writer = ClipWriter(self._paths.clip, with_sound=self._with_sound)
        self._writer.write(packets, blocks, is_lost=self._is_lost)
        # what is lost at the end of a clip, because the camera was closed, leaves no hole
        self.is_cut |= self._is_lost
        self._is_lost = False

    def close_clip(self, *, drops_sound: bool) -> None:
        """End the clip, though its event may go on."""
        writer, self._writer, self.is_clip_open = self._writer, None, False
        clip = None if writer is None else writer.close()
        if clip is not None:
            # the clock may have been stepped since the start
            to_start_s = self._started_s - wall_seconds(self.event.started_ns)
            ends_early = self.event.ended_ns is None or self.times.until_ns < self.event.ended_ns
            is_cut = clip.is_cut or self.is_cut or ends_early
            self._clip = replace(clip, begins_s=clip.begins_s + to_start_s, is_cut=is_cut)
            if drops_sound:
                self._drop_sound()

    def snapshot(self) -> bytes | None:
        """Return the picture at the peak so far as JPEG; None: there is none."""
        if self._around and self._picture_ns is not None:
            self._snapshot = snapshot_of(self._around, self._picture_ns)
            self._around = ()
        return self._snapshot

    def ended(self) -> KeptEvent:
        """Write the snapshot, once; return the event as it is kept, with its clip if that has ended."""
        if not self.is_ended:
            self._hold_pictures()
            snapshot = self.snapshot()
            if snapshot is not None:
                self._write_snapshot(snapshot)
            self.is_ended = True
        snapshot_bytes = None if self._snapshot is None else len(self._snapshot)
        return replace(self.kept(), clip=self._clip, snapshot_bytes=snapshot_bytes)

    def kept(self) -> KeptEvent:
        """Return the event as it is kept, without clip and snapshot."""
        return kept_event(self.event, self._started_s)

    def abandon(self) -> None:
        """Keep no clip, whatever is written already, and no snapshot that is not in the store. Raises nothing."""
        writer, self._writer, self.is_clip_open = self._writer, None, False
        self._ring = self._clip = None
        if writer is not None:
            writer.abandon()
        with suppress(OSError):
            self._paths.clip.unlink()
        if not self.is_ended:
            self._around, self._snapshot = (), None
            with suppress(OSError):
                self._paths.snapshot.unlink()

    def _drop_sound(self) -> None:
        """Replace the clip by one without its sound."""
        clip = self._clip
        if clip is None or clip.audio is None:
            return
        path = self._paths.clip
        if clip.video is None:
            path.unlink()
            self._clip = None
            return
        silent = path.with_suffix(".silent")
        self._clip = without_sound(clip, path, silent)
        silent.replace(path)

    def _write_snapshot(self, snapshot: bytes) -> None:
        with create_own(self._paths.snapshot, SNAPSHOT_MODE) as file:
            file.write(snapshot)
            file.flush()
            os.fsync(file.fileno())

    def _hold_pictures(self) -> None:
        """Hold the pictures around the peak before they leave the ring, until the one after it has come too."""
        at_ns = self.event.picture_ns
        if self._ring is None or (at_ns == self._picture_ns and self._has_next):
            return
        packets = self._ring.take(self._ring.begin(at_ns)).packets
        around = [each for each in packets if each.format.kind == "video" and each.captured_ns <= at_ns + AROUND_NS]
        if around:
            self._picture_ns, self._around = at_ns, around
            self._has_next = any(each.captured_ns > at_ns for each in around)
