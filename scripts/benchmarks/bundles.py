"""The measured bundles: the shipped one, and one made of MobileNetV2 int8 and YAMNet."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from daemon.inference.graphs import write_head

ROOT = Path(__file__).resolve().parents[2]
SHARED_MODELS = ROOT.parent / "shared" / "models"
DIGITS = ROOT / "models" / "digits"
REAL_RATE_HZ = 16_000
IMAGE = "tf2_mobilenet_v2_1.0_224_ptq.tflite"
AUDIO = "yamnet_spectra_in.tflite"
LABELS = [f"label-{index}" for index in range(10)]


def bundles(directory: Path, only: str | None = None) -> Iterator[tuple[str, Path, int]]:
    """Name, directory and sample rate in Hz of each bundle to measure; of one bundle if `only` names it."""
    if only in (None, "digits"):
        manifest = yaml.safe_load((DIGITS / "bundle.yaml").read_text())
        yield "digits", DIGITS, manifest["modalities"]["audio"]["preprocessing"]["sample_rate_hz"]
    if only in (None, "real"):
        if not SHARED_MODELS.is_dir():
            print(f"skipping the real bundle, because there are no models in {SHARED_MODELS}", file=sys.stderr)
            return
        build_real_bundle(SHARED_MODELS, directory / "bundle")
        yield "real", directory / "bundle", REAL_RATE_HZ


def build_real_bundle(models: Path, directory: Path) -> None:
    """Write the bundle. The weights of its head are random, so its labels mean nothing, but its cost is real."""
    directory.mkdir(parents=True)
    for name in (IMAGE, AUDIO):
        shutil.copyfile(models / name, directory / name)
    generator = np.random.default_rng(1)
    weights = generator.normal(0, 0.05, (len(LABELS), 1001 + 521 + 2)).astype(np.float32)
    (directory / "head.tflite").write_bytes(write_head(weights, np.zeros(len(LABELS), np.float32), [1001, 521]))
    (directory / "bundle.yaml").write_text(yaml.safe_dump(_manifest(), sort_keys=False))


def _manifest() -> dict:
    return {
        "format": 1,
        "name": "bench",
        "version": "1.0.0",
        "description": "MobileNetV2 and YAMNet with a random head, for benchmarks",
        "labels": LABELS,
        "modalities": {
            "image": {
                "model": IMAGE,
                "input": {
                    "shape": [1, 224, 224, 3],
                    "dtype": "uint8",
                    "scale": 0.007843137718737125,
                    "zero_point": 127,
                },
                "preprocessing": {"colour": "rgb", "fit": "stretch", "resize": "linear", "mean": 127, "std": 127.5},
                "output": {"shape": [1, 1001], "dtype": "uint8", "scale": 0.00390625, "zero_point": 0},
                "max_age_ms": 500,
            },
            "audio": {
                "model": AUDIO,
                "input": {"shape": [1, 96, 64], "dtype": "float32"},
                "preprocessing": {
                    "sample_rate_hz": REAL_RATE_HZ,
                    "window_samples": 400,
                    "hop_samples": 160,
                    "fft_size": 512,
                    "mel_bands": 64,
                    "mel_low_hz": 125,
                    "mel_high_hz": 7500,
                    "log_offset": 0.001,
                    "frames": 96,
                    "stride_frames": 48,
                },
                "output": {"shape": [1, 521], "dtype": "float32"},
                "transform": "log",
                "max_age_ms": 1500,
            },
        },
        "head": {"model": "head.tflite"},
        "selftest": {"tolerance": 0.05},
        "licences": [{"part": "all", "licence": "Apache-2.0", "source": "Coral test data"}],
    }
