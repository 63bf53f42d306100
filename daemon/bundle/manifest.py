"""The schema of `bundle.yaml`, format 1, and the rules its parts must keep; no I/O. See docs/bundle.md."""

import math
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from daemon.core.document import StrictModel
from daemon.core.records import MODALITIES, Modality

Number = Annotated[float, Field(allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ValueError("expected the plain name of a file inside the bundle")
    return name


FileName = Annotated[str, AfterValidator(_file_name)]
VERSION = r"^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}$"
"""Three numbers in their only form, so that two versions are equal when their texts are."""

Version = Annotated[str, Field(pattern=VERSION)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class TensorSpec(StrictModel):
    """What a model's input or output must be; scale and zero point only where it is quantized."""

    shape: Annotated[list[PositiveInt], Field(min_length=1, max_length=5)]
    dtype: Literal["float32", "int8", "uint8", "int32"]
    scale: Annotated[Number, Field(gt=0)] | None = None
    zero_point: int | None = None

    @model_validator(mode="after")
    def _quantization_is_whole(self) -> "TensorSpec":
        quantized = self.dtype in ("int8", "uint8")
        if quantized != (self.scale is not None) or quantized != (self.zero_point is not None):
            raise ValueError("scale and zero_point belong to dtype int8 and uint8, both or neither")
        return self

    @property
    def size(self) -> int:
        """How many numbers the tensor holds."""
        return math.prod(self.shape)


class ImagePreprocessing(StrictModel):
    """From a frame to the input (1, height, width, channels): x = (pixel - mean) / std, then quantized."""

    colour: Literal["rgb", "bgr", "grey"]
    fit: Literal["stretch", "pad", "crop"] = "stretch"
    resize: Literal["linear", "area"] = "linear"
    mean: Number = 0.0
    std: Annotated[Number, Field(gt=0)] = 1.0


class AudioPreprocessing(StrictModel):
    """From sound to a log-mel patch of shape (frames, mel_bands); see docs/bundle.md for the formula."""

    sample_rate_hz: Annotated[int, Field(ge=4_000, le=96_000)]
    window_samples: PositiveInt
    hop_samples: PositiveInt
    fft_size: Annotated[int, Field(ge=16, le=8192)]
    mel_bands: Annotated[int, Field(ge=1, le=512)]
    mel_low_hz: Annotated[Number, Field(ge=0)]
    mel_high_hz: Annotated[Number, Field(gt=0)]
    log_offset: Annotated[Number, Field(gt=0)] = 0.001
    frames: Annotated[int, Field(ge=1, le=10_000)]
    stride_frames: Annotated[int, Field(ge=1, le=10_000)]

    @model_validator(mode="after")
    def _fits_together(self) -> "AudioPreprocessing":
        if self.window_samples > self.fft_size:
            raise ValueError("window_samples must not exceed fft_size")
        if self.hop_samples > self.window_samples:
            raise ValueError("hop_samples must not exceed window_samples")
        if not self.mel_low_hz < self.mel_high_hz <= self.sample_rate_hz / 2:
            raise ValueError("expected mel_low_hz < mel_high_hz <= sample_rate_hz / 2")
        return self


class TextPreprocessing(StrictModel):
    """From text to ids of shape (1, length): each UTF-8 byte plus 1, then zeros."""

    encoding: Literal["utf-8-bytes"] = "utf-8-bytes"


class _ModalitySpec(StrictModel):
    model: FileName
    edgetpu: FileName | None = None
    input: TensorSpec
    output: TensorSpec
    transform: Literal["none", "log", "l2"] = "none"
    max_age_ms: Annotated[int, Field(ge=1, le=3_600_000)]


class ImageSpec(_ModalitySpec):
    """How a frame becomes an embedding."""

    preprocessing: ImagePreprocessing

    @model_validator(mode="after")
    def _input_fits(self) -> "ImageSpec":
        channels = 1 if self.preprocessing.colour == "grey" else 3
        if len(self.input.shape) != 4 or self.input.shape[0] != 1 or self.input.shape[3] != channels:
            raise ValueError(f"input.shape must be [1, height, width, {channels}] for this colour")
        if self.input.dtype == "int32":
            raise ValueError("input.dtype of an image must be uint8, int8 or float32")
        return self


class AudioSpec(_ModalitySpec):
    """How sound becomes an embedding."""

    preprocessing: AudioPreprocessing

    @model_validator(mode="after")
    def _input_fits(self) -> "AudioSpec":
        patch = [self.preprocessing.frames, self.preprocessing.mel_bands]
        if [n for n in self.input.shape if n != 1] != [n for n in patch if n != 1]:
            raise ValueError(f"input.shape must hold one patch of {patch[0]} frames x {patch[1]} bands")
        if self.input.dtype == "int32":
            raise ValueError("input.dtype of audio must be uint8, int8 or float32")
        return self


class TextSpec(_ModalitySpec):
    """How a line becomes an embedding."""

    preprocessing: TextPreprocessing = TextPreprocessing()

    @model_validator(mode="after")
    def _input_fits(self) -> "TextSpec":
        if len(self.input.shape) != 2 or self.input.shape[0] != 1 or self.input.dtype != "int32":
            raise ValueError("input must be int32 of shape [1, length]")
        return self


class Modalities(StrictModel):
    """The senses of a bundle; each may be left out, not all."""

    image: ImageSpec | None = None
    audio: AudioSpec | None = None
    text: TextSpec | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> "Modalities":
        if not self.present():
            raise ValueError("a bundle needs at least one of image, audio, text")
        return self

    def present(self) -> dict[Modality, ImageSpec | AudioSpec | TextSpec]:
        """The modalities there are, in the head's order."""
        specs = {modality: getattr(self, modality) for modality in MODALITIES}
        return {modality: spec for modality, spec in specs.items() if spec is not None}


class Threshold(StrictModel):
    """An event starts when the smoothed score reaches `start` and ends when it falls below `end`."""

    start: Annotated[Number, Field(gt=0, le=1)]
    end: Annotated[Number, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _hysteresis(self) -> "Threshold":
        if self.end > self.start:
            raise ValueError("end must not be above start")
        return self


class Thresholds(StrictModel):
    """The default and the labels that differ from it."""

    default: Threshold = Threshold(start=0.7, end=0.4)
    labels: dict[str, Threshold] = {}

    def of(self, label: str) -> Threshold:
        """The thresholds of one label."""
        return self.labels.get(label, self.default)


class Head(StrictModel):
    """The fusion head: a model with the outputs scores (1, L) and shares (1, M, L)."""

    model: FileName


class Selftest(StrictModel):
    """How far a score of a stored case may lie from the stored one."""

    tolerance: Annotated[Number, Field(gt=0, le=0.5)]


class Licence(StrictModel):
    """The licence of a part of the bundle, as an SPDX expression, and what it was made from."""

    part: str
    licence: str
    source: str


class Manifest(StrictModel):
    """A whole `bundle.yaml`."""

    format: Literal[1]
    name: Name
    version: Version
    description: str = ""
    labels: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(min_length=2, max_length=4096)]
    background: list[str] = []
    modalities: Modalities
    head: Head
    thresholds: Thresholds = Thresholds()
    selftest: Selftest
    licences: Annotated[list[Licence], Field(min_length=1)]
    provenance: dict[str, str] = {}

    @model_validator(mode="after")
    def _labels_are_known(self) -> "Manifest":
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must differ from each other")
        strangers = (set(self.background) | set(self.thresholds.labels)) - set(self.labels)
        if strangers:
            raise ValueError(f"background and thresholds name labels that are not in labels: {sorted(strangers)}")
        if set(self.background) == set(self.labels):
            raise ValueError("at least one label must not be background")
        return self

    @property
    def id(self) -> str:
        """Name and version: what recognitions and embeddings carry."""
        return f"{self.name}@{self.version}"

    @property
    def head_input_size(self) -> int:
        """The length of F = [image; audio; text; present]."""
        present = self.modalities.present()
        return sum(spec.output.size for spec in present.values()) + len(present)
