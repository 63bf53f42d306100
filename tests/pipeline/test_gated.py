"""Behind a closed gate nothing is encoded and the latest embedding is repeated, live and in order."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from daemon.config.streams import GatesConfig, MotionConfig, SoundConfig
from daemon.core.errors import InputError, ModelError
from daemon.core.records import (
    MODALITIES,
    Block,
    Captured,
    Counters,
    Deferred,
    Embedding,
    Frame,
    Line,
    Modality,
    Plane,
    ended_ns,
)
from daemon.core.timing import monotonic_ns
from daemon.fusion.fuse import Fused
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.gates import Gates
from daemon.pipeline.keep_alive import EmbeddingRepeater, KeepAlive, keep_alive_rules, restamped
from daemon.pipeline.lane import Lane, LiveFlow
from daemon.pipeline.live import LiveFusion, LiveStream
from daemon.pipeline.ordered import OrderedFlow
from daemon.pipeline.preparation import Preparation
from tests.fakes.encoders import SlowEncoder
from tests.helpers.mosquitto import wait_until
from tests.pipeline.test_ordered import MS, SENSES, new_fusion, three_senses

# Shorter than the maximum ages of three_senses and new_fusion: 100 ms for pictures, 200 ms for sound.
GATES = GatesConfig(
    motion=MotionConfig(hold_s=0.1, keep_alive_s=0.07), sound=SoundConfig(hold_s=0.1, pre_roll_s=0.06, keep_alive_s=0.1)
)

MOVES = range(60, 70)
SOUNDS = range(90, 110)


def frame(index: int, origin_ns: int = 0, picture: int | None = None) -> Frame:
    """A grey frame; the grey differs from frame to frame during MOVES."""
    grey = 100 + (index * 40 % 120 if index in MOVES else 0) if picture is None else picture
    return Frame((np.full((16, 16, 3), grey, np.uint8),), origin_ns + index * 33 * MS)


def block(index: int, origin_ns: int = 0) -> Block:
    """Faint noise; loud noise during SOUNDS."""
    loudness = 0.3 if index in SOUNDS else 0.001
    samples = np.random.default_rng(index).normal(0, loudness, 160).astype(np.float32)
    return Block(samples, 8000, origin_ns + index * 20 * MS, gap=index == 0)


def captured() -> list[Captured]:
    """Five seconds with one motion and one sound, in the order of their end."""
    items: list[Captured] = [frame(index) for index in range(1, 150)]
    items += [block(index) for index in range(250)]
    items += [Line("x", 1400 * MS)]
    return sorted(items, key=ended_ns)


class Moments:
    """The published moments, to compare them."""

    def __init__(self) -> None:
        self.moments: list[tuple[int, dict[Modality, int], bytes]] = []

    def publish(self, fused: Fused) -> None:
        for made in fused.recognitions:
            ends = {modality: embedding.end_ns for modality, embedding in made.moment.embeddings.items()}
            self.moments.append((made.moment.time_ns, ends, made.scores.tobytes()))


class FailingEncoder(SlowEncoder):
    """Fails for the items with the numbers `fails`."""

    def __init__(self, modality: Modality, seed: int, fails: set[int] | None = None) -> None:
        super().__init__(modality, seed)
        self.encoded: list[int] = []
        self._fails = fails or set()

    def encode(self, item: object) -> Embedding:
        self.encoded.append(getattr(item, "captured_ns", None) or getattr(item, "end_ns", 0))
        if len(self.encoded) in self._fails:
            raise ModelError("fails")
        return super().encode(item)


def counters() -> dict[Modality, Counters]:
    return {modality: Counters() for modality in MODALITIES}


def in_order(gates: GatesConfig, seed: int, fails: set[int] | None = None) -> tuple[Moments, dict[Modality, Counters]]:
    published, counted = Moments(), counters()
    alike = {modality: [FailingEncoder(modality, seed + index, fails)] for index, modality in enumerate(MODALITIES)}
    encoders = EncoderPool(alike, SENSES)
    encoders.start()
    manifest = three_senses()
    made, keep_alive = Gates(gates), KeepAlive(keep_alive_rules(manifest, gates))
    made.adapt_to(manifest)
    preparation, stop = Preparation(manifest, counted), threading.Event()
    flow = OrderedFlow("s", preparation, encoders, new_fusion(), published.publish, counted, stop, made, keep_alive)
    for item in captured():
        flow.deliver(item)
    flow.finish()
    encoders.close(5)
    return published, counted


def test_in_order_little_is_encoded_nothing_expires_and_timing_changes_nothing() -> None:
    ungated = in_order(GatesConfig(), 1)[1]
    published, counted = in_order(GATES, 1)
    for modality in ("image", "audio"):
        taken = counted[modality]
        assert set(taken.dropped) == {"gate_closed"}
        assert taken.encoded + taken.dropped["gate_closed"] == ungated[modality].encoded
        assert taken.encoded < 0.4 * ungated[modality].encoded
    assert counted["text"].encoded == 1
    assert ungated["image"].dropped == ungated["audio"].dropped == {}
    times_ns = [time_ns for time_ns, _, _ in published.moments]
    assert times_ns == sorted(times_ns)
    begun = next(index for index, (_, ends, _) in enumerate(published.moments) if len(ends) == 2)
    assert all(
        {"image", "audio"} <= ends.keys() for time_ns, ends, _ in published.moments[begun:] if time_ns < 4900 * MS
    )
    assert in_order(GATES, 40)[0].moments == published.moments


def test_in_order_motion_and_sounds_are_encoded_as_without_gates() -> None:
    def patches_and_pictures(published: Moments, first_ns: int, last_ns: int) -> set[tuple[int, int]]:
        found = {(ends.get("image", 0), ends.get("audio", 0)) for _, ends, _ in published.moments}
        return {pair for pair in found if first_ns <= min(pair) and max(pair) <= last_ns}

    plain, gated = in_order(GatesConfig(), 1)[0], in_order(GATES, 1)[0]
    both_ns = (MOVES[1] * 33 * MS, MOVES[-1] * 33 * MS)
    assert len(patches_and_pictures(plain, *both_ns)) >= 15
    assert patches_and_pictures(gated, *both_ns) == patches_and_pictures(plain, *both_ns)


@pytest.mark.parametrize("fails", [{1}, {1, 2, 3}, {4}, {5, 6}])
def test_in_order_the_item_after_a_failure_is_encoded(fails: set[int]) -> None:
    published, counted = in_order(GATES, 1, fails)
    assert counted["image"].dropped["encoder_failed"] == len(fails)
    late = [ends for time_ns, ends, _ in published.moments if 3000 * MS < time_ns < 4900 * MS]
    assert late
    assert all({"image", "audio"} <= ends.keys() for ends in late)


class Rig:
    """One live stream with gates. The test delivers its items."""

    def __init__(self, fails: set[int] | None = None) -> None:
        self.published, self.counted = Moments(), counters()
        self.encoder = FailingEncoder("image", 1, fails)
        self.sound_encoder = FailingEncoder("audio", 2)
        self.encoders = EncoderPool(
            {"image": [self.encoder], "audio": [self.sound_encoder], "text": [FailingEncoder("text", 3)]}, SENSES
        )
        self.fusion = LiveFusion([stream := self.stream()])
        self.flow = LiveFlow(self.lane(stream), Gates(GATES))
        self.encoders.start()
        self.fusion.start()

    def stream(self) -> LiveStream:
        return LiveStream("s", new_fusion(0), self.published.publish, self.counted)

    def lane(self, stream: LiveStream) -> Lane:
        manifest = three_senses()
        repeater = EmbeddingRepeater(keep_alive_rules(manifest, GATES))
        return Lane(stream, Preparation(manifest, self.counted), self.encoders, self.fusion, repeater)

    def deliver(self, *items: Captured) -> None:
        """Deliver items, each after the one before has been encoded."""
        for item in items:
            self.flow.deliver(item)
            wait_until(lambda: not self.flow._lane._encoding, "encoded")

    def pictures(self) -> list[int]:
        self.fusion.close(5)
        return list(dict.fromkeys(ends["image"] for _, ends, _ in self.published.moments if "image" in ends))


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.encoders.close(5)
    made.fusion.close(5)


def still(origin_ns: int, indices: range) -> list[Frame]:
    return [frame(index, origin_ns, 100) for index in indices]


def test_live_the_latest_embedding_is_repeated_without_the_encoder(rig: Rig) -> None:
    now_ns = monotonic_ns()
    rig.deliver(*still(now_ns, range(12)))
    stamps = [now_ns + index * 33 * MS for index in range(12)]
    # the first opens the gate for 100 ms; then every 70 ms, as far as frames come
    assert rig.encoder.encoded == stamps[:4]
    assert rig.pictures() == [*stamps[:4], stamps[6], stamps[9]]
    assert rig.counted["image"].dropped == {"gate_closed": 8}


def test_live_nothing_is_repeated_without_frames_and_the_next_frame_is_encoded(rig: Rig) -> None:
    now_ns = monotonic_ns()
    rig.deliver(*still(now_ns, range(8)))
    later_ns = now_ns + 3_600_000 * MS
    rig.deliver(*still(later_ns, range(3)))
    assert rig.encoder.encoded[-1] == later_ns, "the first frame after a break is encoded although nothing has changed"
    assert len(rig.encoder.encoded) == 4 + 1


def test_live_a_new_bundle_encodes_a_picture_and_a_patch_behind_closed_gates(rig: Rig) -> None:
    now_ns = monotonic_ns()
    rig.deliver(*still(now_ns, range(6)), *(block(index, now_ns) for index in range(30)))
    pictures, patches = len(rig.encoder.encoded), len(rig.sound_encoder.encoded)
    rig.flow.switch_to(rig.lane(rig.stream()))
    rig.deliver(*still(now_ns, range(6, 9)), *(block(index, now_ns) for index in range(30, 50)))
    assert len(rig.encoder.encoded) == pictures + 1
    assert len(rig.sound_encoder.encoded) == patches + 1


def test_live_after_a_failure_the_next_picture_is_encoded() -> None:
    rig = Rig(fails={4})
    now_ns = monotonic_ns()
    rig.deliver(*still(now_ns, range(8)))
    assert rig.encoder.encoded == [now_ns + index * 33 * MS for index in range(5)]
    assert rig.counted["image"].dropped == {"encoder_failed": 1, "gate_closed": 3}
    rig.encoders.close(5)
    rig.fusion.close(5)


def test_buffered_blocks_are_remembered_for_the_next_bundle_once_and_in_order(rig: Rig) -> None:
    now_ns = monotonic_ns()
    rig.deliver(*(block(index, now_ns) for index in range(120)))
    starts = [sound.start_ns for sound in rig.flow._recent_sound]
    assert starts == [now_ns + index * 20 * MS for index in range(len(starts))]
    assert 115 <= len(starts) <= 120


def test_without_gates_every_item_is_to_be_encoded_at_once() -> None:
    gates = Gates(GatesConfig())
    gates.adapt_to(three_senses())
    for item in (frame(1), block(1), Line("x", 0)):
        assert gates.filter(item) == [(item, True)]
    assert gates.finish() == []


def test_a_repeated_embedding_differs_by_its_time_only() -> None:
    made = Embedding("audio", np.ones(3, np.float32), 100, 300, "edgetpu")
    moved = restamped(made, 1000)
    assert (moved.start_ns, moved.end_ns, moved.device) == (800, 1000, "edgetpu")
    assert moved.vector is made.vector


def test_nothing_is_repeated_while_an_item_is_being_encoded() -> None:
    repeater = EmbeddingRepeater(keep_alive_rules(three_senses(), GATES))
    made = Embedding("image", np.ones(1, np.float32), 0, 0)
    repeater.begin("image", 0)
    assert repeater.repeat("image", frame(10).captured_ns) is None
    repeater.finish("image", 0, made)
    repeater.begin("image", 33 * MS)
    assert repeater.repeat("image", frame(10).captured_ns) is None
    repeater.finish("image", 33 * MS, restamped(made, 33 * MS))
    repeated = repeater.repeat("image", frame(10).captured_ns)
    assert repeated is not None
    assert repeated.end_ns == 330 * MS
    assert repeater.repeat("image", frame(11).captured_ns) is None


def test_a_dropped_picture_is_not_stale_while_a_newer_one_is_encoded() -> None:
    repeater = EmbeddingRepeater(keep_alive_rules(three_senses(), GATES))
    repeater.begin("image", 0)
    repeater.begin("image", 33 * MS)
    repeater.finish("image", 0, None)
    assert not repeater.is_stale("image", frame(2).captured_ns)
    repeater.finish("image", 33 * MS, None)
    assert repeater.is_stale("image", frame(2).captured_ns), "no embedding came of either picture"


def test_an_embedding_of_an_accelerator_is_repeated_for_seconds_only() -> None:
    for device, is_stale in (("cpu", False), ("edgetpu", True)):
        repeater = EmbeddingRepeater(keep_alive_rules(three_senses(), GATES))
        repeater.begin("image", 0)
        repeater.finish("image", 0, Embedding("image", np.ones(1, np.float32), 0, 0, device))
        for index in range(1, 5000 // 33 + 1):
            assert not repeater.is_stale("image", frame(index).captured_ns)
            repeater.repeat("image", frame(index).captured_ns)
        assert repeater.is_stale("image", frame(5000 // 33 + 1).captured_ns) == is_stale


def test_a_picture_that_cannot_be_converted_is_left_to_its_encoder() -> None:
    def fail() -> tuple[Plane, ...]:
        raise InputError("not a picture")

    gates = Gates(GATES)
    bad = Frame(Deferred(fail), 0)
    assert gates.filter(bad) == [(bad, True)]
