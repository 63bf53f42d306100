"""The schema of a report. Each text has a list or a pattern, so that nothing else can stand in a report."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from daemon.core.errors import FaultKind
from daemon.core.records import Modality

Version = Annotated[str, Field(pattern=r"^\d{1,4}(\.\d{1,5}){0,2}$")]
Release = Annotated[str, Field(pattern=r"^\d{1,4}(\.\d{1,5}){0,2}(-[a-z0-9+]{1,10}){0,4}$")]
# words that daemon.doctor.hardware.words knows
Words = Annotated[str, Field(max_length=1000, pattern=r"^[A-Za-z0-9 .…@()+%_-]*$")]
Milliseconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Signal = Annotated[str, Field(pattern=r"^SIG[A-Z]{2,6}$")]
Word = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")]
Architecture = Literal["aarch64", "armv7l", "x86_64", "other"]
Outcome = Literal["works", "absent", "failed"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(_Part):
    """The machine. `model` is the board as device tree or BIOS name it, as far as its words are known.

    `load` is the load average of the minute before: other programs make the times longer where it is near `cores`.
    """

    model: Words | None
    virtual: bool
    architecture: Architecture
    processor: Words | None
    instructions: list[Word]
    cores: Count
    memory_mb: Count
    load: Annotated[float, Field(ge=0)]
    kernel: Release | None
    system: Word | None
    system_version: Version | None
    jetson: Version | None
    edge_tpus: list[Literal["usb", "pci"]]
    gpu_nodes: list[Word]


class Finding(_Part):
    """One check of doctor. `found` is told where it concerns the machine alone."""

    check: Word
    level: Literal["good", "warning", "failure"]
    found: Words | None


class Timing(_Part):
    """How long one encoder takes for one input. `on_cpu` counts inputs that the accelerator did not compute."""

    encoder: Word
    sense: Modality
    runs: Count
    p50_ms: Milliseconds | None
    p99_ms: Milliseconds | None
    on_cpu: Count = 0
    problem: Words | None = None


class Attempt(_Part):
    """One accelerator that was tried: how it ended, and what it said."""

    device: Literal["edgetpu-usb", "edgetpu-pci", "gpu", "delegate"]
    outcome: Outcome
    fault: FaultKind | None = None
    signal: Signal | None = None
    said: Words | None = None
    timings: list[Timing] = []


class BundleReport(_Part):
    """The bundle that was timed. Only the name of a published one is told."""

    name: Literal["digits", "home", "home-coral", "other"]
    version: Version | None
    encoders_on_cpu: list[Timing]


class VideoDevice(_Part):
    """One V4L2 device. `formats` are what it captures or decodes to, `coded` what a codec takes."""

    kind: Literal["camera", "codec", "other"]
    driver: Word | None
    formats: list[Annotated[str, Field(pattern=r"^[A-Z0-9]{2,4}$")]]
    coded: list[Annotated[str, Field(pattern=r"^[A-Z0-9]{2,4}$")]]


class Camera(_Part):
    """One camera or recording of the config: what it sends. A camera that does not open has a problem."""

    kind: Literal["v4l2", "network", "file"]
    codec: Word | None = None
    sound: Word | None = None
    width: Count | None = None
    height: Count | None = None
    fps: Annotated[float, Field(ge=0)] | None = None
    problem: Words | None = None


class Decoding(_Part):
    """One decoder of pictures, tried with a clip of 336x200. `software` is FFmpeg's own."""

    codec: Literal["h264", "hevc"]
    way: Literal["software", "v4l2m2m", "drm"]
    outcome: Outcome
    ms_a_picture: Milliseconds | None = None
    said: Words | None = None


class HardwareReport(_Part):
    """What `perceptd doctor --report` writes: a machine, and what ran on it. Nothing of who owns it, or where it is."""

    # raised when a field changes its meaning; a further field does not raise it
    schema_version: Literal[1] = Field(default=1, serialization_alias="schema", validation_alias="schema")
    perceptd: Version
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    machine: Machine
    libraries: dict[Word, Version | None]
    findings: list[Finding]
    bundle: BundleReport | None
    accelerators: list[Attempt]
    video_devices: list[VideoDevice]
    cameras: list[Camera]
    decoders: list[Decoding]
