"""Makes a small H.264 film of a kept clip, which every browser plays. Runs in a child process.

The page hands the function to that process and imports no FFmpeg itself, so the function imports it. A clip comes
from a camera, which may be hostile: pixels, seconds, memory and processor time are bounded.
"""

import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from daemon.core.timing import NS_PER_S, FrameRate
from daemon.runtime.child_main import MB, Failed, confine

if TYPE_CHECKING:
    import av
    from av.container import InputContainer, OutputContainer

MAX_WIDTH = 640
MAX_FPS = 15
MAX_S = 120
# pictures of 12 megapixels, and what a decoder keeps of them
MAX_PIXELS = 4096 * 3072
MEMORY_MB = 768
# a Raspberry Pi 4 decodes H.265 of 1080p about as fast as it is shown
PROCESSOR_S = 240.0
MAX_FILM_BYTES = 64 * MB

# a film that a phone shows; a key frame every two seconds, so that it can be searched
ENCODER = {"preset": "veryfast", "crf": "26", "g": str(2 * MAX_FPS)}
TIME_BASE = Fraction(1, 90_000)

# AVCOL_SPC_SMPTE170M and AVCOL_RANGE_MPEG: the colours of small films, whatever those of the camera are
BT601, LIMITED_RANGE = 6, 1

# what browsers play beside H.264
COPIED_SOUND = ("aac", "opus")


def render_h264(clip: str, target: str) -> None:
    """In a child process: write a film of the clip at descriptor `clip` into the empty file at descriptor `target`.

    It has H.264 of at most MAX_WIDTH pixels, MAX_FPS pictures a second and MAX_S seconds, and the sound of the clip.
    Raises Failed with the reason.
    """
    import av

    confine(MEMORY_MB, PROCESSOR_S, MAX_FILM_BYTES)
    try:
        with open(int(clip), "rb", closefd=False) as file:
            file.seek(0)
            # of this format only: others lead FFmpeg to further files
            with av.open(file, "r", format="mp4", metadata_errors="replace") as given:
                _render(given, int(target))
    except MemoryError:
        raise Failed("the clip needs too much memory to be shown") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Failed(f"the clip cannot be shown: {getattr(error, 'strerror', None) or error}") from error


def _render(given: "InputContainer", target: int) -> None:
    import av

    if not given.streams.video or given.streams.video[0].codec_context is None:
        raise Failed("the clip has no pictures that can be decoded")
    # FFmpeg reads the file again to put its table of contents first. So it opens it by name
    with av.open(f"/proc/self/fd/{target}", "w", format="mp4", options={"movflags": "+faststart"}) as output:
        written = _film(given, output)
    if not written:
        os.ftruncate(target, 0)
        raise Failed("no picture of the clip can be decoded")


def _film(given: "InputContainer", output: "OutputContainer") -> int:
    """Write pictures and sound; return the number of pictures."""
    import av

    pictures = given.streams.video[0]
    pictures.codec_context.thread_count = 1
    pictures.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    film = output.add_stream("libx264", rate=MAX_FPS, options=ENCODER)
    film.width, film.height = _size(pictures.width, pictures.height)
    film.pix_fmt, film.codec_context.time_base, film.codec_context.thread_count = "yuv420p", TIME_BASE, 1
    film.codec_context.colorspace, film.codec_context.color_range = BT601, LIMITED_RANGE
    # PyAV gives no codec context to what FFmpeg cannot decode
    sounds = [
        sound for sound in given.streams.audio if sound.codec_context and sound.codec_context.name in COPIED_SOUND
    ][:1]
    copies = {sound.index: output.add_stream_from_template(sound, opaque=True) for sound in sounds}
    rate, written, latest_ns = FrameRate(MAX_FPS), 0, -1
    for packet in given.demux(pictures, *sounds):
        if packet.dts is not None and packet.dts * packet.time_base > MAX_S:
            break
        if packet.stream.index in copies:
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
            continue
        try:
            decoded = packet.decode()
        except av.InvalidDataError:
            continue
        for picture in decoded:
            at_ns = _time_ns(picture)
            if at_ns is not None and at_ns > latest_ns and rate.takes(at_ns):
                latest_ns = at_ns
                output.mux(film.encode(_small(picture, film.width, film.height, at_ns)))
                written += 1
    output.mux(film.encode(None))
    return written


def _time_ns(picture: Any) -> int | None:
    if picture.pts is None or picture.time_base is None:
        return None
    return int(picture.pts * picture.time_base * NS_PER_S)


def _small(picture: Any, width: int, height: int, at_ns: int) -> "av.VideoFrame":
    small: av.VideoFrame = picture.reformat(width, height, "yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")
    small.pts, small.time_base = int(at_ns * TIME_BASE.denominator / NS_PER_S), TIME_BASE
    # the encoder chooses its own key frames
    small.pict_type = 0
    return small


def _size(width: int, height: int) -> tuple[int, int]:
    """Return the size of the film: even, at most MAX_WIDTH wide. Raises Failed for pictures that are too large."""
    if not 2 <= width * height <= MAX_PIXELS:
        raise Failed(f"the pictures have {width} x {height} pixels, at most {MAX_PIXELS} are shown")
    narrow = min(width, MAX_WIDTH)
    return max(2, narrow // 2 * 2), max(2, height * narrow // width // 2 * 2)
