"""Measures events over time: false events where there is no digit, and an event for each of 200 digits."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from training.glyphs import load_digits
from training.specs import NONE
from training.speech import recorded_digits
from training.splits import part_of_sound

from daemon.bundle.bundle import load_bundle
from daemon.core.records import Array, Block, Frame
from daemon.core.timing import NS_PER_S
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.sources.container import read_sound
from evaluation.progress import report, with_progress
from evaluation.rows import Row, Target, at_least, at_most, plain, share
from evaluation.sentences import sentences
from evaluation.stream_digits import BLOCK_S, FPS, LENGTH_S, SUBSETS, Pool, captured, plan
from evaluation.stream_events import events_of
from evaluation.stream_frames import empty_frames
from evaluation.stream_score import Score, score

# The classes of sounds that no training may read.
TEST_CLASSES = ("airplane", "automobile", "bird", "cat", "coughing", "door_knock", "frog", "glass_breaking", "siren")
EMPTY_S = 1800.0
EMPTY_FPS = 5.0
SEED = 20261124


def rows(directory: Path, data: Path) -> list[Row]:
    """The rows "nothing there" and "events" of the bundle in `directory`; takes some minutes."""
    recogniser = load_recogniser(load_bundle(directory))
    report("streams: half an hour of sounds without a digit")
    table = _rows_of_sound(recogniser, data)
    report("streams: half an hour of frames without a digit")
    table += _rows_of_frames(recogniser, data)
    report("streams: ten minutes with 200 digits")
    return table + _rows_of_digits(score_of_digits(recogniser, data))


def _rows_of_sound(recogniser: Recogniser, data: Path) -> list[Row]:
    clips = sounds_without_digit(data)
    false, length_s = false_events_in_sound(recogniser, clips)
    what, where = "nothing there", f"sound, {length_s / 60:.1f} min"
    table = [plain(what, f"{where}: false events", false.total(), "", at_most(0), len(clips))]
    for name, events in sorted(false.items()):
        table.append(plain(what, f"sound, of these in {name}", events, "", None, sum(name == of for of, _ in clips)))
    return table


def _rows_of_frames(recogniser: Recogniser, data: Path) -> list[Row]:
    false = false_events_in_frames(recogniser, sorted((data / "photos").glob("*/*.jpg")))
    where = f"frames, {EMPTY_S / 60:g} min at {EMPTY_FPS:g} a second: false events an hour"
    return [plain("nothing there", where, false * 3600 / EMPTY_S, "", at_most(1), round(EMPTY_S * EMPTY_FPS))]


def _rows_of_digits(result: Score) -> list[Row]:
    """F1, and the delay from the onset of a digit to the report of its event."""
    where = f"{LENGTH_S / 60:g} min, {FPS:g} frames a second"
    table = [
        plain("events", f"{where}: F1", result.f1, "", at_least(0.97), len(result.found) + len(result.missed)),
        plain("events", "false events", len(result.false), "", None, len(result.found) + len(result.false)),
        *_rows_of_found("all", result, at_most(0.6)),
    ]
    if result.found:
        table.append(plain("events", "all: median delay of `started`", np.median(result.started_after_s()), "s"))
    return table + [row for subset in SUBSETS for row in _rows_of_found("+".join(subset), result.of(subset))]


def _rows_of_found(name: str, result: Score, most: Target | None = None) -> list[Row]:
    delays_s = result.reported_after_s()
    found = share("events", f"{name}: digits with an event", len(delays_s), len(delays_s) + len(result.missed))
    if not delays_s:
        return [found]
    return [
        found,
        plain("events", f"{name}: median delay", np.median(delays_s), "s", most, len(delays_s)),
        plain("events", f"{name}: delay, 90 %", np.quantile(delays_s, 0.9), "s", None, len(delays_s)),
    ]


def sounds_without_digit(data: Path) -> list[tuple[str, Path]]:
    """Class and file of the sounds that are for tests: nine whole classes, and one fold of the others."""
    clips = []
    for path in sorted((data / "sounds").glob("*/*.ogg")):
        fold, source, _ = path.stem.split("-")
        name = path.parent.name
        if name in TEST_CLASSES or part_of_sound(int(fold), source) == "test":
            clips.append((name, path))
    return clips


def false_events_in_sound(recogniser: Recogniser, clips: Sequence[tuple[str, Path]]) -> tuple[Counter[str], float]:
    """Events that start in clips of each class, played one after the other; and the length of all in seconds."""
    rate_hz = _rate_hz(recogniser)
    sounds = [read_sound(path, rate_hz) for _, path in clips]
    ends_s = np.cumsum([len(sound) for sound in sounds]) / rate_hz
    found = Counter[str]()
    for event in events_of(recogniser, _blocks(np.concatenate(sounds), rate_hz)):
        index = int(np.searchsorted(ends_s, event.started_s, side="right"))
        found[clips[min(index, len(clips) - 1)][0]] += 1
    return found, float(ends_s[-1])


def false_events_in_frames(recogniser: Recogniser, photos: Sequence[Path]) -> int:
    """Number of events that start in EMPTY_S of frames without a digit, at EMPTY_FPS."""
    pictures = empty_frames(EMPTY_S, EMPTY_FPS, photos, SEED)
    frames = (Frame((picture,), round(index / EMPTY_FPS * NS_PER_S)) for index, picture in enumerate(pictures))
    return len(events_of(recogniser, with_progress("frames", frames, round(EMPTY_S * EMPTY_FPS))))


def score_of_digits(recogniser: Recogniser, data: Path) -> Score:
    """The score of ten minutes with 200 digits of the test part."""
    rng = np.random.default_rng(SEED)
    digits = plan(rng)
    pool = _test_pool(data, _rate_hz(recogniser), rng)
    return score(digits, events_of(recogniser, captured(digits, pool, LENGTH_S, rng)))


def _rate_hz(recogniser: Recogniser) -> int:
    audio = recogniser.bundle.manifest.encoder_specs.get("audio")
    if audio is None:
        raise ValueError(f"{recogniser.bundle.manifest.id} has no audio encoder")
    return audio.preprocessing.sample_rate_hz


def _blocks(samples: Array, rate_hz: int) -> Iterator[Block]:
    size = round(BLOCK_S * rate_hz)
    for start in range(0, len(samples), size):
        yield Block(samples[start : start + size], rate_hz, start * NS_PER_S // rate_hz)


def _test_pool(data: Path, rate_hz: int, rng: np.random.Generator) -> Pool:
    pictures, labels = load_digits(data, "test")
    sounds, lines = recorded_digits(data, "test"), sentences(rng)
    return Pool(
        [pictures[labels == digit] for digit in range(NONE)],
        [[sound.samples for sound in sounds if sound.label == digit] for digit in range(NONE)],
        [[line.text for line in lines if line.label == digit] for digit in range(NONE)],
        rate_hz,
    )
