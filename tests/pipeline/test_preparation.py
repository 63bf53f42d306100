"""What is captured becomes inputs of several encoders: at their own rates, from shared patches, behind gates."""

import copy
from collections import Counter
from typing import Any

import numpy as np
import pytest

from daemon.bundle.manifest import Manifest
from daemon.core.records import Block, Counters, Frame, Line
from daemon.pipeline.preparation import Preparation, encoder_counters
from tests.helpers.format2_bundle import RATE_HZ, manifest

MS = 1_000_000


def several(**rates_hz: float | None) -> Manifest:
    """The bundle with these rates of its encoders of pictures, and with a second and a third encoder of sound."""
    content: dict[str, Any] = copy.deepcopy(manifest())
    for name, rate_hz in rates_hz.items():
        content["encoders"][name].pop("rate_hz")
        content["encoders"][name] |= {} if rate_hz is None else {"rate_hz": rate_hz, "max_age_ms": 10_000}
    other = copy.deepcopy(content["encoders"]["sound"])
    content["encoders"]["voice"] = copy.deepcopy(other)
    other["preprocessing"]["stride_frames"] = 2
    content["encoders"]["alarm"] = other
    text = {
        "modality": "text",
        "model": "t.tflite",
        "input": {"shape": [1, 4], "dtype": "int32"},
        "outputs": {"o": {"shape": [1, 1], "dtype": "float32"}},
        "max_age_ms": 500,
    }
    content["encoders"]["short"] = text
    content["encoders"]["long"] = copy.deepcopy(text) | {"input": {"shape": [1, 40], "dtype": "int32"}}
    return Manifest.model_validate(content)


def preparation(of: Manifest) -> tuple[Preparation, dict[str, Counters]]:
    counters = {name: Counters() for name in of.encoder_specs}
    return Preparation(of, counters), counters


def frame(at_ms: float) -> Frame:
    return Frame((np.zeros((4, 4, 3), np.uint8),), round(at_ms * MS))


def block(index: int) -> Block:
    sound = np.random.default_rng(index).normal(size=160).astype(np.float32)
    return Block(sound, RATE_HZ, index * 20 * MS)


