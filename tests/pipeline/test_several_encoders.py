"""A bundle with two encoders of pictures and one of sound: in order, live, behind gates and through a switch."""

import itertools
import threading
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.config.streams import EventsConfig, FusionConfig, GatesConfig, MotionConfig
from daemon.core.records import MODALITIES, Block, Captured, Counters, Embedding, Frame, Modality, ended_ns
from daemon.core.timing import monotonic_ns
from daemon.fusion.align import AlignmentSettings
from daemon.fusion.fuse import Fused, StreamFusion
from daemon.fusion.pool import Pool
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.gates import NO_GATES, Gates
from daemon.pipeline.keep_alive import EmbeddingRepeater, KeepAlive, keep_alive_rules
from daemon.pipeline.lane import Lane, LiveFlow
from daemon.pipeline.live import LiveFusion, LiveStream
from daemon.pipeline.ordered import OrderedFlow
from daemon.pipeline.preparation import Preparation, encoder_counters
from daemon.pipeline.recogniser import Recogniser, event_settings, load_recogniser
from tests.fakes.encoders import SlowEncoder
from tests.helpers import bundle_builder, format2_bundle
from tests.helpers.format2_bundle import RATE_HZ, noise, picture
from tests.helpers.mosquitto import wait_until

MS = 1_000_000
FUSION = FusionConfig(max_rate_hz=1000)
SECONDS = 4
OPEN = GatesConfig()
STILL = GatesConfig(motion=MotionConfig(hold_s=0.1, keep_alive_s=0.2))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return format2_bundle.write_bundle(tmp_path_factory.mktemp("bundle") / "corner")


@pytest.fixture
def recogniser(bundle: Path) -> Recogniser:
    return load_recogniser(load_bundle(bundle))


@pytest.fixture
def other(tmp_path: Path) -> Recogniser:
    """A bundle of format 1 with one encoder of pictures."""
    return load_recogniser(load_bundle(bundle_builder.write_bundle(tmp_path / "brightness")))


def frame(at_ns: int, *, left: int = 0, right: int = 0) -> Frame:
    return Frame((picture(left=left, right=right),), at_ns)


