"""Replay as fast as possible loses nothing, keeps the order, and gives the same results whatever the timing."""

import itertools
import threading
from dataclasses import replace

import numpy as np

from daemon.bundle.manifest import Manifest
from daemon.core.records import MODALITIES, Block, Captured, Counters, Embedding, Event, Frame, Line, Modality
from daemon.fusion.align import AlignmentSettings
from daemon.fusion.events import EventSettings
from daemon.fusion.fuse import Fused, FusionHead, StreamFusion
from daemon.fusion.pool import Pool
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.ordered import OrderedFlow
from daemon.pipeline.preparation import Preparation
from tests.fakes.encoders import SlowEncoder
from tests.fakes.models import PlainHead
from tests.helpers.bundle_builder import manifest

MS = 1_000_000
SIZES: dict[Modality, int] = {"image": 1, "audio": 1, "text": 1}

# the modality of each encoder in format 1
SENSES: dict[str, Modality] = {modality: modality for modality in MODALITIES}


def three_senses() -> Manifest:
    audio = {
        "model": "a.tflite",
        "input": {"shape": [1, 10, 4], "dtype": "float32"},
        "preprocessing": {
            "sample_rate_hz": 8000,
            "window_samples": 100,
            "hop_samples": 80,
            "fft_size": 128,
            "mel_bands": 4,
            "mel_low_hz": 100,
            "mel_high_hz": 3000,
            "frames": 10,
            "stride_frames": 3,
        },
        "output": {"shape": [1, 1], "dtype": "float32"},
        "max_age_ms": 200,
    }
    text = {
        "model": "t.tflite",
        "input": {"shape": [1, 8], "dtype": "int32"},
        "output": {"shape": [1, 1], "dtype": "float32"},
        "max_age_ms": 500,
    }
    whole = manifest()
    whole["modalities"] = {**whole["modalities"], "audio": audio, "text": text}
    return Manifest.model_validate(whole)


def captured() -> list[Captured]:
    """Two seconds of frames every 33 ms, blocks of 20 ms, and three lines, in the order of their end."""
    frames: list[Captured] = [Frame((np.zeros((4, 4, 3), np.uint8),), index * 33 * MS) for index in range(1, 60)]
    sound = np.random.default_rng(1).normal(size=160).astype(np.float32)
    blocks: list[Captured] = [Block(sound, 8000, index * 20 * MS) for index in range(100)]
    lines: list[Captured] = [Line("x", at_ms * MS) for at_ms in (250, 260, 1400)]
    ends = {Frame: lambda item: item.captured_ns, Line: lambda item: item.captured_ns, Block: lambda item: item.end_ns}
    order = {Frame: 0, Block: 1, Line: 2}
    return sorted(frames + blocks + lines, key=lambda item: (ends[type(item)](item), order[type(item)]))


def new_fusion(min_interval_ns: int = 5 * MS, patience: int = 1) -> StreamFusion:
    """`patience` is how many times as old as usual an embedding may be."""
    generator = np.random.default_rng(3)
    weights = generator.normal(0, 0.6, (3, 6)).astype(np.float32)
    head = FusionHead(PlainHead(weights, np.zeros(3, np.float32), [1, 1, 1]), SIZES)
    ages_ms: dict[Modality, int] = {"image": 100, "audio": 200, "text": 500}
    max_ages_ns = {modality: age_ms * patience * MS for modality, age_ms in ages_ms.items()}
    alignment = AlignmentSettings(max_ages_ns, min_interval_ns)
    limits = np.full(3, 0.6, np.float32), np.full(3, 0.4, np.float32)
    encoders = {modality: [modality] for modality in MODALITIES}
    events = EventSettings(encoders, ["a", "b", "c"], [True] * 3, *limits, 20 * MS, 10 * MS, 10_000 * MS, 300 * MS)
    return StreamFusion(head, Pool({}), alignment, events)


def replay(seed: int, image_workers: int = 1) -> tuple[list[tuple], dict[Modality, Counters]]:
    results: list[tuple] = []

    def publish(fused: Fused) -> None:
        results.extend((r.moment.time_ns, tuple(r.moment.embeddings), r.scores.tobytes()) for r in fused.recognitions)
        results.extend((e.phase, e.label, e.time_ns, e.score, e.peak) for e in fused.events)

    counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
    alike = {modality: [SlowEncoder(modality, seed + index)] for index, modality in enumerate(MODALITIES)}
    alike["image"] += [SlowEncoder("image", seed + 10 + index) for index in range(image_workers - 1)]
    encoders = EncoderPool(alike, SENSES)
    encoders.start()
    flow = OrderedFlow(
        "s", Preparation(three_senses(), counters), encoders, new_fusion(), publish, counters, threading.Event()
    )
    for item in captured():
        flow.deliver(item)
    flow.finish()
    encoders.close(5)
    return results, counters


def test_nothing_is_lost_and_timing_changes_nothing() -> None:
    results, counters = replay(1)
    assert [counters[modality].dropped for modality in MODALITIES] == [{}, {}, {}]
    assert counters["image"].encoded == 59
    assert counters["audio"].encoded == len(range(0, 16_000 - (9 * 80 + 100) + 1, 240))
    assert counters["text"].encoded == 3
    moments = [entry for entry in results if isinstance(entry[0], int)]
    assert [time_ns for time_ns, _, _ in moments] == sorted(time_ns for time_ns, _, _ in moments)
    phases = [entry[0] for entry in results if isinstance(entry[0], str)]
    assert phases.count("start") == phases.count("end") > 0
    for seed in (20, 300):
        assert replay(seed)[0] == results


def test_several_image_workers_give_the_same() -> None:
    results, _ = replay(1)
    for workers in (2, 3, 8):
        same, counters = replay(workers, workers)
        assert same == results
        assert counters["image"].encoded == 59


def test_it_stops_waiting_for_encoders_that_hang_when_the_daemon_stops() -> None:
    stop = threading.Event()
    never_started = EncoderPool({"text": [SlowEncoder("text", 1)]}, SENSES)
    counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
    flow = OrderedFlow(
        "s", Preparation(three_senses(), counters), never_started, new_fusion(), lambda _: None, counters, stop
    )

    def deliver_more_than_fits() -> None:
        for index in range(40):
            flow.deliver(Line("x", index * MS))

    source = threading.Thread(target=deliver_more_than_fits)
    source.start()
    source.join(0.2)
    assert source.is_alive(), "it waits as long as the daemon runs"
    stop.set()
    source.join(60)
    assert not source.is_alive()


class Steady(SlowEncoder):
    """Always returns the same vector."""

    def encode(self, item: Line) -> Embedding:
        return replace(super().encode(item), vector=np.full(1, 6.0, np.float32))


def test_open_events_end_when_the_daemon_stops() -> None:
    events: list[Event] = []
    stop = threading.Event()
    counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
    encoders = EncoderPool({"text": [Steady("text", 1)]}, SENSES)
    encoders.start()
    flow = OrderedFlow(
        "s",
        Preparation(three_senses(), counters),
        encoders,
        new_fusion(),
        lambda fused: events.extend(fused.events),
        counters,
        stop,
    )
    lines = (Line("x", index * MS) for index in itertools.count(1))
    while not events:
        flow.deliver(next(lines))
    stop.set()
    flow.finish()
    encoders.close(5)
    assert [event.phase for event in events] == ["start", "end"]
    assert events[-1].ended_by == "stopped"
    assert events[-1].time_ns >= events[-1].started_ns
