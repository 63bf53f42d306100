"""How the encoders hear, see and read: what training and the manifest share."""

from daemon.bundle.manifest import AudioPreprocessing, ImagePreprocessing, ImageSpec, TensorSpec

SEED = 20261123
EVIDENCE_SPAN = 6.0
"""Nats: what one sense can say for or against a label, at most."""
LABELS = [*"0123456789", "none"]
NONE = 10

IMAGE = ImageSpec(
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
TEXT_LENGTH = 48
"""Bytes of a line that are read; longer ones are cut."""
