"""A press of which nothing can be used is refused; what cannot be used of one sense alone is left out."""

import numpy as np
import pytest

from daemon.core.records import Array, Modality, Plane
from daemon.teaching.quality import NEARLY_THE_SAME, NOTHING_CAPTURED, frames_problem, judged, sound_problem
from daemon.teaching.records import StoredMoment
from tests.teaching.records import vectors

MODALITIES: dict[str, Modality] = {"image": "image", "audio": "audio"}
CHANCE = np.random.default_rng(7)
RATE_HZ = 16_000


def scene(brightness: float = 120.0, noise: float = 3.0) -> Plane:
    across = np.linspace(0.2, 1.8, 64)[None, :, None] * brightness
    return np.clip(across + CHANCE.normal(0, noise, (48, 64, 3)), 0, 255).astype(np.uint8)


def tone(level: float) -> Array:
    return (level * np.sin(np.arange(RATE_HZ) * 0.1)).astype(np.float32)


GOOD_FRAMES, GOOD_SOUND = [scene() for _ in range(4)], tone(0.1)
MOMENTS = [StoredMoment(0, vectors(1)), StoredMoment(500, vectors(2))]

FRAMES: dict[str, list[Plane]] = {
    "is dark": [scene(4.0, 2.0) for _ in range(4)],
    "of one colour": [np.full((48, 64, 3), 130, np.uint8)] * 2,
    "has the camera frozen? If not, let something move": [scene()] * 4,
}


@pytest.mark.parametrize("words", FRAMES)
def test_pictures_that_show_nothing(words: str) -> None:
    assert words in str(frames_problem(FRAMES[words]))


def test_pictures_that_show_something() -> None:
    assert frames_problem(GOOD_FRAMES) is None
    assert frames_problem([]) is None
    assert frames_problem([scene(4.0), *GOOD_FRAMES]) is None, "the light is switched on"
    assert frames_problem([scene()] * 2) is None, "a slow camera has given one picture twice"


def test_sound_that_cannot_be_used() -> None:
    assert "silent" in str(sound_problem(np.zeros(RATE_HZ, np.float32)))
    assert "clipped" in str(sound_problem(np.clip(tone(5.0), -1, 1)))
    assert "not finite" in str(sound_problem(np.array([0.1, np.nan], np.float32)))
    assert sound_problem(tone(0.001)) is None, "a quiet room"
    assert sound_problem(tone(0.98)) is None
    assert sound_problem(None) is None


def test_an_unusable_sense_is_left_out_and_named() -> None:
    found = judged(GOOD_FRAMES, np.zeros(RATE_HZ, np.float32), MOMENTS, MODALITIES, [])
    assert (found.refusal, found.senses) == (None, {"image"})
    assert [set(moment.vectors) for moment in found.moments] == [{"image"}] * 2
    assert list(found.left_out) == ["the sound is silent: is the microphone muted?"]


def test_a_press_is_refused_when_no_sense_is_usable() -> None:
    found = judged(FRAMES["is dark"], np.zeros(RATE_HZ, np.float32), MOMENTS, MODALITIES, [])
    assert found.refusal is not None
    assert "nothing of it can be used: the picture is dark" in found.refusal and "silent" in found.refusal
    assert judged([], None, [], MODALITIES, []).refusal == NOTHING_CAPTURED


def slightly_changed(moments: list[StoredMoment], by: float) -> list[StoredMoment]:
    return [
        StoredMoment(moment.time_ms, {name: vector * np.float32(1 + by) for name, vector in moment.vectors.items()})
        for moment in moments
    ]


def test_what_is_nearly_the_same_as_another_example_is_refused() -> None:
    def refusal(others: list[list[StoredMoment]]) -> str | None:
        return judged(GOOD_FRAMES, GOOD_SOUND, MOMENTS, MODALITIES, others).refusal

    assert refusal([]) is None
    assert refusal([slightly_changed(MOMENTS, 0.01)]) == NEARLY_THE_SAME
    assert refusal([slightly_changed(MOMENTS, 0.2)]) is None
    same_picture = [StoredMoment(0, moment.vectors | {"audio": vectors(9)["audio"]}) for moment in MOMENTS]
    assert refusal([same_picture]) is None, "the same place with another sound"
    longer = [StoredMoment(0, {"image": np.zeros(3, np.float32), "audio": np.zeros(3, np.float32)})]
    assert refusal([longer]) is None, "other encoders"


def test_silence_around_two_short_sounds_does_not_make_them_the_same() -> None:
    quiet = vectors(5)
    first = [StoredMoment(500 * number, quiet) for number in range(8)] + [StoredMoment(4000, vectors(1))]
    second = [StoredMoment(500 * number, quiet) for number in range(8)] + [StoredMoment(4000, vectors(2))]
    assert judged(GOOD_FRAMES, GOOD_SOUND, first, MODALITIES, [second]).refusal is None
    assert judged(GOOD_FRAMES, GOOD_SOUND, first, MODALITIES, [slightly_changed(first, 0.01)]).refusal is not None


@pytest.mark.parametrize(("overlaps", "expected"), [(False, None), (True, NEARLY_THE_SAME)])
def test_of_encoders_that_give_scores_alone_the_time_of_a_press_says_whether_it_repeats_another(
    overlaps: bool, expected: str | None
) -> None:
    other = [StoredMoment(moment.time_ms + 40, moment.vectors) for moment in MOMENTS]
    scores = set(MODALITIES)
    found = judged(GOOD_FRAMES, GOOD_SOUND, MOMENTS, MODALITIES, [other], scores=scores, overlaps=overlaps)
    assert found.refusal == expected, "two presses often give the same scores"
    assert judged(GOOD_FRAMES, GOOD_SOUND, MOMENTS, MODALITIES, [MOMENTS], scores=scores).refusal == NEARLY_THE_SAME


def test_where_an_encoder_gives_embeddings_they_alone_say_whether_a_press_repeats_another() -> None:
    other = [StoredMoment(0, moment.vectors | {"image": vectors(9)["image"]}) for moment in MOMENTS]
    for scores, expected in (({"image"}, NEARLY_THE_SAME), ({"audio"}, None)):
        found = judged(GOOD_FRAMES, GOOD_SOUND, MOMENTS, MODALITIES, [other], scores=scores, overlaps=True)
        assert found.refusal == expected


def test_the_same_line_of_text_may_be_shown_again() -> None:
    line = [StoredMoment(1200, {"note": vectors(3)["audio"]})]
    earlier = [StoredMoment(700, line[0].vectors)]
    for overlaps, expected in ((False, None), (True, NEARLY_THE_SAME)):
        assert judged([], None, line, {"note": "text"}, [earlier], overlaps=overlaps).refusal == expected
