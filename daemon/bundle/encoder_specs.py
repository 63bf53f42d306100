"""The schema of a bundle's encoders: tensors, preprocessing, outputs and rates. No I/O. See docs/bundle.md."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from daemon.bundle.sound_preprocessing import SoundPreprocessing
from daemon.core.document import StrictModel, problem_at
from daemon.core.records import Modality

# The name of an encoder's only output in format 1.
ONLY_OUTPUT = "output"

# `transform: log` takes the logarithm of at least this, if an output does not say otherwise.
LOG_FLOOR = 1e-6

EDGETPU_OUTPUTS = ("edgetpu", "outputs")

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"

Number = Annotated[float, Field(allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]
PositiveNumber = Annotated[Number, Field(gt=0)]
Transform = Literal["none", "log", "l2"]
Statistic = Literal["mean", "max"]
MaxAgeMs = Annotated[int, Field(ge=1, le=3_600_000)]


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ValueError("expected the plain name of a file in the bundle's directory")
    return name


def _name(name: object) -> object:
    if isinstance(name, str) and not re.fullmatch(NAME, name):
        raise ValueError("expected a name of small letters, digits, _ and -, of at most 64 characters")
    return name


FileName = Annotated[str, AfterValidator(_file_name)]
Name = Annotated[str, Field(pattern=NAME), BeforeValidator(_name)]


class TensorSpec(StrictModel):
    """The expected input or output of a model; scale and zero point only where it is quantized."""

    shape: Annotated[list[PositiveInt], Field(min_length=1, max_length=5)]
    dtype: Literal["float32", "int8", "uint8", "int32"]
    scale: PositiveNumber | None = None
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


class OutputSpec(TensorSpec):
    """One output of a model, and the conversion of its real numbers to a part of the embedding.

    The part is `factor` times the transformed output. With `log` the output counts as `floor` where it is smaller.
    """

    transform: Transform = "none"
    floor: Annotated[Number, Field(ge=1e-9, le=1e6)] = LOG_FLOOR
    factor: Annotated[Number, Field(ge=1e-6, le=1e6)] = 1.0

    @model_validator(mode="after")
    def _check_floor(self) -> "OutputSpec":
        if self.floor != LOG_FLOOR and self.transform != "log":
            raise problem_at("needs `transform: log`", "floor")
        return self


def _needs_two_keys(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(f"expected {{model: {value}}}; only format 1 names the file alone")
    return value


class EdgetpuSpec(StrictModel):
    """The same model compiled for an Edge TPU. `outputs` names the outputs that it has; None: all."""

    model: FileName
    outputs: Annotated[list[Name], Field(min_length=1)] | None = None


class PoolSpec(StrictModel):
    """What is appended to the embedding: statistics of the encoder's embeddings of the latest seconds."""

    seconds: Annotated[Number, Field(gt=0, le=60)]
    of: Annotated[list[Statistic], Field(min_length=1, max_length=2)]

    @model_validator(mode="after")
    def _check_of(self) -> "PoolSpec":
        if len(set(self.of)) != len(self.of):
            raise ValueError("of must name each statistic once")
        return self


class ImagePreprocessing(StrictModel):
    """The conversion of a frame to the input (1, height, width, channels): x = (pixel - mean) / std, then quantized."""

    colour: Literal["rgb", "bgr", "grey"]
    fit: Literal["stretch", "pad", "crop"] = "stretch"
    resize: Literal["linear", "area"] = "linear"
    mean: Number = 0.0
    std: PositiveNumber = 1.0


class TextPreprocessing(StrictModel):
    """The conversion of text to ids of shape (1, length): each UTF-8 byte plus 1, then zeros."""

    encoding: Literal["utf-8-bytes"] = "utf-8-bytes"


class ImageInput(StrictModel):
    """The input of an encoder of frames."""

    input: TensorSpec
    preprocessing: ImagePreprocessing

    @model_validator(mode="after")
    def _check_input(self) -> "ImageInput":
        channels = 1 if self.preprocessing.colour == "grey" else 3
        if len(self.input.shape) != 4 or self.input.shape[0] != 1 or self.input.shape[3] != channels:
            raise ValueError(f"input.shape must be [1, height, width, {channels}] for this colour")
        if self.input.dtype == "int32":
            raise ValueError("input.dtype of an image must be uint8, int8 or float32")
        return self