@pytest.mark.parametrize(
    ("fps", "rate_hz", "taken"),
    [(30, 2, 2), (30, 10, 10), (30, 29, 29), (29.97, 2, 2), (25, 10, 10), (15, 15, 15), (5, 10, 5), (30, 1, 1)],
)
def test_each_encoder_takes_pictures_at_its_own_rate_by_their_times(fps: float, rate_hz: float, taken: int) -> None:
    prepared, counters = preparation(several(scene=rate_hz, people=None))
    frames = [frame(1000 * index / fps) for index in range(round(fps * 31))]
    inputs = [(name, item.captured_ns) for each in frames for name, item in prepared.prepare(each)]
    seconds = Counter(at_ns // (1000 * MS) for name, at_ns in inputs if name == "scene")
    assert [seconds[second] for second in range(1, 30)] == [taken] * 29
    assert [at_ns for name, at_ns in inputs if name == "people"] == [each.captured_ns for each in frames]
    assert all(each.dropped == {} for each in counters.values()), "what a rate leaves out is no drop"


def test_jitter_and_a_pause_do_not_change_the_rate() -> None:
    prepared, _ = preparation(several(scene=2, people=2))
    jitter = np.random.default_rng(1).uniform(-12, 12, 600)
    times = [index * 1000 / 30 + jitter[index] + (60_000 if index >= 300 else 0) for index in range(600)]
    taken = [at for at in times if prepared.prepare(frame(at))]
    assert len(taken) == 2 * (1 + 20), "the first at once, then two a second"
    assert min(np.diff(taken)) > 200, "no burst"


def test_encoders_with_equal_preprocessing_get_the_same_patches() -> None:
    prepared, _ = preparation(several())
    inputs = [each for index in range(20) for each in prepared.prepare(block(index))]
    patches = {name: [item for other, item in inputs if other == name] for name in ("sound", "voice", "alarm")}
    assert len(patches["sound"]) == len(patches["voice"]) == 6
    assert all(one is other for one, other in zip(patches["sound"], patches["voice"], strict=True))
    assert len(patches["alarm"]) == 15, "another stride is another front end"


def test_a_gate_holds_back_single_encoders_and_counts_for_each() -> None:
    prepared, counters = preparation(several(scene=30, people=2))
    assert [name for name, _ in prepared.prepare(frame(0), held=["people"])] == ["scene"]
    assert [name for name, _ in prepared.prepare(frame(33), held=["scene", "people"])] == []
    assert [name for name, _ in prepared.prepare(frame(66))] == ["scene", "people"], "the gate opens: at once"
    assert [counters[name].dropped for name in ("scene", "people")] == [{"gate_closed": 1}, {"gate_closed": 2}]
    heard = [name for index in range(20) for name, _ in prepared.prepare(block(index), held=["voice", "alarm"])]
    assert heard == ["sound"] * 6
    assert counters["voice"].dropped == {"gate_closed": 6}
    assert counters["alarm"].dropped == {"gate_closed": 15}
    assert counters["sound"].dropped == {}


def test_what_no_encoder_needs_is_not_computed_and_later_patches_do_not_depend_on_it() -> None:
    (held, _), (whole, _) = preparation(several()), preparation(several())
    senses = ("sound", "voice", "alarm")
    for index in range(10):
        assert held.prepare(block(index), held=senses) == []
        whole.prepare(block(index))
    for index in range(10, 20):
        pairs = zip(held.prepare(block(index)), whole.prepare(block(index)), strict=True)
        assert all(one == other and np.array_equal(a.values, b.values) for (one, a), (other, b) in pairs)


def test_each_encoder_cuts_a_text_at_its_own_length() -> None:
    prepared, counters = preparation(several())
    assert [name for name, _ in prepared.prepare(Line("seven", 0))] == ["short", "long"]
    assert [counters[name].dropped for name in ("short", "long")] == [{"cut": 1}, {}]


def test_sound_at_another_rate_is_counted_for_each_encoder() -> None:
    prepared, counters = preparation(several())
    assert prepared.prepare(Block(np.zeros(320, np.float32), 16_000, 0)) == []
    assert [counters[name].dropped for name in ("sound", "voice", "alarm")] == [{"wrong_rate": 1}] * 3


def test_front_ends_of_another_bundle_go_on_where_they_are_alike_and_are_warmed_up_where_not() -> None:
    """Of sound, a patch lasts 92.5 ms. A front end that was not warmed up would give none before."""
    content = copy.deepcopy(manifest())
    del content["encoders"]["scene"], content["encoders"]["people"]
    old, _ = preparation(Manifest.model_validate(content))
    new, counters = preparation(several())
    blocks = [block(index) for index in range(60)]
    before = [(name, item.end_ns) for each in blocks[:47] for name, item in old.prepare(each)]
    new.warm_up(blocks[:47], old)
    new.adopt_front_ends(old)
    after = [(name, item.end_ns) for each in blocks[47:] for name, item in new.prepare(each)]
    assert all(each.dropped == {} for each in counters.values())
    ends = [end_ns for name, end_ns in before + after if name == "sound"]
    assert set(np.diff(ends)) == {50 * MS}, "the patches go on without a gap"
    alarm = [end_ns for name, end_ns in after if name == "alarm"]
    assert alarm[0] <= blocks[47].end_ns
    assert set(np.diff(alarm)) == {20 * MS}


def test_one_encoder_of_a_sense_counts_with_the_sense_and_several_count_beneath_it() -> None:
    senses = {"image": Counters(), "audio": Counters(), "text": Counters()}
    counters = encoder_counters({"scene": "image", "people": "image", "sound": "audio"}, senses)
    assert counters["sound"] is senses["audio"]
    assert counters["scene"] is senses["image"].encoders["scene"]
    assert senses["image"].parts == [senses["image"], counters["scene"], counters["people"]]
    counters["scene"].encoded += 1
    again = encoder_counters({"scene": "image", "people": "image"}, senses)
    assert again["scene"].encoded == 1, "counts are since the start of the daemon"
    assert encoder_counters({"image": "image"}, senses)["image"] is senses["image"]
