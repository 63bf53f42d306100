"""The ways to decode pictures in hardware, and whether this machine and this FFmpeg may have them."""

from dataclasses import dataclass
from pathlib import Path

import av

from daemon.core.media import DecoderSetting

# FFmpeg's names of the codecs that hardware may decode: H.264 and H.265
CODECS = ("h264", "hevc")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to decode in hardware: a decoder of FFmpeg of its own, or a device for FFmpeg's usual decoder.

    `nodes` are the files of which at least one exists where the `hardware` does. `hint` is what to do where it exists
    and cannot be opened.
    """

    name: str
    nodes: str
    hardware: str = "device"
    suffix: str = ""
    device: str | None = None
    hint: str | None = None

    def decoder_of(self, codec: str) -> str:
        """Return the name of FFmpeg's decoder for a codec."""
        return codec + self.suffix


# v4l2m2m is stateful, as for H.264 on a Raspberry Pi 4. drm is for drivers without state, as for H.265 on a Pi 4 and 5.
V4L2M2M = Way("v4l2m2m", "sys/class/video4linux/video*", "V4L2 device", suffix="_v4l2m2m")
DRM_HINT = "the service needs more devices for it: docs/sources.md#devices-for-drm"
DRM = Way("drm", "dev/dri/*", "DRM device", device="drm", hint=DRM_HINT)

# in the order in which they are tried
WAYS = (V4L2M2M, DRM)


def ways_of(setting: DecoderSetting) -> tuple[Way, ...]:
    """Return the ways that a setting allows, in the order in which they are tried. None of them: software."""
    return tuple(way for way in WAYS if setting in ("auto", way.name))


def absence(codec: str, way: Way, root: Path = Path("/")) -> str | None:
    """Return why a codec cannot be decoded this way, as far as that is known without opening a device."""
    if next(root.glob(way.nodes), None) is None:
        return f"this machine has no {way.hardware} (/{way.nodes})"
    name = way.decoder_of(codec)
    if name not in av.codecs_available:
        return f"this build of FFmpeg has no {name}"
    if way.device is not None:
        devices = {config.device_type.name for config in av.Codec(name, "r").hardware_configs or ()}
        if way.device not in devices:
            return f"this build of FFmpeg decodes no {codec} by {way.device}"
    return None
