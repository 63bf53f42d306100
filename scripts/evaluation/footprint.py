"""Measures the size of the models, and the time of one moment on this machine in one thread."""

import time
from collections.abc import Callable
from itertools import cycle

import numpy as np

from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.records import Block, Embedding, Frame, Line, Moment
from daemon.encoders.audio import AudioFrontEnd
from daemon.inference.interpreter import TfliteModel
from evaluation.frames import HEIGHT, WIDTH
from evaluation.held_out import SEED
from evaluation.rows import Row, at_most, plain
from evaluation.subject import Subject

REPEATS = 1_000
WARM_UP = 50


def size_rows(subject: Subject) -> list[Row]:
    """Bytes of each model and of all."""
    sizes = {name: subject.bundle.file(name).stat().st_size for name in _names(subject)}
    rows = [plain("size", name, size / 1000, "KB") for name, size in sizes.items()]
    return [*rows, plain("size", "all encoders and the head", sum(sizes.values()) / 1000, "KB", at_most(600))]


def speed_rows(subject: Subject) -> list[Row]:
    """Median and 99th percentile of each invoke, of all of them, and of a moment including preprocessing."""
    times_ms = _timed(_invokes(subject))
    rows = [row for index, name in enumerate(_names(subject)) for row in _time_rows(name, times_ms[:, index])]
    rows += _time_rows("all four invokes", times_ms.sum(axis=1), limit_ms=1.0)
    return rows + _time_rows("a moment from frame, sound and line to scores", _timed([_end_to_end(subject)])[:, 0])


def _names(subject: Subject) -> list[str]:
    """The files of all models, with the head last."""
    manifest = subject.bundle.manifest
    return [*(spec.model for spec in manifest.encoder_specs.values()), manifest.head.model]


def _time_rows(condition: str, times_ms: np.ndarray, limit_ms: float | None = None) -> list[Row]:
    target = None if limit_ms is None else at_most(limit_ms)
    return [
        plain("speed", f"{condition}, median", np.median(times_ms), "ms", target, REPEATS),
        plain("speed", f"{condition}, 99 %", np.quantile(times_ms, 0.99), "ms", None, REPEATS),
    ]


def _timed(steps: list[Callable[[], object]]) -> np.ndarray:
    """Milliseconds (REPEATS, steps) of each step, with the steps in a row as in a moment."""
    times_ms = np.empty((WARM_UP + REPEATS, len(steps)))
    for row in times_ms:
        for index, step in enumerate(steps):
            start = time.perf_counter()
            step()
            row[index] = (time.perf_counter() - start) * 1e3
    return times_ms[WARM_UP:]


def _invokes(subject: Subject) -> list[Callable[[], object]]:
    """One invoke of each encoder and of the head, on random inputs."""
    bundle, rng = subject.bundle, np.random.default_rng(SEED)
    manifest = bundle.manifest
    specs = manifest.encoder_specs.values()
    size, labels = manifest.head_input_size, len(manifest.labels)
    head = TfliteModel(
        bundle.model(manifest.head.model),
        TensorSpec(shape=[1, size], dtype="float32"),
        [TensorSpec(shape=[1, labels], dtype="float32"), TensorSpec(shape=[1, len(specs), labels], dtype="float32")],
    )
    steps: list[Callable[[], object]] = []
    for spec in specs:
        model = TfliteModel(bundle.model(spec.model), spec.input, list(spec.outputs.values()))
        model.input[...] = _random(spec.input, rng)
        steps.append(model.invoke)
    return [*steps, head.invoke]


def _random(spec: TensorSpec, rng: np.random.Generator) -> np.ndarray:
    if spec.dtype == "float32":
        return rng.random(spec.shape, np.float32)
    low, high = (0, 255) if spec.dtype == "int32" else (np.iinfo(spec.dtype).min, np.iinfo(spec.dtype).max)
    return rng.integers(low, high, spec.shape).astype(spec.dtype)


def _end_to_end(subject: Subject) -> Callable[[], object]:
    """A function that takes a frame, a stride of sound and a line through preprocessing, encoders and head."""
    rng = np.random.default_rng(SEED)
    # two of each in turn, because an unchanged input is not encoded again
    frames = cycle(Frame((rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8),), 0) for _ in range(2))
    lines = cycle((Line("room seven", 0), Line("room eight", 0)))
    audio, front_end = subject.audio, AudioFrontEnd(subject.audio)
    stride = audio.stride_frames * audio.hop_samples
    sounds = cycle(rng.normal(0, 0.1, stride).astype(np.float32) for _ in range(2))
    front_end.push(Block(np.zeros(subject.window_samples, np.float32), audio.sample_rate_hz, 0))
    encoders, head = subject.recogniser.encoders, subject.recogniser.new_head()

    def moment() -> object:
        patches = front_end.push(Block(next(sounds), audio.sample_rate_hz, 0))
        embeddings: list[Embedding] = [encoders["image"].encode(next(frames)), encoders["text"].encode(next(lines))]
        embeddings += [encoders["audio"].encode(patch) for patch in patches]
        return head.recognise(Moment(0, {embedding.encoder: embedding for embedding in embeddings}))

    return moment
