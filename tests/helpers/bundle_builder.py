"""Writes a small real bundle without any training tool."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import yaml

from daemon.bundle.release import FileEntry, Release, ReleaseInfo
from daemon.inference.graphs import Graph, write_head

LABELS = ["dark", "bright", "nothing"]
SIDE = 4


def write_bundle(directory: Path, **changes: object) -> Path:
    """Write a bundle that distinguishes bright pictures from dark ones: 4x4 grey pixels, their weighted sum, a head."""
    directory.mkdir(parents=True)
    pixels = SIDE * SIDE
    encoder = np.zeros((2, pixels + 1), np.float32)
    encoder[0, :pixels], encoder[1, :pixels] = 4 / pixels, -4 / pixels
    (directory / "image.tflite").write_bytes(write_encoder(encoder, [1, SIDE, SIDE, 1]))
    weights = np.array([[-4, 4, 0], [4, -4, 0], [0, 0, 0]], np.float32)
    (directory / "head.tflite").write_bytes(write_head(weights, np.zeros(3, np.float32), [2]))
    (directory / "bundle.yaml").write_text(yaml.safe_dump({**manifest(), **changes}, sort_keys=False))
    selftest = directory / "selftest"
    selftest.mkdir()
    cv2.imwrite(str(selftest / "white.png"), np.full((8, 8, 3), 255, np.uint8))
    cases = {"cases": [{"image": "white.png", "scores": {"bright": 1.0}}]}
    (selftest / "cases.yaml").write_text(yaml.safe_dump(cases))
    return directory


def release_of(directory: Path, name: str = "brightness", version: str = "1.2.3", memory_mb: int = 1) -> Release:
    """Return a bundle's release as a publisher signs it: every file but those of the demo."""
    signed = ReleaseInfo(name=name, version=version, needs_perceptd="0.1.0", memory_mb=memory_mb)
    paths = sorted([*directory.glob("*.*"), *directory.glob("LICENCE"), *directory.glob("selftest/*")])
    entries = [
        FileEntry(
            path=path.relative_to(directory).as_posix(),
            length=path.stat().st_size,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in paths
    ]
    return Release(signed=signed, files=tuple(sorted(entries, key=lambda entry: entry.path)))


def manifest() -> dict:
    """Return the content of bundle.yaml."""
    return {
        "format": 1,
        "name": "brightness",
        "version": "1.2.3",
        "labels": LABELS,
        "background": ["nothing"],
        "modalities": {
            "image": {
                "model": "image.tflite",
                "input": {"shape": [1, SIDE, SIDE, 1], "dtype": "float32"},
                "preprocessing": {"colour": "grey", "fit": "stretch", "resize": "area", "mean": 127.5, "std": 127.5},
                "output": {"shape": [1, 2], "dtype": "float32"},
                "max_age_ms": 500,
            }
        },
        "head": {"model": "head.tflite"},
        "selftest": {"tolerance": 0.05},
        "licences": [{"part": "all", "licence": "Apache-2.0", "source": "made by the tests"}],
    }


def write_encoder(weights: np.ndarray, shape: list[int]) -> bytes:
    """Return a model that flattens its input and multiplies it by `weights` (D, n + 1); the last column is ignored."""
    graph = Graph()
    source = graph.tensor("input", shape)
    flat = graph.tensor("flat", [1, weights.shape[1] - 1])
    output = graph.tensor("embedding", [1, len(weights)])
    graph.reshape(source, flat, [1, weights.shape[1] - 1])
    graph.fully_connected([flat, graph.constant("weights", weights[:, :-1]), -1], output)
    return graph.serialize(inputs=[source], outputs=[output])
