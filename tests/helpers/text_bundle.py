"""Writes a small real bundle that reads: one encoder of text, which gives an embedding of random features."""

from pathlib import Path

import numpy as np
import yaml
from ai_edge_litert import schema_py_generated as schema

from daemon.inference.graphs import Graph, write_head

LABELS = ["urgent", "none"]
BYTES, SIZE = 48, 32


class TextGraph(Graph):
    """A graph that takes whole numbers."""

    def cast(self, source: int, output: int) -> None:
        """Add output = source as float32."""
        options = schema.CastOptionsT()
        options.inDataType, options.outDataType = schema.TensorType.INT32, schema.TensorType.FLOAT32
        self._operator("CAST", [source], output, schema.BuiltinOptions.CastOptions, options)


def write_text_bundle(directory: Path) -> Path:
    """Write the bundle. It takes every line for `none`, more or less: its head looks at nothing."""
    directory.mkdir(parents=True)
    (directory / "note.tflite").write_bytes(_encoder())
    weights = np.zeros((len(LABELS), SIZE + 1), np.float32)
    (directory / "head.tflite").write_bytes(
        write_head(weights, np.array([-2, 0], np.float32), [SIZE], "independent", LABELS.index("none"))
    )
    (directory / "bundle.yaml").write_text(yaml.safe_dump(_manifest(), sort_keys=False))
    (directory / "selftest").mkdir()
    cases = {"cases": [{"text": "the tap runs", "scores": {"urgent": 0.12}}]}
    (directory / "selftest" / "cases.yaml").write_text(yaml.safe_dump(cases))
    return directory


def _encoder() -> bytes:
    graph = TextGraph()
    source = graph.tensor("input", [1, BYTES], kind=schema.TensorType.INT32)
    numbers, products = graph.tensor("numbers", [1, BYTES]), graph.tensor("products", [1, SIZE])
    output = graph.tensor("embedding", [1, SIZE])
    graph.cast(source, numbers)
    directions = np.random.default_rng(4).normal(0, 0.01, (SIZE, BYTES)).astype(np.float32)
    graph.fully_connected([numbers, graph.constant("directions", directions), -1], products)
    graph.logistic(products, output)
    return graph.serialize(inputs=[source], outputs=[output])


def _manifest() -> dict:
    return {
        "format": 2,
        "name": "notes",
        "version": "1.0.0",
        "scoring": "independent",
        "labels": LABELS,
        "background": ["none"],
        "encoders": {
            "note": {
                "modality": "text",
                "model": "note.tflite",
                "input": {"shape": [1, BYTES], "dtype": "int32"},
                "outputs": {"embedding": {"shape": [1, SIZE], "dtype": "float32"}},
                "max_age_ms": 2000,
            }
        },
        "head": {"model": "head.tflite"},
        "thresholds": {"default": {"start": 0.6, "end": 0.4}},
        "selftest": {"tolerance": 0.05},
        "licences": [{"part": "all", "licence": "Apache-2.0", "source": "made by the tests"}],
    }
