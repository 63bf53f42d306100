"""Writes a small bundle with labels of a home, and small data sets for scripts/evaluate-home."""

import csv
import wave
from pathlib import Path

import cv2
import numpy as np
import yaml

from daemon.inference.graphs import write_head
from tests.helpers.bundle_builder import manifest, write_encoder

RATE_HZ = 8000
FRAMES, BANDS, SIDE = 20, 2, 4
LABELS = ["dog", "rain", "cat", "none"]
# The tone of each class: in the lower band, in the upper band, and below both.
TONES_HZ = {"rain": 400, "dog": 3000, "cat": 40}
GREYS = {"dog": 255, "other": 0}
CLIP_S = 2.0


def write_home_bundle(directory: Path) -> Path:
    """Write a bundle that takes a high tone or a bright picture for a dog, and a low tone for rain."""
    directory.mkdir(parents=True)
    (directory / "image.tflite").write_bytes(write_encoder(_means(SIDE * SIDE, 1), [1, SIDE, SIDE, 1]))
    (directory / "audio.tflite").write_bytes(write_encoder(_means(FRAMES, BANDS), [1, FRAMES, BANDS]))
    # Of the picture, the mean of -1 to 1; of the sound, the mean log of the lower and the upper band; present entries.
    weights = np.zeros((len(LABELS), 1 + BANDS + 2), np.float32)
    weights[LABELS.index("dog")] = [4, 0, 2, 0, 2]
    weights[LABELS.index("rain")] = [0, 2, 0, 0, 2]
    bias = np.array([0, 0, -2, 1], np.float32)
    head = write_head(weights, bias, [1, BANDS], "independent", LABELS.index("none"))
    (directory / "head.tflite").write_bytes(head)
    content = manifest()
    image = content.pop("modalities")["image"]
    encoders = {
        "scene": {
            "modality": "image",
            "model": "image.tflite",
            "max_age_ms": 500,
            "input": image["input"],
            "preprocessing": image["preprocessing"],
            "outputs": {"mean": {"shape": [1, 1], "dtype": "float32"}},
        },
        "sound": {
            "modality": "audio",
            "model": "audio.tflite",
            "max_age_ms": 500,
            "input": {"shape": [1, FRAMES, BANDS], "dtype": "float32"},
            "preprocessing": {
                "sample_rate_hz": RATE_HZ,
                "window_samples": 200,
                "hop_samples": 80,
                "fft_size": 256,
                "mel_bands": BANDS,
                "mel_low_hz": 100,
                "mel_high_hz": 4000,
                "frames": FRAMES,
                "stride_frames": 20,
            },
            "outputs": {"means": {"shape": [1, BANDS], "dtype": "float32"}},
        },
    }
    content |= {"format": 2, "name": "tones", "scoring": "independent", "encoders": encoders}
    content |= {"labels": LABELS, "background": ["none"]}
    (directory / "bundle.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return directory


def write_home_data(shared: Path) -> Path:
    """Write clips of tones as three classes, and bright and dark pictures as the groups dog and other."""
    for name, tone_hz in TONES_HZ.items():
        (shared / "datasets" / "sounds" / name).mkdir(parents=True)
        for fold in (1, 3, 4):
            samples = 0.5 * np.sin(np.arange(round(CLIP_S * RATE_HZ)) * 2 * np.pi * tone_hz / RATE_HZ)
            _write_wave(shared / "datasets" / "sounds" / name / f"{fold}-1-A.ogg", samples)
    pictures = shared / "datasets" / "pictures"
    pictures.mkdir()
    with (pictures / "pictures.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "imagenet_class", "group", "person"])
        for group, grey in GREYS.items():
            cv2.imwrite(str(pictures / f"{group}.jpg"), np.full((24, 32, 3), grey, np.uint8))
            rows.writerow([f"{group}.jpg", 1, group, "no"])
    return shared


def _means(count: int, columns: int) -> np.ndarray:
    """Return the weights of the means over `count` rows of `columns` values; the last column is ignored."""
    weights = np.zeros((columns, count * columns + 1), np.float32)
    for column in range(columns):
        weights[column, column : count * columns : columns] = 1 / count
    return weights


def _write_wave(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
