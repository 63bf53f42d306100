"""The parts of scripts/evaluate-home are correct: measures, classes, mixtures, pairs, speech and music."""

import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from evaluation.rows import share
from home_evaluation.classes import load_classes
from home_evaluation.fused import foreign_pairs, is_foreign, own_pairs
from home_evaluation.hours import Household, household, stretches
from home_evaluation.material import Clip, clips, mixed, power
from home_evaluation.measures import auroc, found, one_percent_level
from home_evaluation.midi import midi_file
from home_evaluation.mixtures import pairs, speech_clips
from home_evaluation.music import BARS, BEATS_A_BAR, DRUMS, Tune, compose
from home_evaluation.pictures import Picture, load_pictures
from home_evaluation.report import Part, Table
from home_evaluation.spoken import VOICES, load_sentences, utterance
from hypothesis import given
from hypothesis import strategies as st

from tests.shared import SHARED, needs_shared

DATA = SHARED / "datasets"
# The labels of the bundle for which the map is written.
LABELS = {
    *re.findall(r"\w+", "person speech shouting laughter baby_crying cough sneeze snoring footsteps clapping"),
    *re.findall(r"\w+", "dog cat bird rooster frog insect knock doorbell door_slam glass_breaking"),
    *re.findall(r"\w+", "fire_alarm siren alarm_clock clock_ticking telephone running_water rain thunder wind fire"),
    *re.findall(r"\w+", "vacuum_cleaner power_tool lawn_mower vehicle horn train aircraft bicycle music none"),
}
levels = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(levels, levels)
def test_auroc_is_the_share_of_pairs_in_the_right_order(own: list[float], foreign: list[float]) -> None:
    right = sum((a > b) + (a == b) / 2 for a in own for b in foreign)
    assert auroc(np.array(own), np.array(foreign)) == pytest.approx(right / (len(own) * len(foreign)))


@pytest.mark.parametrize(("count", "exceeding"), [(288, 3), (144, 1), (50, 0), (30, 0), (400, 4)])
def test_one_in_a_hundred_foreign_items_exceeds_the_level(count: int, exceeding: int) -> None:
    foreign = np.random.default_rng(count).permutation(count) / count
    level = one_percent_level(foreign)
    assert np.count_nonzero(foreign > level) == exceeding
    assert found(np.array([level, level + 1e-9, 1.0]), foreign) == 2


def test_every_label_of_the_map_is_known_and_every_exception_has_a_reason() -> None:
    classes = load_classes()
    for of in (*classes.sounds.values(), *classes.made.values()):
        assert {of.label, *of.beside} <= LABELS
        assert of.label not in of.beside
        assert all(len(reason.split()) > 1 or reason == "gulls" for reason in of.beside.values()), of
    assert set(classes.pictures.values()) <= LABELS
    for entry in classes.seen_and_heard:
        assert classes.pictures[entry.picture] == entry.label == classes.sounds[entry.sound].label


def test_alarms_are_allowed_beside_no_class() -> None:
    classes = load_classes()
    for of in classes.sounds.values():
        assert not {"fire_alarm", "glass_breaking", "baby_crying", "siren"} & set(of.beside), of.name


@needs_shared
def test_the_map_has_every_class_of_the_data_set() -> None:
    found_clips = clips(DATA, (3, 4))
    assert set(found_clips) == set(load_classes().sounds)
    assert {len(of_class) for of_class in found_clips.values()} == {16}
    folds = {clip.path.name[0] for of_class in found_clips.values() for clip in of_class}
    assert folds == {"3", "4"}
    assert {picture.group for picture in load_pictures(DATA)} >= set(load_classes().pictures)


