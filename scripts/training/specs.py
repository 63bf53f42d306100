"""Inputs and labels of the encoders, shared by training and manifest."""

from daemon.bundle.encoder_specs import AudioPreprocessing, ImagePreprocessing, TensorSpec
from daemon.bundle.format1 import ImageModality

SEED = 20261123
# The most evidence that one sense can give for or against a label, in nats.
EVIDENCE_SPAN = 6.0
LABELS = [*"0123456789", "none"]
NONE = 10

IMAGE = ImageModality(
    model="image.tflite",
    input=TensorSpec(shape=[1, 120, 160, 1], dtype="float32"),
    preprocessing=ImagePreprocessing(colour="grey", fit="pad", resize="area", mean=0.0, std=255.0),
    output=TensorSpec(shape=[1, len(LABELS)], dtype="float32"),
    max_age_ms=500,
)
AUDIO = AudioPreprocessing(
    sample_rate_hz=8000,
    window_samples=256,
    hop_samples=128,
    fft_size=256,
    mel_bands=40,
    mel_low_hz=80,
    mel_high_hz=3800,
    log_offset=0.001,
    frames=72,
    stride_frames=6,
)
# Bytes of a line that the encoder reads. Longer lines are cut.
TEXT_LENGTH = 48
