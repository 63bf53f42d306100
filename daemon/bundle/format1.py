"""The schema of `modalities`, by which a bundle of format 1 describes its encoders. No I/O. See docs/bundle.md."""

from typing import Any

from pydantic import model_validator

from daemon.bundle.encoder_specs import (
    ONLY_OUTPUT,
    AudioInput,
    AudioPreprocessing,
    AudioSpec,
    EdgetpuSpec,
    EncoderSpec,
    FileName,
    ImageInput,
    ImageSpec,
    MaxAgeMs,
    OutputSpec,
    TensorSpec,
    TextInput,
    TextSpec,
    Transform,
)
from daemon.core.document import StrictModel


class _ModalitySpec(StrictModel):
    model: FileName
    edgetpu: FileName | None = None
    input: TensorSpec
    output: TensorSpec
    transform: Transform = "none"
    max_age_ms: MaxAgeMs


class ImageModality(ImageInput, _ModalitySpec):
    """The encoder of frames."""


class AudioModality(AudioInput, _ModalitySpec):
    """The encoder of sound."""

    @model_validator(mode="after")
    def _check_format(self) -> "AudioModality":
        if not isinstance(self.preprocessing, AudioPreprocessing) or "kind" in self.preprocessing.model_fields_set:
            raise ValueError("preprocessing.kind needs `format: 2`")
        return self


class TextModality(TextInput, _ModalitySpec):
    """The encoder of lines of text."""


class Modalities(StrictModel):
    """The modalities of a bundle, at least one."""

    image: ImageModality | None = None
    audio: AudioModality | None = None
    text: TextModality | None = None

    @model_validator(mode="after")
    def _check_not_empty(self) -> "Modalities":
        if not self.encoders():
            raise ValueError("a bundle needs at least one of image, audio, text")
        return self

    def encoders(self) -> dict[str, EncoderSpec]:
        """Return the encoders in the form of format 2, in the order of the head's input."""
        found: dict[str, EncoderSpec] = {}
        if self.image:
            found["image"] = ImageSpec(modality="image", **_fields(self.image))
        if self.audio:
            found["audio"] = AudioSpec(modality="audio", **_fields(self.audio))
        if self.text:
            found["text"] = TextSpec(modality="text", **_fields(self.text))
        return found


def _fields(spec: ImageModality | AudioModality | TextModality) -> dict[str, Any]:
    return {
        "model": spec.model,
        "edgetpu": EdgetpuSpec(model=spec.edgetpu) if spec.edgetpu else None,
        "input": spec.input,
        "preprocessing": spec.preprocessing,
        "outputs": {ONLY_OUTPUT: OutputSpec(**spec.output.model_dump(), transform=spec.transform)},
        "max_age_ms": spec.max_age_ms,
    }
