"""Writes a small recipe with a model of its own: class scores, an inner tensor, and anchors."""

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from daemon.core.dumper import dump_document
from daemon.inference.graphs import Graph

SIDE = 4
HIDDEN, CLASSES, ANCHORS = 5, 6, 7
MODEL = "pixels.tflite"


def write_pixels(hidden: np.ndarray | None = None, scores: np.ndarray | None = None) -> bytes:
    """Return a model of one grey picture (1, 4, 4, 1), float32.

    Its outputs are scores (1, 6) and anchors (1, 7, 1). Within it, a FULLY_CONNECTED gives 5 numbers.
    """
    random = np.random.default_rng(4)
    graph = Graph()
    source = graph.tensor("input", [1, SIDE, SIDE, 1])
    flat = graph.tensor("flat", [1, SIDE * SIDE])
    inner = graph.tensor("inner", [1, HIDDEN])
    output = graph.tensor("scores", [1, CLASSES])
    row = graph.tensor("row", [1, ANCHORS])
    anchors = graph.tensor("anchors", [1, ANCHORS, 1])
    hidden = random.normal(size=(HIDDEN, SIDE * SIDE)) if hidden is None else hidden
    scores = random.normal(size=(CLASSES, HIDDEN)) if scores is None else scores
    graph.reshape(source, flat, [1, SIDE * SIDE])
    for weights, start, end in (
        (hidden, flat, inner),
        (scores, inner, output),
        (random.normal(size=(ANCHORS, HIDDEN)), inner, row),
    ):
        graph.fully_connected([start, graph.constant("weights", weights.astype(np.float32)), -1], end)
    graph.reshape(row, anchors, [1, ANCHORS, 1])
    return graph.serialize([source], [output, anchors])


def recipe(model: bytes, url: str = "https://models.invalid/pixels.tflite", **changes: Any) -> dict[str, Any]:
    """Return the content of a recipe of this model; `changes` replace its keys. Quiet pictures are `dark`."""
    return {
        "recipe": 1,
        "name": "pixels",
        "version": "1.0.0",
        "scoring": "independent",
        "sources": {
            "pixels": {
                "from": [{"url": url}],
                "sha256": hashlib.sha256(model).hexdigest(),
                "size": len(model),
                "licence": "Apache-2.0",
                "page": "https://models.invalid/",
            }
        },
        "models": {
            MODEL: {
                "source": "pixels",
                "outputs": {
                    "groups": {"group": {"low": [0, 1], "high": [{3: "sun"}, "4-5"]}},
                    "embedding": {"expose": {"operator": "FULLY_CONNECTED", "size": HIDDEN}},
                    "best": {"reduce": "max", "of": 1},
                },
            }
        },
        "encoders": {
            "eye": {
                "modality": "image",
                "model": MODEL,
                "preprocessing": {"colour": "grey", "resize": "area", "mean": 127.5, "std": 127.5},
                "max_age_ms": 500,
            }
        },
        "labels": {
            "bright": {"bias": -1.0, "evidence": {"eye.high": {"weight": 2.0, "offset": 0.5}, "eye.best": {}}},
            "none": {"background": True},
        },
        "head": "constructed",
        "selftest": {"tolerance": 0.05},
        **changes,
    }


def write_recipe(directory: Path, content: dict[str, Any], scores: dict[str, float] | None = None) -> Path:
    """Write a recipe with its self-test, one white picture; return its file."""
    (directory / "selftest").mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(directory / "selftest" / "white.png"), np.full((8, 8, 3), 255, np.uint8))
    cases = {"cases": [{"image": "white.png", "scores": scores or {"bright": 0.5}}]}
    (directory / "selftest" / "cases.yaml").write_text(yaml.safe_dump(cases))
    path = directory / "recipe.yaml"
    path.write_bytes(dump_document(content))
    return path
