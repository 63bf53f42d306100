"""Writes clips with flashes in the picture and beeps in the sound at known times."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import av
import numpy as np

BEEP_S = 0.04


def write_clip(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: int = 25,
    size: tuple[int, int] = (64, 48),
    sound_hz: int | None = 44_100,
    flashes_s: Sequence[float] = (),
    beeps_s: Sequence[float] = (),
    picture: bool = True,
    missing: Collection[int] = (),
    video_codec: str = "libx264",
    keys_s: float | None = None,
    audio_codec: str = "aac",
    pixel_format: str = "yuv420p",
    matrix: int | None = None,
    options: Mapping[str, str] | None = None,
    sound_seconds: float | None = None,
    layout: str = "mono",
) -> Path:
    """Write a clip: a grey picture that is white for one frame at each flash, and silence with 1 kHz beeps of 40 ms.

    `missing` are the numbers of omitted pictures. `matrix` is FFmpeg's number of the colour matrix (AVCOL_SPC) to
    write into the file; grey is the same in all. A key frame comes every `keys_s`.
    `options` are those of FFmpeg's muxer.
    `sound_seconds` is the length of the sound, where it is another. All channels of `layout` have the same sound.
    """
    with av.open(str(path), "w", options=dict(options or {})) as container:
        if picture:
            video = container.add_stream(video_codec, rate=fps)
            video.width, video.height, video.pix_fmt = *size, pixel_format
            # only one of the two reads each option
            video.options = {"preset": "ultrafast", "bf": "2", "x265-params": "bframes=2:log-level=none"}
            if keys_s is not None:
                video.gop_size = round(keys_s * fps)
            if matrix is not None:
                video.codec_context.colorspace = matrix
        if sound_hz:
            audio = container.add_stream(audio_codec, rate=sound_hz)
            audio.layout = layout
        if picture:
            bright = {round(at * fps) for at in flashes_s}
            for number in sorted(set(range(round(seconds * fps))) - set(missing)):
                pixels = np.full((size[1], size[0], 3), 250 if number in bright else 60, np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
                frame.pts = number
                container.mux(video.encode(frame))
            container.mux(video.encode())
        if sound_hz:
            samples = _beeps(seconds if sound_seconds is None else sound_seconds, sound_hz, beeps_s)
            channels = audio.layout.nb_channels
            for start in range(0, len(samples), 1024):
                part = np.repeat(samples[start : start + 1024], channels)[None]
                sound = av.AudioFrame.from_ndarray(part, format="s16", layout=layout)
                sound.sample_rate, sound.pts = sound_hz, start
                container.mux(audio.encode(sound))
            container.mux(audio.encode())
    return path


def _beeps(seconds: float, rate_hz: int, beeps_s: Sequence[float]) -> np.ndarray:
    samples = np.zeros(round(seconds * rate_hz), np.int16)
    beep = (16_000 * np.sin(2 * np.pi * 1000 * np.arange(round(BEEP_S * rate_hz)) / rate_hz)).astype(np.int16)
    for at in beeps_s:
        start = round(at * rate_hz)
        samples[start : start + len(beep)] = beep[: len(samples) - start]
    return samples


def write_shifted(path: Path, source: Path, by_s: float) -> Path:
    """Write the packets of a clip into another file, with times that are later."""
    with av.open(str(source)) as given, av.open(str(path), "w") as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is None or packet.pts is None:
                continue
            ticks = round(by_s / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            packet.stream = streams[packet.stream.index]
            written.mux(packet)
    return path


def write_joined(path: Path, parts: Sequence[Path]) -> Path:
    """Write a file that consists of other files, as `cat` joins them."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path
