"""The schema of `bundle.yaml`, format 1, with the rules between its parts. No I/O. See docs/bundle.md."""

import math
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from daemon.core.document import StrictModel
from daemon.core.records import MODALITIES, Modality
from daemon.core.text import clean

MANIFEST = "bundle.yaml"
SELFTEST_DIRECTORY = "selftest"

# three numbers without leading zeros, so that two versions are equal when their texts are
VERSION = r"^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}$"

Number = Annotated[float, Field(allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ValueError("expected the plain name of a file in the bundle's directory")
    return name


def _language_code(code: object) -> object:
    # YAML 1.1 reads an unquoted no, Norwegian, as false
    if code is False:
        raise ValueError('found the language false; put no, the code of Norwegian, in quotes: "no"')
    if not isinstance(code, str) or not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}", code):
        raise ValueError(f"expected the code of a language such as de or pt-BR, found {clean(str(code))!r}")
    return code


def _shown_name(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("expected printable text without spaces around it")
    return name


FileName = Annotated[str, AfterValidator(_file_name)]
LanguageCode = Annotated[str, BeforeValidator(_language_code)]
ShownName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_shown_name)]
Version = Annotated[str, Field(pattern=VERSION)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class TensorSpec(StrictModel):
    """The expected input or output of a model; scale and zero point only where it is quantized."""

    shape: Annotated[list[PositiveInt], Field(min_length=1, max_length=5)]
    dtype: Literal["float32", "int8", "uint8", "int32"]
    scale: Annotated[Number, Field(gt=0)] | None = None
    zero_point: int | None = None

    @model_validator(mode="after")
    def _check_quantization(self) -> "TensorSpec":
        quantized = self.dtype in ("int8", "uint8")
        if quantized != (self.scale is not None) or quantized != (self.zero_point is not None):
            raise ValueError("dtype int8 and uint8 need scale and zero_point; the other dtypes take neither")
        return self

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)


class ImagePreprocessing(StrictModel):
    """The conversion of a frame to the input (1, height, width, channels): x = (pixel - mean) / std, then quantized."""

    colour: Literal["rgb", "bgr", "grey"]
    fit: Literal["stretch", "pad", "crop"] = "stretch"
    resize: Literal["linear", "area"] = "linear"
    mean: Number = 0.0
    std: Annotated[Number, Field(gt=0)] = 1.0


class AudioPreprocessing(StrictModel):
    """The conversion of sound to a log-mel patch of shape (frames, mel_bands); docs/bundle.md has the formula."""

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
    def _check_sizes(self) -> "AudioPreprocessing":
        if self.window_samples > self.fft_size:
            raise ValueError("window_samples must not exceed fft_size")
        if self.hop_samples > self.window_samples:
            raise ValueError("hop_samples must not exceed window_samples")
        if not self.mel_low_hz < self.mel_high_hz <= self.sample_rate_hz / 2:
            raise ValueError("expected mel_low_hz < mel_high_hz <= sample_rate_hz / 2")
        return self


class TextPreprocessing(StrictModel):
    """The conversion of text to ids of shape (1, length): each UTF-8 byte plus 1, then zeros."""

    encoding: Literal["utf-8-bytes"] = "utf-8-bytes"


class _ModalitySpec(StrictModel):
    model: FileName
    edgetpu: FileName | None = None
    input: TensorSpec
    output: TensorSpec
    transform: Literal["none", "log", "l2"] = "none"
    max_age_ms: Annotated[int, Field(ge=1, le=3_600_000)]


class ImageSpec(_ModalitySpec):
    """The encoder of frames."""

    preprocessing: ImagePreprocessing

    @model_validator(mode="after")
    def _check_input(self) -> "ImageSpec":
        channels = 1 if self.preprocessing.colour == "grey" else 3
        if len(self.input.shape) != 4 or self.input.shape[0] != 1 or self.input.shape[3] != channels:
            raise ValueError(f"input.shape must be [1, height, width, {channels}] for this colour")
        if self.input.dtype == "int32":
            raise ValueError("input.dtype of an image must be uint8, int8 or float32")
        return self


