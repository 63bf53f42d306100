"""Copies a clip without its sound, for `speech: drop`."""

import os
from dataclasses import replace
from pathlib import Path

import av

from daemon.core.files import create_own, open_own, removed_on_error
from daemon.history.records import Clip

MAX_CLIP_BYTES = 1 << 40


def without_sound(clip: Clip, source: Path, target: Path) -> Clip:
    """Copy the pictures of a finished clip, as they are coded, into `target`, and flush it to disk.

    Raises OSError, also when the clip cannot be read; there is no `target` then.
    """
    with removed_on_error(target):
        try:
            return _copy(clip, source, target)
        except (av.FFmpegError, ValueError, IndexError) as error:
            if isinstance(error, OSError):
                raise
            raise OSError(0, f"the clip cannot be copied: {error}", str(source)) from error


def _copy(clip: Clip, source: Path, target: Path) -> Clip:
    with create_own(target, 0o600) as file, open_own(source, MAX_CLIP_BYTES) as kept, av.open(kept) as given:
        with av.open(file, "w", format="mp4") as output:
            pictures = given.streams.video[0]
            track = output.add_stream_from_template(pictures, opaque=True)
            track.codec_context.codec_tag = pictures.codec_context.codec_tag
            track.time_base = pictures.time_base
            for packet in given.demux(pictures):
                if packet.dts is not None:
                    packet.stream = track
                    output.mux(packet)
        file.flush()
        os.fsync(file.fileno())
        return replace(clip, audio=None, size_bytes=file.tell())
