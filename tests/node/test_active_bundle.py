"""A node changes to another bundle: what was in use before is given back, whole."""

import gc
import weakref
from pathlib import Path

import pytest

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.config.streams import ReplayConfig, StreamConfig
from daemon.core.records import MODALITIES, Counters
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.fusion.fuse import Fused
from daemon.node.active_bundle import ActiveBundle, published_bundle, share_sources
from daemon.node.latency import ErrorCount
from daemon.node.stream import Stream
from daemon.node.stream_publisher import PublishedBundle
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from tests.helpers.bundle_builder import manifest
from tests.helpers.mosquitto import wait_until
from tests.node import test_daemon
from tests.pipeline.test_ordered import three_senses

material = test_daemon.material


class Recorder:
    """Stands where a stream's publisher does."""

    recognitions = events = 0

    def __init__(self) -> None:
        self.bundles: list[str] = []

    def publish(self, bundle: PublishedBundle, fused: Fused) -> None:
        self.bundles += [bundle.id for _ in fused.recognitions]


def test_nothing_of_the_old_bundle_stays_in_memory(material: Path) -> None:
    def load() -> Recogniser:
        return load_recogniser(load_bundle(material / "bundle"))

    recorder = Recorder()
    config = StreamConfig(replay=ReplayConfig(file=str(material / "clip.mp4")))
    first = load()
    known = [weakref.ref(first)]
    bundle = published_bundle(first, ErrorCount([], Counters()))
    stream = Stream("s", config, first, bundle, recorder, {m: Counters() for m in MODALITIES}, on_change=lambda: None)  # type: ignore[arg-type]
    in_use = ActiveBundle(first, bundle, [stream], on_change=lambda: None)
    in_use.start()
    del first
    for _ in range(3):
        count = len(recorder.bundles)
        next_one = load()
        known.append(weakref.ref(next_one))
        in_use.prepare(next_one, published_bundle(next_one, ErrorCount([], Counters()))).commit()
        del next_one
        wait_until(lambda count=count: len(recorder.bundles) > count + 2, "it recognises")
    gc.collect()
    assert [reference() is None for reference in known] == [True, True, True, False]
    stream.request_stop()
    assert stream.join(monotonic_ns() + 5 * NS_PER_S) == []
    in_use.close_encoders()
    in_use.close_fusion()


def at_rate(rate_hz: int) -> Manifest:
    whole = three_senses()
    audio = whole.modalities.audio
    assert audio is not None
    preprocessing = audio.preprocessing.model_copy(update={"sample_rate_hz": rate_hz})
    audio = audio.model_copy(update={"preprocessing": preprocessing})
    return whole.model_copy(update={"modalities": whole.modalities.model_copy(update={"audio": audio})})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (three_senses(), three_senses(), True),
        (three_senses(), at_rate(16_000), False),
        (three_senses(), Manifest.model_validate(manifest()), False),
        (Manifest.model_validate(manifest()), Manifest.model_validate(manifest()), True),
    ],
)
def test_sources_serve_what_takes_the_same(one: Manifest, other: Manifest, same: bool) -> None:
    assert share_sources(one, other) is same
    assert share_sources(other, one) is same