@given(st.floats(-12, 12), st.integers(0, 2**32))
def test_a_mixture_has_the_requested_powers(second_db: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.normal(0, 0.01, 4000).astype(np.float32)
    second = rng.normal(0, 0.05, 3000).astype(np.float32)
    rest = mixed(first, second, second_db) - first
    # the second sound is shorter, and its power counts over its own length
    assert 10 * np.log10(power(rest[:3000]) / power(first)) == pytest.approx(second_db, abs=0.01)
    assert np.abs(rest[3000:]).max() < 1e-6


def test_a_mixture_that_would_be_too_loud_is_made_softer() -> None:
    loud = np.sin(np.arange(8000) / 3).astype(np.float32)
    assert np.abs(mixed(loud, loud, 0.0)).max() == pytest.approx(1.0)


def test_pairs_are_the_same_each_time_and_of_different_labels() -> None:
    classes = load_classes()
    sounds = {name: [Clip(name, Path(f"{name}-{index}")) for index in range(3)] for name in classes.sounds}
    chosen = pairs(sounds, classes, 200)
    assert chosen == pairs(sounds, classes, 200)
    assert all(classes.of(first.name).label != classes.of(second.name).label for first, second in chosen)
    assert {sound.name for pair in chosen for sound in pair} == set(sounds)


def test_own_pairs_use_every_sound_and_foreign_ones_have_nothing_of_the_label() -> None:
    classes, rng = load_classes(), np.random.default_rng(1)
    sounds = {name: [Clip(name, Path(f"{name}-{index}")) for index in range(4)] for name in classes.sounds}
    pictures = [
        Picture(Path(f"{group}-{index}"), group, "") for group in ("dog", "bird", "other") for index in range(5)
    ]
    pictures += [Picture(Path("cat-0"), "cat", "")]
    for entry in classes.seen_and_heard:
        own = own_pairs(entry, [p for p in pictures if p.group == entry.picture], sounds, rng)
        assert {pair.sound for pair in own} == (set(sounds[entry.sound]) if own else set())
        assert not any(is_foreign(pair, entry, classes) for pair in own)
        assert len(own) == len(set(own))
    (bird,) = [entry for entry in classes.seen_and_heard if entry.label == "bird"]
    foreign = [pair for pair in foreign_pairs(pictures, sounds, rng, 200) if is_foreign(pair, bird, classes)]
    assert len(foreign) > 50
    # a rooster is a bird
    assert not {"bird", "rooster"} & {pair.sound.name for pair in foreign}
    assert {pair.picture.group for pair in foreign} == {"dog", "cat", "other"}


def test_hours_are_cut_into_equal_stretches_and_clips_come_once() -> None:
    assert stretches(3600.0) == [300.0] * 12
    assert stretches(180.0) == [180.0]
    assert stretches(400.0) == [200.0, 200.0]
    sounds = {name: [Clip(name, Path(f"{name}-{index}")) for index in range(50)] for name in ("dog", "cat")}
    noise = household(sounds, 1.0)
    assert [len(one.clips) for one in noise] == [60, 40]
    assert len({clip for one in noise for clip in one.clips}) == 100
    assert household(sounds, 10 / 3600) == [Household(noise[0].clips[:2])]


def test_speech_has_ten_voices_and_sentences_in_their_languages() -> None:
    sentences = load_sentences()
    assert len(set(VOICES)) == 10
    assert {language for _, language in VOICES} == set(sentences)
    assert all(len(set(of_language)) == len(of_language) >= 10 for of_language in sentences.values())
    assert {clip.utterance.voice for clip in speech_clips()} == {voice for voice, _ in VOICES}
    assert utterance(3, 4, np.random.default_rng(1)) == utterance(3, 4, np.random.default_rng(1))


def test_tunes_are_different_and_stay_in_the_range_of_midi() -> None:
    tunes = [compose(np.random.default_rng(seed), [0, 30, 32]) for seed in range(30)]
    assert len({tuple(tune.notes) for tune in tunes}) == 30
    notes = [note for tune in tunes for note in tune.notes]
    assert {note.channel for note in notes} == {0, 1, 2, DRUMS}
    assert all(0 <= note.begin < BARS * BEATS_A_BAR for note in notes)
    assert all(21 <= note.key <= 108 and 1 <= note.velocity <= 127 for note in notes)


def test_a_midi_file_has_every_note_at_its_time() -> None:
    tune = compose(np.random.default_rng(1), [0, 30, 32])
    heard = notes_of(midi_file(Tune(120.0, tune.programs, tune.notes)))
    assert heard == sorted((round(note.begin * 480), note.channel, note.key) for note in tune.notes)


def notes_of(file: bytes) -> list[tuple[int, int, int]]:
    """Return time in ticks, channel and key of every note that begins in a MIDI file of format 0."""
    assert struct.unpack(">4sIHHH", file[:14]) == (b"MThd", 6, 0, 1, 480)
    assert file[14:18] == b"MTrk"
    assert struct.unpack(">I", file[18:22]) == (len(file) - 22,)
    track, at, found_notes = io.BytesIO(file[22:]), 0, []
    while True:
        at += number(track)
        status = track.read(1)[0]
        if status == 0xFF:
            kind, content = track.read(1), track.read(number(track))
            if kind == b"\x2f":
                return sorted(found_notes)
            assert (kind, content) == (b"\x51", (500_000).to_bytes(3, "big"))
        elif status & 0xF0 == 0xC0:
            track.read(1)
        else:
            key, _ = track.read(2)
            found_notes += [(at, status & 0x0F, key)] if status & 0xF0 == 0x90 else []


def number(track: io.BytesIO) -> int:
    value = 0
    while (byte := track.read(1)[0]) & 0x80:
        value = value << 7 | byte & 0x7F
    return value << 7 | byte


def test_tables_are_markdown_and_json() -> None:
    part = Part([share("sounds", "top-1", 1, 2)], [Table("By class", ("class", "AUROC"), [("dog", 0.5), ("cat", 1)])])
    lines = list(part.lines())
    assert lines[-3:] == ["|---|---|", "| dog | 0.5 |", "| cat | 1 |"]
    assert part.to_json()["tables"] == {"By class": [{"class": "dog", "AUROC": 0.5}, {"class": "cat", "AUROC": 1}]}
    assert part.to_json()["rows"][0]["value"] == 50
