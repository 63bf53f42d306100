"""Writes a small real bundle of format 2: two encoders of pictures, one of sound, independent labels.

`scene` sees how bright a picture is, `people` whether its left or its right half is brighter, `sound` how loud it is.
"""

import json
import wave
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from daemon.core.records import Scoring
from daemon.inference.graphs import Graph, write_head

LABELS = ["bright", "left", "loud", "none"]
SIDE = 4
RATE_HZ = 8000
FRAMES, BANDS = 10, 4

# The lengths of the encoders in F: groups and embedding of scene, left and right of people, level of sound.
SIZES = {"scene": 2 + 3, "people": 1 + 1, "sound": 1}

GREY = {"colour": "grey", "fit": "stretch", "resize": "area", "mean": 127.5, "std": 127.5}
LOG_MEL = {
    "sample_rate_hz": RATE_HZ,
    "window_samples": 100,
    "hop_samples": 80,
    "fft_size": 128,
    "mel_bands": BANDS,
    "mel_low_hz": 100,
    "mel_high_hz": 3000,
    "frames": FRAMES,
    "stride_frames": 5,
}


def write_bundle(directory: Path, scoring: Scoring = "independent", **changes: object) -> Path:
    """Write the bundle with its self-test. `changes` replace keys of its manifest; they must keep the models right."""
    directory.mkdir(parents=True)
    halves = np.ones((SIDE, SIDE), np.float32)
    halves[:, SIDE // 2 :] = -1
    ones, size = np.ones(SIDE * SIDE, np.float32), SIDE * SIDE
    groups = np.stack([ones, -ones]) / size
    embedding = np.stack([ones, ones, halves.ravel()]) / size
    left = halves.reshape(1, -1) / 2 / size
    picture = [1, SIDE, SIDE, 1]
    models = {
        "scene.tflite": write_layers(picture, {"groups": groups, "embedding": embedding}, {"embedding": [1, 1, 1, 3]}),
        "people.tflite": write_layers(picture, {"left": left, "right": -left}, {}),
        "sound.tflite": write_layers(
            [1, FRAMES, BANDS], {"level": np.full((1, FRAMES * BANDS), 1 / (FRAMES * BANDS), np.float32)}, {}
        ),
        "head.tflite": head(scoring),
    }
    for name, content in models.items():
        (directory / name).write_bytes(content)
    # YAML's aliases for objects that appear twice are not allowed in a manifest
    content = json.loads(json.dumps(manifest(scoring) | changes))
    (directory / "bundle.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    _write_selftest(directory / "selftest")
    return directory


def manifest(scoring: Scoring = "independent") -> dict[str, Any]:
    """Return the content of bundle.yaml."""
    number = {"shape": [1, 1], "dtype": "float32"}
    image = {
        "modality": "image",
        "input": {"shape": [1, SIDE, SIDE, 1], "dtype": "float32"},
        "preprocessing": GREY,
    }
    return {
        "format": 2,
        "name": "corner",
        "version": "1.0.0",
        "scoring": scoring,
        "labels": LABELS,
        "background": ["none"],
        "encoders": {
            "scene": {
                **image,
                "model": "scene.tflite",
                "outputs": {
                    "groups": {"shape": [1, 2], "dtype": "float32"},
                    "embedding": {"shape": [1, 1, 1, 3], "dtype": "float32", "factor": 0.5},
                },
                "max_age_ms": 500,
                "rate_hz": 10,
            },
            "people": {
                **image,
                "model": "people.tflite",
                "outputs": {"left": number, "right": number},
                "max_age_ms": 1500,
                "rate_hz": 2,
            },
            "sound": {
                "modality": "audio",
                "model": "sound.tflite",
                "input": {"shape": [1, FRAMES, BANDS], "dtype": "float32"},
                "preprocessing": LOG_MEL,
                "outputs": {"level": number},
                "max_age_ms": 400,
            },
        },
        "head": {"model": "head.tflite"},
        "thresholds": {"default": {"start": 0.6, "end": 0.4}},
        "selftest": {"tolerance": 0.05},
        "licences": [{"part": "all", "licence": "Apache-2.0", "source": "made by the tests"}],
    }


def weights() -> tuple[np.ndarray, np.ndarray]:
    """Return weights (L, D + M) and bias (L,): each label has one output that speaks for it."""
    matrix = np.zeros((len(LABELS), sum(SIZES.values()) + len(SIZES)), np.float32)
    bias = np.array([-2, -2, -2, 0], np.float32)
    matrix[0, 0] = 6  # bright: the first group of scene
    matrix[1, 5] = 12  # left: the first output of people
    matrix[2, 7], matrix[2, 10] = 1, 4  # loud: the level of sound, and its present entry
    return matrix, bias


def head(scoring: Scoring) -> bytes:
    """Return the head's model."""
    return write_head(*weights(), list(SIZES.values()), scoring, LABELS.index("none"))


def write_layers(shape: list[int], outputs: dict[str, np.ndarray], shapes: dict[str, list[int]]) -> bytes:
    """Return a model with one product (D, n) for each output. `shapes` has the shapes that are not (1, D)."""
    graph = Graph()
    source = graph.tensor("input", shape)
    size = int(np.prod(shape))
    flat = graph.tensor("flat", [1, size])
    graph.reshape(source, flat, [1, size])
    tensors = []
    for name, matrix in outputs.items():
        row = graph.tensor(f"{name}_row", [1, len(matrix)])
        graph.fully_connected([flat, graph.constant(f"{name}_weights", matrix.astype(np.float32)), -1], row)
        tensors.append(graph.tensor(name, shapes.get(name, [1, len(matrix)])))
        graph.reshape(row, tensors[-1], shapes.get(name, [1, len(matrix)]))
    return graph.serialize(inputs=[source], outputs=tensors)


def picture(*, left: int, right: int) -> np.ndarray:
    """Return a picture (8, 8, 3) with these grey levels of its halves."""
    pixels = np.full((8, 8, 3), right, np.uint8)
    pixels[:, :4] = left
    return pixels


def noise(seconds: float, loudness: float = 0.3) -> np.ndarray:
    """Return float32 noise at RATE_HZ."""
    samples = np.random.default_rng(1).normal(0, loudness, round(seconds * RATE_HZ))
    return np.clip(samples, -1, 1).astype(np.float32)


def _write_selftest(directory: Path) -> None:
    directory.mkdir()
    cv2.imwrite(str(directory / "white.png"), picture(left=255, right=255))
    cv2.imwrite(str(directory / "left.png"), picture(left=255, right=0))
    with wave.open(str(directory / "noise.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((noise(1.0) * 32767).astype("<i2").tobytes())
    cases = [
        {"image": "white.png", "scores": {"bright": 0.98}},
        {"image": "left.png", "audio": "noise.wav", "scores": {"left": 0.98}},
    ]
    (directory / "cases.yaml").write_text(yaml.safe_dump({"cases": cases}))
