"""What a live stream has just captured is encoded on request: behind closed gates, and after a switch of the bundle."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.config.history import HistoryConfig
from daemon.config.streams import CameraConfig, GatesConfig, MotionConfig, ReplayConfig, SoundConfig, StreamConfig
from daemon.core.records import MODALITIES, Counters, Frame, Recognition
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.fusion.fuse import Fused
from daemon.node.active_bundle import ActiveBundle, published_bundle
from daemon.node.latency import ErrorCount
from daemon.node.peaks import PeakQueue
from daemon.node.stream import NO_VIEWS, Stream
from daemon.pipeline.recogniser import load_recogniser
from daemon.sources.view import Views
from tests.helpers.clips import write_clip
from tests.helpers.format2_bundle import manifest, picture, write_bundle
from tests.helpers.mosquitto import wait_until
from tests.helpers.taught import on_streams, random_moment, teach
from tests.node import test_active_bundle


class Recorder(test_active_bundle.Recorder):
    """Stands in for a stream's publisher."""

    delay_ns = 0


class Node:
    """One live stream with a recording in which nothing happens."""

    def __init__(
        self,
        directory: Path,
        config: StreamConfig,
        peaks: PeakQueue | None,
        views: Mapping[str, Views] = NO_VIEWS,
        history: HistoryConfig | None = None,
    ) -> None:
        self.recogniser = load_recogniser(load_bundle(directory / "corner"))
        self.counters = {modality: Counters() for modality in MODALITIES}
        bundle = published_bundle(self.recogniser, ErrorCount([], Counters()))
        self.stream = Stream(
            "s",
            config,
            self.recogniser,
            bundle,
            Recorder(),  # type: ignore[arg-type]
            self.counters,
            on_change=bool,
            peaks=peaks,
            views=views,
            history=history,
        )
        self.active = ActiveBundle(self.recogniser, bundle, [self.stream], on_change=bool)

    def close(self) -> None:
        self.stream.request_stop()
        assert self.stream.join(monotonic_ns() + 5 * NS_PER_S) == []
        self.active.close_encoders()
        self.active.close_fusion()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("material")
    write_clip(directory / "clip.mp4", seconds=4.0)
    write_bundle(directory / "corner")
    encoders = manifest()["encoders"]
    encoders["people"]["max_age_ms"] = 1400
    encoders["scene"]["outputs"]["embedding"]["factor"] = 0.25
    write_bundle(directory / "other", encoders=encoders, version="1.0.1")
    return directory


@pytest.fixture
def node(directory: Path) -> Iterator[Node]:
    gates = GatesConfig(motion=MotionConfig(hold_s=0.2), sound=SoundConfig(hold_s=0.2))
    config = StreamConfig(replay=ReplayConfig(file=str(directory / "clip.mp4")), gates=gates)
    node = Node(directory, config, PeakQueue(Counters()))
    node.active.start()
    yield node
    node.close()


def gated(node: Node) -> int:
    """Return how many inputs closed gates have held back."""
    parts = [part for counters in node.counters.values() for part in counters.parts]
    return sum(part.dropped.get("gate_closed", 0) for part in parts)


def test_a_window_behind_closed_gates_has_moments_of_every_sense(node: Node, directory: Path) -> None:
    recent = node.stream.recent
    assert recent is not None
    wait_until(lambda: gated(node) > 20 and {"image", "audio"} <= recent.newest_ns().keys(), "the gates are closed")
    end_ns = min(recent.newest_ns().values())
    window = recent.window(end_ns - NS_PER_S, end_ns)
    shown, fingerprints = node.active.encode(window, "s/teaching", 20)
    assert {"scene", "people", "sound"} == set().union(*(moment.vectors for moment in shown.moments))
    assert fingerprints == node.active.bundle.fingerprints
    assert shown.picture is not None
    assert shown.sound is not None
    assert shown.rate_hz == 8000
    before = fingerprints
    # another bundle takes over: the ring stays, and what encodes it is told
    other = load_recogniser(load_bundle(directory / "other"))
    node.active.prepare(other, published_bundle(other, ErrorCount([], Counters()))).commit()
    shown, fingerprints = node.active.encode(window, "s/teaching", 20)
    assert shown.moments
    assert {name for name in before if before[name] != fingerprints[name]} == {"scene"}


def test_a_stream_forgets_what_it_saw_of_a_camera_that_was_closed(directory: Path) -> None:
    views = {"yard": Views("yard", math.inf, math.inf)}
    config = StreamConfig(camera=CameraConfig(device="stream:yard"))
    node = Node(directory, config, PeakQueue(Counters()), views)
    node.active.start()
    recent = node.stream.recent
    assert recent is not None

    def has_picture() -> bool:
        views["yard"].publish(Frame((picture(left=10, right=200),), monotonic_ns()))
        return "image" in recent.newest_ns()

    wait_until(has_picture, "it sees")
    views["yard"].switch(True)
    assert recent.newest_ns() == {}
    views["yard"].switch(False)
    wait_until(has_picture, "it sees again")
    node.close()


@pytest.mark.parametrize(("pace", "has_queue"), [("realtime", False), ("fast", True)])
def test_without_teaching_or_as_fast_as_possible_nothing_is_kept(directory: Path, pace: str, has_queue: bool) -> None:
    replay = ReplayConfig.model_validate({"file": str(directory / "clip.mp4"), "loop": pace != "fast", "pace": pace})
    node = Node(directory, StreamConfig(replay=replay), PeakQueue(Counters()) if has_queue else None)
    assert (node.stream.recent, node.stream.peaks) == (None, None)


def test_near_misses_of_what_was_taught_reach_the_thread_of_teaching(directory: Path, tmp_path: Path) -> None:
    teach(directory / "corner", tmp_path / "taught", {"light": on_streams("s")})
    recogniser, queue = load_recogniser(load_bundle(tmp_path / "taught")), PeakQueue(Counters())
    replay = ReplayConfig.model_validate({"file": str(directory / "clip.mp4")})
    node = Node(directory, StreamConfig(replay=replay), queue)
    bundle = published_bundle(recogniser, ErrorCount([], Counters()))
    live = node.stream.live(recogniser, bundle, recogniser.new_head())
    for at_ns, score in ((1, 0.7), (2, 0.1)):
        moment = random_moment(recogniser.bundle.manifest, 1)
        scores = np.array([0.1] * (len(bundle.view.labels) - 1) + [score], np.float32)
        live.publish(Fused(recognitions=[Recognition(replace(moment, time_ns=at_ns), scores, scores, {})]))
    (peak,) = queue.take_near_misses()
    assert (peak.label, peak.stream, round(peak.score, 3)) == ("light", "s", 0.7)
    node.close()
