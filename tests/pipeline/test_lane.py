"""A stream switches to another bundle: no moment is lost, none comes twice, and none mixes the two bundles."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from daemon.bundle.manifest import Manifest
from daemon.core.ports import Encoder
from daemon.core.records import MODALITIES, Block, Counters, Embedding, EndedBy, Frame, Line, Modality
from daemon.core.timing import monotonic_ns
from daemon.encoders.audio import Patch
from daemon.fusion.fuse import Fused
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.lane import Lane, LiveFlow
from daemon.pipeline.live import LiveFusion, LiveStream
from daemon.pipeline.preparation import Preparation
from tests.fakes.encoders import SlowEncoder
from tests.helpers.mosquitto import wait_until
from tests.pipeline.test_ordered import MS, SENSES, new_fusion, three_senses

# three seconds at 15 frames a second
FRAMES, FRAME_MS = 45, 66


class Rig:
    """One live stream with three modalities; `switch` gives it the next bundle. Notes the moments of each bundle."""

    def __init__(self, image_workers: int = 1, patience: int = 1) -> None:
        self.image_workers, self.patience = image_workers, patience
        self.counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
        self.moments: list[tuple[int, dict[Modality, int]]] = []
        self.started: list[int] = []
        self.ended: list[tuple[int, EndedBy | None]] = []
        self.bundle = 0
        self.encoders = EncoderPool(self.new_encoders(), SENSES)
        self.fusion = LiveFusion([first := self.part(0)])
        self.flow = LiveFlow(Lane(first, Preparation(three_senses(), self.counters), self.encoders, self.fusion))
        self.encoders.start()
        self.fusion.start()

    def new_encoders(self) -> dict[Modality, Sequence[Encoder[Any]]]:
        alike = {modality: [SlowEncoder(modality, self.bundle + index)] for index, modality in enumerate(MODALITIES)}
        alike["image"] += [SlowEncoder("image", self.bundle + 10 + index) for index in range(self.image_workers - 1)]
        return alike

    def part(self, bundle: int) -> LiveStream:
        def publish(fused: Fused) -> None:
            for recognition in fused.recognitions:
                ends = {m: embedding.end_ns for m, embedding in recognition.moment.embeddings.items()}
                self.moments.append((bundle, ends))
            self.started += [bundle for event in fused.events if event.phase == "start"]
            self.ended += [(bundle, event.ended_by) for event in fused.events if event.phase == "end"]

        return LiveStream("s", new_fusion(0, self.patience), publish, self.counters)

    def switch(self, manifest: Manifest | None = None) -> LiveStream:
        self.bundle += 1
        self.encoders = self.encoders.followed_by(self.new_encoders(), SENSES)
        preparation = Preparation(manifest or three_senses(), self.counters)
        return self.flow.switch_to(Lane(self.part(self.bundle), preparation, self.encoders, self.fusion))

    def close(self) -> None:
        self.encoders.close(5)
        self.fusion.close(5)

    def pictures(self) -> list[int]:
        """The times of the pictures that were recognised."""
        return [ends["image"] for _, ends in self.moments if "image" in ends]

    def dropped(self) -> dict[Modality, dict[str, int]]:
        return {modality: found.dropped for modality, found in self.counters.items() if found.dropped}


def play(rig: Rig) -> list[int]:
    """Deliver three seconds of frames, and of sound, on two threads. Switch eight times meanwhile."""
    origin_ns = monotonic_ns()
    stamps = [origin_ns + index * FRAME_MS * MS for index in range(1, FRAMES + 1)]

    def deliver_frames() -> None:
        for stamp_ns in stamps:
            time.sleep(max(0, stamp_ns - monotonic_ns()) / 1e9)
            rig.flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), stamp_ns))

    def deliver_sound() -> None:
        sound = np.random.default_rng(1).normal(size=160).astype(np.float32)
        for index in range(FRAMES * FRAME_MS // 20):
            start_ns = origin_ns + index * 20 * MS
            time.sleep(max(0, start_ns + 20 * MS - monotonic_ns()) / 1e9)
            rig.flow.deliver(Block(sound, 8000, start_ns))

    threads = [threading.Thread(target=deliver_frames), threading.Thread(target=deliver_sound)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        time.sleep(0.3)
        assert rig.switch().has_switched.wait(60)
    for thread in threads:
        thread.join()
    return stamps


@pytest.mark.alone  # a busy machine cannot encode so many frames
@pytest.mark.parametrize("image_workers", [1, 3])
def test_eight_switches_lose_no_frame_and_no_sound(image_workers: int) -> None:
    rig = Rig(image_workers)
    stamps = play(rig)
    wait_until(lambda: rig.pictures()[-1:] == stamps[-1:], "the last picture is recognised")
    rig.close()
    assert rig.dropped() == {}
    pictures = [(bundle, ends["image"]) for bundle, ends in rig.moments if "image" in ends]
    first_of = {stamp: bundle for bundle, stamp in reversed(pictures)}
    assert list(dict.fromkeys(stamp for _, stamp in pictures)) == stamps
    patches = sorted({ends["audio"] for _, ends in rig.moments if "audio" in ends})
    assert set(np.diff(patches)) == {30 * MS}  # the stride: the front end is shared
    bundles = [bundle for bundle, _ in rig.moments]
    assert bundles == sorted(bundles)
    assert set(first_of.values()) == set(range(9))


def test_open_events_end_with_the_bundle() -> None:
    rig = Rig()
    now_ns = monotonic_ns()
    six_ns = now_ns - (now_ns // MS - 6) % 7 * MS  # the encoder makes a 6 of this time, and the head a high score
    rig.flow.deliver(Line("x", six_ns))
    wait_until(lambda: rig.started == [0], "an event starts")
    assert rig.switch().has_switched.wait(60)
    assert rig.ended == [(0, "bundle")]
    rig.close()
    assert rig.ended == [(0, "bundle")]


class EveryOther:
    """Implements `Encoder`: two of these finish each pair of frames in reverse order."""

    name = "image"

    def __init__(self, order: list[int]) -> None:
        self.order = order
        self.begun = threading.Semaphore(0)
        self.finished: dict[int, threading.Event] = {}

    def encode(self, item: Frame) -> Embedding:
        number = item.captured_ns
        self.begun.release()
        if number % 2 == 0:
            assert self.finished[number + 1].wait(60)
        self.order.append(number)
        self.finished[number].set()
        return Embedding("image", np.ones(1, np.float32), number, number)


def test_fusion_gets_all_frames_in_order_whichever_encoder_is_done_first() -> None:
    rig, done = Rig(), []
    base_ns = monotonic_ns() // 2 * 2
    one, two = EveryOther(done), EveryOther(done)
    one.begun = two.begun
    one.finished = two.finished = {base_ns + number: threading.Event() for number in range(20)}
    rig.encoders = rig.encoders.followed_by(rig.new_encoders() | {"image": [one, two]}, SENSES)
    lane = Lane(rig.part(0), Preparation(three_senses(), rig.counters), rig.encoders, rig.fusion)
    assert rig.flow.switch_to(lane).has_switched.wait(60)
    for number in range(0, 20, 2):
        rig.flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), base_ns + number))
        assert one.begun.acquire(timeout=60)
        rig.flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), base_ns + number + 1))
        assert one.begun.acquire(timeout=60)
        assert one.finished[base_ns + number].wait(60)
    wait_until(lambda: len(rig.pictures()) == len(one.finished), "all pictures are recognised")
    rig.close()
    assert done == [base_ns + number for pair in range(0, 20, 2) for number in (pair + 1, pair)]
    assert rig.pictures() == [base_ns + number for number in range(20)]
    assert rig.dropped() == {}


class StuckEncoder:
    """Implements `Encoder`: blocks until `go_on` is set."""

    name = "text"

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def encode(self, item: Line) -> Embedding:
        assert self.go_on.wait(60)
        return Embedding("text", np.ones(1, np.float32), item.captured_ns, item.captured_ns)


def test_fusion_waits_for_the_last_embedding_of_the_old_bundle() -> None:
    rig = Rig()
    stuck = StuckEncoder()
    rig.encoders = rig.encoders.followed_by(rig.new_encoders() | {"text": [stuck]}, SENSES)
    stuck_lane = Lane(rig.part(0), Preparation(three_senses(), rig.counters), rig.encoders, rig.fusion)
    assert rig.flow.switch_to(stuck_lane).has_switched.wait(60)
    text_ns = monotonic_ns()
    rig.flow.deliver(Line("x", text_ns))
    old = rig.switch()
    picture_ns = monotonic_ns()
    rig.flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), picture_ns))
    wait_until(lambda: rig.counters["image"].encoded == 1, "the new bundle's encoder is done")
    assert not old.has_switched.is_set()
    stuck.go_on.set()
    assert old.has_switched.wait(60)
    wait_until(lambda: len(rig.moments) == 2, "both are recognised")
    rig.close()
    assert rig.moments == [(0, {"text": text_ns}), (1, {"image": picture_ns})]


def test_an_encoder_that_hangs_delays_the_switch_for_a_limited_time() -> None:
    rig = Rig(patience=5)
    stuck = StuckEncoder()
    rig.encoders = rig.encoders.followed_by(rig.new_encoders() | {"text": [stuck]}, SENSES)
    stuck_lane = Lane(rig.part(0), Preparation(three_senses(), rig.counters), rig.encoders, rig.fusion)
    assert rig.flow.switch_to(stuck_lane).has_switched.wait(60)
    rig.flow.deliver(Line("x", monotonic_ns()))
    old = rig.switch()
    waiting_ns = monotonic_ns()
    rig.flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), waiting_ns))
    assert old.has_switched.wait(60)
    picture_ns = monotonic_ns()
    rig.flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), picture_ns))
    wait_until(lambda: len(rig.moments) == 2, "the new bundle recognises, what waited too")
    stuck.go_on.set()
    wait_until(lambda: rig.dropped() == {"text": {"bundle": 1}}, "the stuck embedding is counted")
    rig.close()
    assert rig.moments == [(1, {"image": waiting_ns}), (1, {"image": picture_ns})]


def other_preprocessing() -> Manifest:
    """A bundle with the same sample rate and other patches."""
    manifest = three_senses()
    audio = manifest.modalities.audio
    assert audio is not None
    preprocessing = audio.preprocessing.model_copy(update={"frames": 20, "stride_frames": 6})
    shape = audio.input.model_copy(update={"shape": [1, 20, 4]})
    audio = audio.model_copy(update={"preprocessing": preprocessing, "input": shape})
    return manifest.model_copy(update={"modalities": manifest.modalities.model_copy(update={"audio": audio})})


@pytest.mark.parametrize(("is_warm", "comes_after_ms"), [(True, 60), (False, 220)])
def test_another_front_end_continues_with_the_earlier_sound(is_warm: bool, comes_after_ms: int) -> None:
    """A patch has 20 spectra of 10 ms. Without a warm-up, the first patch comes after so much new sound."""
    counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
    old, new = Preparation(three_senses(), counters), Preparation(other_preprocessing(), counters)
    sound = np.random.default_rng(1).normal(size=160).astype(np.float32)
    blocks = [Block(sound, 8000, index * 20 * MS) for index in range(100)]
    for block in blocks[:50]:
        old.prepare(block)
    new.warm_up(blocks[:50] if is_warm else [], old)
    new.adopt_front_ends(old)
    patches = [patch for block in blocks[50:62] for _, patch in new.prepare(block)]
    assert isinstance(patches[0], Patch)
    assert 1000 * MS < patches[0].end_ns <= (1000 + comes_after_ms) * MS
    if not is_warm:
        assert patches[0].end_ns > 1200 * MS


def test_a_shared_front_end_continues_in_the_middle_of_the_sound() -> None:
    counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
    one, first, second = (Preparation(three_senses(), counters) for _ in range(3))
    sound = np.random.default_rng(1).normal(size=(100, 160)).astype(np.float32)
    blocks = [Block(samples, 8000, index * 20 * MS) for index, samples in enumerate(sound)]
    whole = [patch for block in blocks for _, patch in one.prepare(block)]
    parts = [patch for block in blocks[:47] for _, patch in first.prepare(block)]
    second.warm_up(blocks[:47], first)
    second.adopt_front_ends(first)
    parts += [patch for block in blocks[47:] for _, patch in second.prepare(block)]
    assert [patch.end_ns for patch in parts] == [patch.end_ns for patch in whole]
    assert all(np.array_equal(a.values, b.values) for a, b in zip(parts, whole, strict=True))