def captured() -> list[Captured]:
    """Four seconds: a picture that is bright on the left, from 1 s to 3 s; noise from 2 s on."""
    sides = [255 if 30 <= index < 90 else 0 for index in range(30 * SECONDS)]
    items: list[Captured] = [frame(index * 1000 * MS // 30, left=left) for index, left in enumerate(sides)]
    loud, quiet = noise(0.02), noise(0.02, 0.0001)
    items += [Block(loud if index >= 100 else quiet, RATE_HZ, index * 20 * MS) for index in range(50 * SECONDS)]
    return sorted(items, key=ended_ns)


class Published:
    """What a stream publishes."""

    def __init__(self) -> None:
        self.moments: list[tuple[int, tuple[str, ...], bytes]] = []
        self.events: list[tuple[str, str, str | None]] = []

    def publish(self, fused: Fused) -> None:
        for made in fused.recognitions:
            self.moments.append((made.moment.time_ns, tuple(made.moment.embeddings), made.scores.tobytes()))
        self.events += [(event.phase, event.label, event.ended_by) for event in fused.events if event.phase != "update"]


def senses() -> dict[Modality, Counters]:
    return {modality: Counters() for modality in MODALITIES}


def in_order(
    recogniser: Recogniser,
    gates: GatesConfig | None = None,
    slow: str | None = None,
    items: Sequence[Captured] | None = None,
) -> tuple[Published, dict[str, Counters]]:
    """Replay `items`, or what was captured; the encoder `slow` takes a random time for each item."""
    manifest, published = recogniser.bundle.manifest, Published()
    counters = encoder_counters(manifest.encoder_modalities, senses())
    alike = dict(recogniser.parallel_encoders)
    if slow is not None:
        alike[slow] = [Delayed(alike[slow][0])]
    encoders = EncoderPool(alike, manifest.encoder_modalities)
    encoders.start()
    stream_gates = NO_GATES if gates is None else Gates(gates)
    stream_gates.adapt_to(manifest)
    flow = OrderedFlow(
        "s",
        Preparation(manifest, counters),
        encoders,
        recogniser.new_fusion(recogniser.new_head(), "s", FUSION, EventsConfig(smoothing_s=0.1, min_duration_s=0)),
        published.publish,
        counters,
        threading.Event(),
        stream_gates,
        KeepAlive({} if gates is None else keep_alive_rules(manifest, gates)),
    )
    for item in captured() if items is None else items:
        flow.deliver(item)
    flow.finish()
    encoders.close(5)
    return published, counters


class Delayed(SlowEncoder):
    """An encoder that takes a random time."""

    def __init__(self, encoder: object) -> None:
        super().__init__("image", 3)
        self._encoder = encoder

    def encode(self, item: object) -> Embedding:
        super().encode(item)
        return self._encoder.encode(item)  # type: ignore[attr-defined, no-any-return]


def test_in_order_each_encoder_has_its_rate_nothing_is_lost_and_timing_changes_nothing(recogniser: Recogniser) -> None:
    published, counters = in_order(recogniser)
    assert {name: each.dropped for name, each in counters.items()} == {"scene": {}, "people": {}, "sound": {}}
    # a schedule takes the second picture up to half a period early
    assert counters["scene"].encoded in range(10 * SECONDS, 10 * SECONDS + 2)
    assert counters["people"].encoded in range(2 * SECONDS, 2 * SECONDS + 2)
    assert published.events == [
        ("start", "left", None),
        ("start", "loud", None),
        ("end", "left", "absent"),
        ("end", "loud", "absent"),
    ], "an independent label does not end another"
    times_ns = [time_ns for time_ns, *_ in published.moments]
    assert times_ns == sorted(times_ns)
    for slow in ("people", "scene"):
        assert in_order(recogniser, slow=slow)[0].moments == published.moments


def test_of_embeddings_of_one_time_the_first_encoder_comes_first(recogniser: Recogniser) -> None:
    first, second = in_order(recogniser, slow="scene")[0].moments[:2]
    assert first[:2] == (0, ("scene",))
    assert second[:2] == (0, ("scene", "people"))


def test_behind_a_gate_each_encoder_repeats_its_own_embedding_and_none_expires(recogniser: Recogniser) -> None:
    """Something moves at 1 s and at 3 s only."""
    published, counters = in_order(recogniser, STILL)
    open_, gated = in_order(recogniser)[1], counters
    for name in ("scene", "people"):
        assert gated[name].encoded < open_[name].encoded
        assert set(gated[name].dropped) == {"gate_closed"}
    late = [names for time_ns, names, _ in published.moments if 500 * MS < time_ns < 3900 * MS]
    assert all({"scene", "people"} <= set(names) for names in late)
    assert [event[:2] for event in published.events] == [
        ("start", "left"),
        ("start", "loud"),
        ("end", "left"),
        ("end", "loud"),
    ]


class Held:
    """Implements `Encoder`: encodes one item for each release of `gate`. `begun` counts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.gate = threading.Semaphore(0)
        self.begun = 0

    def encode(self, item: Frame) -> Embedding:
        self.begun += 1
        assert self.gate.acquire(timeout=60)
        return Embedding(self.name, np.array([1, -1], np.float32), item.captured_ns, item.captured_ns)


class Rig:
    """One live stream. `switch` gives it another bundle."""

    def __init__(self, recogniser: Recogniser, gates: GatesConfig = OPEN, **encoders: Held) -> None:
        self.senses = senses()
        self.moments: list[tuple[str, dict[str, int]]] = []
        manifest = recogniser.bundle.manifest
        alike = recogniser.parallel_encoders | {name: [encoder] for name, encoder in encoders.items()}
        self.encoders = EncoderPool(alike, manifest.encoder_modalities)
        self.encoders.start()
        self.fusion = LiveFusion([first := self.stream(recogniser)])
        self.fusion.start()
        self.flow = LiveFlow(self.lane(first, manifest, gates), Gates(gates))

    def stream(self, recogniser: Recogniser) -> LiveStream:
        name, manifest = recogniser.bundle.manifest.name, recogniser.bundle.manifest

        def publish(fused: Fused) -> None:
            for made in fused.recognitions:
                self.moments.append((name, {key: each.end_ns for key, each in made.moment.embeddings.items()}))

        # each embedding makes a moment however fast they come, and none is late on a busy machine
        alignment = AlignmentSettings(dict.fromkeys(manifest.encoder_specs, 60_000 * MS), 0)
        fusion = StreamFusion(recogniser.new_head(), Pool({}), alignment, event_settings(manifest, EventsConfig(), "s"))
        return LiveStream("s", fusion, publish, encoder_counters(manifest.encoder_modalities, self.senses))

    def lane(self, stream: LiveStream, manifest: Manifest, gates: GatesConfig) -> Lane:
        repeater = EmbeddingRepeater(keep_alive_rules(manifest, gates))
        return Lane(stream, Preparation(manifest, stream.counters), self.encoders, self.fusion, repeater)

    def switch(self, recogniser: Recogniser) -> LiveStream:
        manifest = recogniser.bundle.manifest
        self.encoders = self.encoders.followed_by(recogniser.parallel_encoders, manifest.encoder_modalities)
        return self.flow.switch_to(self.lane(self.stream(recogniser), manifest, OPEN))

    def recognised(self, encoder: str) -> list[int]:
        """The ends of the embeddings of an encoder, each once."""
        return list(dict.fromkeys(ends[encoder] for _, ends in self.moments.copy() if encoder in ends))

    def close(self) -> None:
        self.encoders.close(5)
        self.fusion.close(5)


def test_a_slow_encoder_neither_delays_nor_starves_a_fast_one_of_the_same_sense(recogniser: Recogniser) -> None:
    """While `people` is at its first picture, `scene` gives ten. Then the newest picture is next for `people`."""
    people = Held("people")
    rig = Rig(recogniser, people=people)
    start_ns = monotonic_ns()
    times_ns = [start_ns + index * 100 * MS for index in range(11)]
    for at_ns in times_ns:
        rig.flow.deliver(frame(at_ns))
        wait_until(lambda at_ns=at_ns: at_ns in rig.recognised("scene"), "scene goes on")
    assert people.begun == 1
    assert rig.recognised("people") == []
    people.gate.release(3)
    wait_until(lambda: len(rig.recognised("people")) == 2, "people goes on with the newest picture that waits")
    assert rig.senses["image"].encoders["people"].dropped == {"busy": 1}
    assert rig.senses["image"].encoders["scene"].dropped == {}
    rig.close()
    assert rig.recognised("scene") == times_ns
    assert rig.recognised("people")[0] == start_ns


def test_live_behind_a_gate_each_encoder_encodes_once_and_then_repeats_its_own_embedding(
    recogniser: Recogniser,
) -> None:
    rig = Rig(recogniser, STILL)
    start_ns = monotonic_ns()
    for index in range(30):
        rig.flow.deliver(frame(start_ns + index * 33 * MS, left=255))
        wait_until(lambda: not rig.flow._lane._encoding, "encoded")
    rig.close()
    encoders = rig.senses["image"].encoders
    # the gate is open for the first 100 ms: people takes one picture in that time, scene two at most
    assert encoders["people"].encoded == 1
    assert encoders["scene"].encoded in (1, 2)
    assert set(encoders["people"].dropped) == {"gate_closed"}
    for name in ("scene", "people"):
        repeated = np.diff(rig.recognised(name)[2:]) / MS
        assert len(repeated) >= 2
        assert repeated == pytest.approx(231), "each 200 ms, at the next picture"


def test_a_switch_between_formats_mixes_no_embeddings_and_threads_of_other_names_start(
    recogniser: Recogniser, other: Recogniser
) -> None:
    rig = Rig(recogniser)
    order = [(recogniser, "people"), (other, "image"), (recogniser, "people"), (other, "image")]
    for number, (bundle, encoder) in enumerate(order):
        if number:
            assert rig.switch(bundle).has_switched.wait(60)
        rig.flow.deliver(frame(at_ns := monotonic_ns()))
        wait_until(lambda at_ns=at_ns, encoder=encoder: at_ns in rig.recognised(encoder), "the bundle recognises")
    rig.close()
    names = {"brightness": {"image"}, "corner": {"scene", "people"}}
    assert all(set(ends) <= names[name] for name, ends in rig.moments)
    assert [name for name, _ in itertools.groupby(rig.moments, key=itemgetter(0))] == ["corner", "brightness"] * 2
    loops = [heartbeat.loop for heartbeat in rig.encoders.progress]
    assert sorted(loops) == ["encode-image", "encode-people", "encode-scene", "encode-sound"], "each has one thread"
    image = rig.senses["image"]
    assert image.encoded == 2
    assert {name: each.encoded for name, each in image.encoders.items()} == {"scene": 2, "people": 2}


def test_what_is_being_encoded_at_a_switch_is_recognised_before_the_next_bundle(
    recogniser: Recogniser, other: Recogniser
) -> None:
    people = Held("people")
    rig = Rig(recogniser, people=people)
    rig.flow.deliver(frame(before_ns := monotonic_ns()))
    wait_until(lambda: rig.recognised("scene") == [before_ns], "scene is done")
    old = rig.switch(other)
    rig.flow.deliver(frame(after_ns := monotonic_ns()))
    wait_until(lambda: rig.senses["image"].encoded == 1, "the next bundle has encoded")
    people.gate.release()
    assert old.has_switched.wait(60)
    rig.close()
    assert [(name, set(ends)) for name, ends in rig.moments[-2:]] == [
        ("corner", {"scene", "people"}),
        ("brightness", {"image"}),
    ]
    assert rig.recognised("image") == [after_ns]
    assert rig.recognised("people") == [before_ns]