class AudioInput(StrictModel):
    """The input of an encoder of sound."""

    input: TensorSpec
    preprocessing: SoundPreprocessing

    @model_validator(mode="after")
    def _check_input(self) -> "AudioInput":
        if [n for n in self.input.shape if n != 1] != [n for n in self.preprocessing.patch_shape if n != 1]:
            raise ValueError(f"input.shape must hold {self.preprocessing.patch_text}")
        if self.input.dtype == "int32":
            raise ValueError("input.dtype of audio must be uint8, int8 or float32")
        return self


class TextInput(StrictModel):
    """The input of an encoder of lines of text."""

    input: TensorSpec
    preprocessing: TextPreprocessing = TextPreprocessing()

    @model_validator(mode="after")
    def _check_input(self) -> "TextInput":
        if len(self.input.shape) != 2 or self.input.shape[0] != 1 or self.input.dtype != "int32":
            raise ValueError("input must be int32 of shape [1, length]")
        return self


class _EncoderSpec(StrictModel):
    model: FileName
    edgetpu: Annotated[EdgetpuSpec | None, BeforeValidator(_needs_two_keys)] = None
    input: TensorSpec
    outputs: Annotated[dict[Name, OutputSpec], Field(min_length=1, max_length=16)]
    pool: PoolSpec | None = None
    max_age_ms: MaxAgeMs

    @model_validator(mode="after")
    def _check_edgetpu_outputs(self) -> "_EncoderSpec":
        named = (self.edgetpu and self.edgetpu.outputs) or []
        if unknown := sorted(set(named) - set(self.outputs)):
            message = f"{', '.join(unknown)} is none of the outputs {', '.join(self.outputs)}"
            raise problem_at(message, *EDGETPU_OUTPUTS)
        if named != [name for name in self.outputs if name in named]:
            raise problem_at("must name each output once, in the order of outputs", *EDGETPU_OUTPUTS)
        return self

    @property
    def output_size(self) -> int:
        """Return the length of the embedding that the encoder gives: all outputs, one after another."""
        return sum(output.size for output in self.outputs.values())

    @property
    def size(self) -> int:
        """Return the length of the encoder's part of F: its embedding, and what `pool` appends."""
        return self.output_size * (1 + (len(self.pool.of) if self.pool else 0))

    @property
    def edgetpu_outputs(self) -> dict[str, OutputSpec]:
        """Return the outputs that the model for an Edge TPU has."""
        named = self.edgetpu.outputs if self.edgetpu else None
        return {name: output for name, output in self.outputs.items() if named is None or name in named}


class ImageSpec(ImageInput, _EncoderSpec):
    """An encoder of frames. It encodes at most `rate_hz` pictures a second; None: every picture."""

    modality: Literal["image"]
    rate_hz: Annotated[Number, Field(ge=0.01, le=1000)] | None = None

    @model_validator(mode="after")
    def _check_rate(self) -> "ImageSpec":
        # pictures come at moments of their own, so the next one that is taken may be nearly two periods away
        if self.rate_hz is not None and self.max_age_ms * self.rate_hz < 2000:
            message = f"must be at least {2000 / self.rate_hz:g}, twice the time between two pictures at rate_hz"
            raise problem_at(message, "max_age_ms")
        return self


class AudioSpec(AudioInput, _EncoderSpec):
    """An encoder of sound."""

    modality: Literal["audio"]

    @model_validator(mode="before")
    @classmethod
    def _check_rate(cls, value: object) -> object:
        if isinstance(value, dict) and "rate_hz" in value:
            hint = "preprocessing.stride_frames or stride_samples says how often sound is encoded"
            raise problem_at(f"only an encoder of pictures has a rate; {hint}", "rate_hz")
        return value


class TextSpec(TextInput, _EncoderSpec):
    """An encoder of lines of text."""

    modality: Literal["text"]


EncoderSpec = ImageSpec | AudioSpec | TextSpec


def _modality(value: object) -> object:
    """Return the modality of an encoder, given as a document or as a model."""
    return value.get("modality") if isinstance(value, dict) else getattr(value, "modality", None)


BY_MODALITY = Discriminator(
    _modality, custom_error_type="modality", custom_error_message="modality must be image, audio or text"
)

# An encoder of format 2, told apart by its modality.
AnyEncoder = Annotated[
    Annotated[ImageSpec, Tag("image")] | Annotated[AudioSpec, Tag("audio")] | Annotated[TextSpec, Tag("text")],
    BY_MODALITY,
]


def encoders_of(specs: Mapping[str, EncoderSpec], *modalities: Modality) -> dict[str, EncoderSpec]:
    """Return the encoders of these modalities."""
    return {name: spec for name, spec in specs.items() if spec.modality in modalities}
