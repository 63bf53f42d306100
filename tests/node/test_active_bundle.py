"""A node switches to another bundle and frees everything of the old one."""

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.config.streams import ReplayConfig, StreamConfig
from daemon.core.records import MODALITIES, Counters
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.fusion.fuse import Fused
from daemon.inference.graphs import write_head
from daemon.inference.placement import Device
from daemon.node.active_bundle import ActiveBundle, close_accelerators, published_bundle, share_sources
from daemon.node.latency import ErrorCount
from daemon.node.stream import Stream
from daemon.node.stream_publisher import PublishedBundle
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from tests.helpers import format2_bundle
from tests.helpers.bundle_builder import manifest
from tests.helpers.mosquitto import wait_until
from tests.node import test_daemon
from tests.pipeline.test_ordered import three_senses

material = test_daemon.material


class Recorder:
    """Stands in for a stream's publisher, and records the bundle of each recognition."""

    delay_ns = 0

    recognitions = events = 0

    def __init__(self) -> None:
        self.bundles: list[str] = []

    def publish(self, bundle: PublishedBundle, fused: Fused) -> None:
        self.bundles += [bundle.view.id for _ in fused.recognitions]


class SlowlyClosed:
    """Stands in for an accelerator that ends a while after it was asked to; None: never."""

    def __init__(self, name: str, ends_after_s: float | None) -> None:
        self.device = Device(name, "gpu")
        self._ends_after_s = ends_after_s
        self._ended = threading.Event()

    def request_close(self) -> None:
        if self._ends_after_s is not None:
            threading.Timer(self._ends_after_s, self._ended.set).start()

    def close(self, deadline_s: float) -> bool:
        return self._ended.wait(deadline_s)


def test_of_several_accelerators_only_the_one_that_hangs_is_named(caplog: pytest.LogCaptureFixture) -> None:
    accelerators = [SlowlyClosed("hanging", None), SlowlyClosed("quick", 0.0)]
    close_accelerators(Recogniser(None, {}, {}, accelerators=accelerators))  # type: ignore[arg-type]
    (line,) = caplog.messages
    assert line.startswith("hanging did not stop within 0.4 s")


def test_nothing_of_an_old_bundle_remains_in_memory(material: Path) -> None:
    def load() -> Recogniser:
        return load_recogniser(load_bundle(material / "bundle"))

    recorder = Recorder()
    config = StreamConfig(replay=ReplayConfig(file=str(material / "clip.mp4")))
    first = load()
    references = [weakref.ref(first)]
    bundle = published_bundle(first, ErrorCount([], Counters()))
    stream = Stream("s", config, first, bundle, recorder, {m: Counters() for m in MODALITIES}, on_change=lambda: None)  # type: ignore[arg-type]
    active = ActiveBundle(first, bundle, [stream], on_change=lambda: None)
    active.start()
    del first
    for _ in range(3):
        count = len(recorder.bundles)
        next_one = load()
        references.append(weakref.ref(next_one))
        active.prepare(next_one, published_bundle(next_one, ErrorCount([], Counters()))).commit()
        del next_one
        wait_until(lambda count=count: len(recorder.bundles) > count + 2, "it recognises")
    gc.collect()
    assert [reference() is None for reference in references] == [True, True, True, False]
    stream.request_stop()
    assert stream.join(monotonic_ns() + 5 * NS_PER_S) == []
    active.close_encoders()
    active.close_fusion()


def seen_twice(directory: Path) -> Path:
    """The bundle of format 2 without its encoder of sound."""
    encoders = format2_bundle.manifest()["encoders"]
    bundle = format2_bundle.write_bundle(directory, encoders={name: encoders[name] for name in ("scene", "people")})
    weights = np.zeros((4, 7 + 2), np.float32)
    weights[0, 0] = 6
    head = write_head(weights, np.array([-2, -2, -2, 0], np.float32), [5, 2], "independent", 3)
    (bundle / "head.tflite").write_bytes(head)
    return bundle


def test_a_live_stream_goes_on_from_format_1_to_format_2_and_back(material: Path, tmp_path: Path) -> None:
    one, other = (load_bundle(path) for path in (material / "bundle", seen_twice(tmp_path / "corner")))
    recorder, first = Recorder(), load_recogniser(one)
    config = StreamConfig(replay=ReplayConfig(file=str(material / "clip.mp4")))
    counters = {m: Counters() for m in MODALITIES}
    bundle = published_bundle(first, ErrorCount([counters], Counters()))
    stream = Stream("s", config, first, bundle, recorder, counters, on_change=lambda: None)  # type: ignore[arg-type]
    active = ActiveBundle(first, bundle, [stream], on_change=lambda: None)
    active.start()
    for next_one in (other, one, other):
        recogniser = load_recogniser(next_one)
        active.prepare(recogniser, published_bundle(recogniser, ErrorCount([counters], Counters()))).commit()
        begun = len(recorder.bundles)
        wait_until(lambda begun=begun: len(recorder.bundles) > begun + 5, "it recognises")
        assert set(recorder.bundles[begun:]) == {next_one.manifest.id}
        encoders = getattr(stream.health().inputs["image"], "encoders", {})
        assert set(encoders) == (set() if next_one is one else {"scene", "people"})
    stream.request_stop()
    assert stream.join(monotonic_ns() + 5 * NS_PER_S) == []
    active.close_encoders()
    active.close_fusion()
    health = stream.health().inputs["image"]
    assert set(health.dropped) <= {"busy", "late"}, "what a busy machine drops"
    assert health.encoded > 15
    loops = [heartbeat.loop for heartbeat in active.heartbeats if heartbeat.loop.startswith("encode")]
    assert loops == ["encode-image", "encode-scene", "encode-people"]


def test_a_bundle_of_format_2_with_the_same_senses_shares_the_sources_of_one_of_format_1() -> None:
    content = format2_bundle.manifest()
    whole = Manifest.model_validate(content)
    seen = Manifest.model_validate(content | {"encoders": {name: content["encoders"][name] for name in ("scene",)}})
    of_format_1 = Manifest.model_validate(manifest())
    assert share_sources(of_format_1, seen)
    assert not share_sources(of_format_1, whole), "it hears too"


def with_sample_rate(rate_hz: int) -> Manifest:
    original = three_senses()
    audio = original.modalities.audio
    assert audio is not None
    preprocessing = audio.preprocessing.model_copy(update={"sample_rate_hz": rate_hz})
    audio = audio.model_copy(update={"preprocessing": preprocessing})
    return original.model_copy(update={"modalities": original.modalities.model_copy(update={"audio": audio})})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (three_senses(), three_senses(), True),
        (three_senses(), with_sample_rate(16_000), False),
        (three_senses(), Manifest.model_validate(manifest()), False),
        (Manifest.model_validate(manifest()), Manifest.model_validate(manifest()), True),
    ],
)
def test_bundles_share_sources_when_modalities_and_sample_rate_agree(
    one: Manifest, other: Manifest, same: bool
) -> None:
    assert share_sources(one, other) is same
    assert share_sources(other, one) is same
