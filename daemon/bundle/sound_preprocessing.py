"""The schema of the preprocessing of sound: log-mel patches or a waveform. No I/O. See docs/bundle.md."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from daemon.core.document import StrictModel


class AudioPreprocessing(StrictModel):
    """The conversion of sound to a log-mel patch of shape (frames, mel_bands); docs/bundle.md has the formula."""

    kind: Literal["log_mel"] = "log_mel"
    sample_rate_hz: Annotated[int, Field(ge=4_000, le=96_000)]
    window_samples: Annotated[int, Field(ge=1)]
    hop_samples: Annotated[int, Field(ge=1)]
    fft_size: Annotated[int, Field(ge=16, le=8192)]
    mel_bands: Annotated[int, Field(ge=1, le=512)]
    mel_low_hz: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    mel_high_hz: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    log_offset: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.001
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

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Return the shape of one patch."""
        return self.frames, self.mel_bands

    @property
    def patch_text(self) -> str:
        """Return what one patch is, for messages."""
        return f"one patch of {self.frames} frames x {self.mel_bands} bands"

    @property
    def patch_samples(self) -> int:
        """Return the number of samples from which one patch is computed."""
        return (self.frames - 1) * self.hop_samples + self.window_samples

    @property
    def stride_samples(self) -> int:
        """Return the number of samples from the beginning of one patch to that of the next."""
        return self.stride_frames * self.hop_samples


class WaveformPreprocessing(StrictModel):
    """The cut of sound into windows of `samples`, one every `stride_samples`: float32 in [-1, 1]."""

    kind: Literal["waveform"]
    sample_rate_hz: Annotated[int, Field(ge=4_000, le=96_000)]
    samples: Annotated[int, Field(ge=16, le=1_000_000)]
    stride_samples: Annotated[int, Field(ge=16, le=1_000_000)]

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Return the shape of one patch."""
        return (self.samples,)

    @property
    def patch_text(self) -> str:
        """Return what one patch is, for messages."""
        return f"{self.samples} samples"

    @property
    def patch_samples(self) -> int:
        """Return the number of samples in one patch."""
        return self.samples


def _sound_kind(value: object) -> object:
    """Return the kind of the preprocessing of sound, given as a document or as a model."""
    return value.get("kind", "log_mel") if isinstance(value, dict) else getattr(value, "kind", None)


# The discriminator makes a mistake appear once, not once for each member of the union.
SoundPreprocessing = Annotated[
    Annotated[AudioPreprocessing, Tag("log_mel")] | Annotated[WaveformPreprocessing, Tag("waveform")],
    Discriminator(_sound_kind, custom_error_type="kind", custom_error_message="kind must be log_mel or waveform"),
]
