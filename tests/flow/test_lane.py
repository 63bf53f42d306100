"""Another bundle takes over while streams go on: no moment is lost, none comes twice, none mixes the two."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from daemon.clock import monotonic_ns
from daemon.encoders.audio import Patch
from daemon.flow.encode import Encoders, Preparation
from daemon.flow.lane import Lane, LiveFlow
from daemon.flow.live import LiveFusion, LiveStream
from daemon.fusion.stream import Fused
from daemon.manifest import Manifest
from daemon.ports import Encoder
from daemon.records import MODALITIES, Block, Counters, Embedding, EndedBy, Frame, Line, Modality
from tests.fakes.encoders import SlowEncoder
from tests.flow.test_ordered import MS, new_fusion, three_senses
from tests.helpers.mosquitto import wait_until

FRAMES = 90


class Rig:
    """One live stream with three senses; `change` gives it the next bundle. Who fused what is kept in order."""

    def __init__(self, image_workers: int = 1, patience: int = 1) -> None:
        self.image_workers, self.patience = image_workers, patience
        self.counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
        self.moments: list[tuple[int, dict[Modality, int]]] = []
        self.started: list[int] = []
        self.ended: list[tuple[int, EndedBy | None]] = []
        self.bundle = 0
        self.encoders = Encoders(self.new_encoders())
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

    def change(self, manifest: Manifest | None = None) -> LiveStream:
        self.bundle += 1
        self.encoders = self.encoders.followed_by(self.new_encoders())
        preparation = Preparation(manifest or three_senses(), self.counters)
        return self.flow.change(Lane(self.part(self.bundle), preparation, self.encoders, self.fusion))

    def close(self) -> None:
        self.encoders.close(5)
        self.fusion.close(5)

    def dropped(self) -> dict[Modality, dict[str, int]]:
        return {modality: found.dropped for modality, found in self.counters.items() if found.dropped}


def play(rig: Rig) -> list[int]:
    """Three seconds at 30 frames a second, with sound, on two threads as a camera and a microphone would.

    Where the machine is too busy to encode so fast, both wait, and nothing is displaced for that.
    """
    images, sounds = rig.counters["image"], rig.counters["audio"]
    origin_ns = monotonic_ns()
    stamps = [origin_ns + index * 33 * MS for index in range(1, FRAMES + 1)]

    def film() -> None:
        for index, stamp_ns in enumerate(stamps):
            time.sleep(max(0, stamp_ns - monotonic_ns()) / 1e9)
            wait_until(lambda index=index: images.encoded >= index, "pictures are encoded")
            rig.flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), stamp_ns))

    def listen() -> None:
        sound = np.random.default_rng(1).normal(size=160).astype(np.float32)
        for index in range(FRAMES * 33 // 20):
            start_ns = origin_ns + index * 20 * MS
            time.sleep(max(0, start_ns + 20 * MS - monotonic_ns()) / 1e9)
            patches = (index * 20 - 100) // 30  # at most, so far
            wait_until(lambda patches=patches: sounds.encoded >= patches - 4, "sound is encoded")
            rig.flow.deliver(Block(sound, 8000, start_ns))

    threads = [threading.Thread(target=film), threading.Thread(target=listen)]
    for thread in threads:
        thread.start()
    for number in range(1, 9):
        wait_until(lambda number=number: images.encoded >= 9 * number, "some pictures more")
        assert rig.change().has_left.wait(5)
    for thread in threads:
        thread.join()
    return stamps


@pytest.mark.parametrize("image_workers", [1, 3])
def test_eight_changes_lose_no_frame_and_no_sound(image_workers: int) -> None:
    rig = Rig(image_workers, patience=100)
    stamps = play(rig)
    rig.close()
    assert rig.dropped() == {}
    pictures = [(bundle, ends["image"]) for bundle, ends in rig.moments if "image" in ends]
    first_of = {stamp: bundle for bundle, stamp in reversed(pictures)}
    assert list(dict.fromkeys(stamp for _, stamp in pictures)) == stamps
    patches = sorted({ends["audio"] for _, ends in rig.moments if "audio" in ends})
    assert set(np.diff(patches)) == {30 * MS}  # the stride: ears that are alike hear on where they were
    bundles = [bundle for bundle, _ in rig.moments]
    assert bundles == sorted(bundles)
    assert set(first_of.values()) == set(range(9))


def test_open_events_end_with_the_bundle() -> None:
    rig = Rig()
    now_ns = monotonic_ns()
    six_ns = now_ns - (now_ns // MS - 6) % 7 * MS  # of which the encoder makes a 6, and the head a sure thing
    rig.flow.deliver(Line("x", six_ns))
    wait_until(lambda: rig.started == [0], "an event starts")
    assert rig.change().has_left.wait(5)
    assert rig.ended == [(0, "bundle")]
    rig.close()
    assert rig.ended == [(0, "bundle")]


class EveryOther:
    """Implements `Encoder`: two of them finish what they are given in reverse, pair by pair."""

    modality: Modality = "image"

    def __init__(self, order: list[int]) -> None:
        self.order = order
        self.begun = threading.Semaphore(0)
        self.finished: dict[int, threading.Event] = {}

    def encode(self, item: Frame) -> Embedding:
        number = item.captured_ns
        self.begun.release()
        if number % 2 == 0:
            assert self.finished[number + 1].wait(10)
        self.order.append(number)
        self.finished[number].set()
        return Embedding("image", np.ones(1, np.float32), number, number)


def test_fusion_gets_all_frames_in_order_whichever_encoder_is_done_first() -> None:
    rig, done = Rig(), []
    base_ns = monotonic_ns() // 2 * 2
    one, two = EveryOther(done), EveryOther(done)
    one.begun = two.begun
    one.finished = two.finished = {base_ns + number: threading.Event() for number in range(20)}
    rig.encoders = rig.encoders.followed_by(rig.new_encoders() | {"image": [one, two]})
    lane = Lane(rig.part(0), Preparation(three_senses(), rig.counters), rig.encoders, rig.fusion)
    assert rig.flow.change(lane).has_left.wait(5)
    for number in range(0, 20, 2):
        rig.flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), base_ns + number))
        assert one.begun.acquire(timeout=10)
        rig.flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), base_ns + number + 1))
        assert one.begun.acquire(timeout=10)
        assert one.finished[base_ns + number].wait(10)
    rig.close()
    assert done == [base_ns + number for pair in range(0, 20, 2) for number in (pair + 1, pair)]
    assert [ends["image"] for _, ends in rig.moments if "image" in ends] == [base_ns + number for number in range(20)]
    assert rig.dropped() == {}


class StuckEncoder:
    """Implements `Encoder`: does not come back before it is told to."""

    modality: Modality = "text"

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def encode(self, item: Line) -> Embedding:
        assert self.go_on.wait(10)
        return Embedding("text", np.ones(1, np.float32), item.captured_ns, item.captured_ns)


def test_what_the_old_encoder_still_works_on_is_waited_for_and_comes_first() -> None:
    rig = Rig()
    stuck = StuckEncoder()
    rig.encoders = rig.encoders.followed_by(rig.new_encoders() | {"text": [stuck]})
    held_up = Lane(rig.part(0), Preparation(three_senses(), rig.counters), rig.encoders, rig.fusion)
    assert rig.flow.change(held_up).has_left.wait(5)
    text_ns = monotonic_ns()
    rig.flow.deliver(Line("x", text_ns))
    left = rig.change()
    picture_ns = monotonic_ns()
    rig.flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), picture_ns))
    wait_until(lambda: rig.counters["image"].encoded == 1, "the new bundle's encoder is done")
    assert not left.has_left.is_set()
    stuck.go_on.set()
    assert left.has_left.wait(5)
    rig.close()
    assert rig.moments == [(0, {"text": text_ns}), (1, {"image": picture_ns})]


def test_who_never_comes_back_holds_up_nobody_for_long() -> None:
    rig = Rig()
    stuck = StuckEncoder()
    rig.encoders = rig.encoders.followed_by(rig.new_encoders() | {"text": [stuck]})
    held_up = Lane(rig.part(0), Preparation(three_senses(), rig.counters), rig.encoders, rig.fusion)
    assert rig.flow.change(held_up).has_left.wait(5)
    rig.flow.deliver(Line("x", monotonic_ns()))
    left = rig.change()
    rig.flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), monotonic_ns()))
    assert left.has_left.wait(5)
    picture_ns = monotonic_ns()
    rig.flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), picture_ns))
    wait_until(lambda: rig.moments, "the new bundle recognises")
    stuck.go_on.set()
    told = {"image": {"late": 1}, "text": {"bundle": 1}}
    wait_until(lambda: rig.dropped() == told, "what waited, or comes, too long is counted")
    rig.close()
    assert rig.moments == [(1, {"image": picture_ns})]


def other_ears() -> Manifest:
    """The same sample rate, other spectra."""
    manifest = three_senses()
    audio = manifest.modalities.audio
    assert audio is not None
    preprocessing = audio.preprocessing.model_copy(update={"frames": 20, "stride_frames": 6})
    audio = audio.model_copy(update={"preprocessing": preprocessing})
    return manifest.model_copy(update={"modalities": manifest.modalities.model_copy(update={"audio": audio})})


@pytest.mark.parametrize(("heard", "comes_after_ms"), [(True, 60), (False, 220)])
def test_other_ears_know_what_was_heard_before(heard: bool, comes_after_ms: int) -> None:
    """Patches of 20 frames, 10 ms each: without what was heard, the first comes when so much has been heard anew."""
    counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
    old, new = Preparation(three_senses(), counters), Preparation(other_ears(), counters)
    sound = np.random.default_rng(1).normal(size=160).astype(np.float32)
    blocks = [Block(sound, 8000, index * 20 * MS) for index in range(100)]
    for block in blocks[:50]:
        old.prepare(block)
    assert not new.hears_like(old)
    new.hear(blocks[:50] if heard else [])
    patches = [patch for block in blocks[50:62] for _, patch in new.prepare(block)]
    assert isinstance(patches[0], Patch)
    assert 1000 * MS < patches[0].end_ns <= (1000 + comes_after_ms) * MS
    if not heard:
        assert patches[0].end_ns > 1200 * MS


def test_alike_ears_hear_on_where_they_were() -> None:
    counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
    one, first, second = (Preparation(three_senses(), counters) for _ in range(3))
    sound = np.random.default_rng(1).normal(size=(100, 160)).astype(np.float32)
    blocks = [Block(samples, 8000, index * 20 * MS) for index, samples in enumerate(sound)]
    whole = [patch for block in blocks for _, patch in one.prepare(block)]
    parts = [patch for block in blocks[:47] for _, patch in first.prepare(block)]
    assert second.hears_like(first)
    second.hear_on(first)
    parts += [patch for block in blocks[47:] for _, patch in second.prepare(block)]
    assert [patch.end_ns for patch in parts] == [patch.end_ns for patch in whole]
    assert all(np.array_equal(a.spectra, b.spectra) for a, b in zip(parts, whole, strict=True))