class AudioSpec(_ModalitySpec):
    """The encoder of sound."""

    preprocessing: AudioPreprocessing

    @model_validator(mode="after")
    def _check_input(self) -> "AudioSpec":
        patch = [self.preprocessing.frames, self.preprocessing.mel_bands]
        if [n for n in self.input.shape if n != 1] != [n for n in patch if n != 1]:
            raise ValueError(f"input.shape must hold one patch of {patch[0]} frames x {patch[1]} bands")
        if self.input.dtype == "int32":
            raise ValueError("input.dtype of audio must be uint8, int8 or float32")
        return self


class TextSpec(_ModalitySpec):
    """The encoder of lines of text."""

    preprocessing: TextPreprocessing = TextPreprocessing()

    @model_validator(mode="after")
    def _check_input(self) -> "TextSpec":
        if len(self.input.shape) != 2 or self.input.shape[0] != 1 or self.input.dtype != "int32":
            raise ValueError("input must be int32 of shape [1, length]")
        return self


class Modalities(StrictModel):
    """The modalities of a bundle, at least one."""

    image: ImageSpec | None = None
    audio: AudioSpec | None = None
    text: TextSpec | None = None

    @model_validator(mode="after")
    def _check_not_empty(self) -> "Modalities":
        if not self.present():
            raise ValueError("a bundle needs at least one of image, audio, text")
        return self

    def present(self) -> dict[Modality, ImageSpec | AudioSpec | TextSpec]:
        """Return the modalities of this bundle, in the order of the head's input."""
        specs = {modality: getattr(self, modality) for modality in MODALITIES}
        return {modality: spec for modality, spec in specs.items() if spec is not None}


class Threshold(StrictModel):
    """An event starts when the smoothed score reaches `start` and ends when it falls below `end`."""

    start: Annotated[Number, Field(gt=0, le=1)]
    end: Annotated[Number, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _check_order(self) -> "Threshold":
        if self.end > self.start:
            raise ValueError("end must not be above start")
        return self


class Thresholds(StrictModel):
    """The default thresholds, and those of single labels."""

    default: Threshold = Threshold(start=0.7, end=0.4)
    labels: dict[str, Threshold] = {}

    def of(self, label: str) -> Threshold:
        """Return the thresholds of one label."""
        return self.labels.get(label, self.default)


class LabelInfo(StrictModel):
    """How other programs show a label. Recognition does not depend on it.

    `names` has the label's name in each language, `kind` the senses that perceive the label. `device_class` and `icon`
    are those of Home Assistant's binary sensor, which is enabled by default if the label is `shown`.
    """

    names: Annotated[dict[LanguageCode, ShownName], Field(max_length=100)] = {}
    kind: Literal["sound", "sight", "both"] | None = None
    device_class: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")] | None = None
    icon: Annotated[str, Field(pattern=r"^mdi:[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)] | None = None
    shown: bool = False


class Head(StrictModel):
    """The fusion head: a model with the outputs scores (1, L) and shares (1, M, L)."""

    model: FileName


class Selftest(StrictModel):
    """The largest difference between a score and the stored score of a self-test case."""

    tolerance: Annotated[Number, Field(gt=0, le=0.5)]


class Licence(StrictModel):
    """The licence of a part of the bundle as an SPDX expression, and the source of that part."""

    part: str
    licence: str
    source: str


class Manifest(StrictModel):
    """The content of `bundle.yaml`."""

    format: Literal[1]
    name: Name
    version: Version
    description: str = ""
    labels: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(min_length=2, max_length=4096)]
    background: list[str] = []
    label_info: dict[str, LabelInfo] = {}
    modalities: Modalities
    head: Head
    thresholds: Thresholds = Thresholds()
    selftest: Selftest
    licences: Annotated[list[Licence], Field(min_length=1)]
    provenance: dict[str, str] = {}

    @model_validator(mode="after")
    def _check_labels(self) -> "Manifest":
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be different from each other")
        unknown = (set(self.background) | set(self.thresholds.labels) | set(self.label_info)) - set(self.labels)
        if unknown:
            raise ValueError(
                f"background, thresholds and label_info name labels that are not in labels: {sorted(unknown)}"
            )
        if set(self.background) == set(self.labels):
            raise ValueError("at least one label must not be background")
        return self

    @property
    def id(self) -> str:
        """Return name and version, as recognitions carry them."""
        return f"{self.name}@{self.version}"

    @property
    def head_input_size(self) -> int:
        """Return the length of the head's input: all embeddings, then one presence flag for each modality."""
        present = self.modalities.present()
        return sum(spec.output.size for spec in present.values()) + len(present)
