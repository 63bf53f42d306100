"""What the daemon says over time: nothing where nothing is, and an event for each of 200 digits.

Streams go through the daemon's own flow in order, as a replay at `pace: fast` does, with the settings of the shipped
config.yaml.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
from training.lines import make_lines
from training.specs import NONE
from training.splits import part_of_picture, part_of_recording, part_of_sound

from daemon.clock import NS_PER_S
from daemon.config import load_config
from daemon.flow.encode import Encoders, Preparation
from daemon.flow.ordered import OrderedFlow
from daemon.recogniser import Recogniser
from daemon.records import MODALITIES, Array, Block, Captured, Counters, Event, Frame, Modality
from daemon.sources.files import read_sound
from evaluation.stream_digits import BLOCK_S, Compose, Pool, captured, plan
from evaluation.stream_frames import empty_frames
from evaluation.stream_score import Score, Seen, score

CONFIG = Path("config.yaml")
UNSEEN = ("airplane", "automobile", "bird", "cat", "coughing", "door_knock", "frog", "glass_breaking", "siren")
"""The classes of sounds that no training may read."""
EMPTY_S = 1800.0
EMPTY_FPS = 5.0
LINES = 3_000
SEED = 20261124


def events_of(recogniser: Recogniser, stream: Iterable[Captured]) -> list[Event]:
    """Every event of what was captured, given in order of its end."""
    config = next(iter(load_config(CONFIG).document.streams.values()))
    counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
    events: list[Event] = []
    encoders = Encoders(recogniser.encoders)
    flow = OrderedFlow(
        "evaluated",
        Preparation(recogniser.bundle.manifest, counters),
        encoders,
        recogniser.new_fusion(recogniser.new_head(), config.fusion, config.events),
        lambda fused: events.extend(fused.events),
        counters,
        threading.Event(),
    )
    encoders.start()
    for item in stream:
        flow.deliver(item)
    flow.finish()
    encoders.close(5.0)
    lost = {modality: counter.dropped for modality, counter in counters.items() if counter.dropped}
    if lost:
        raise RuntimeError(f"the stream was not recognised as a whole: {lost}")
    return events


def sounds_without_digit(data: Path) -> list[tuple[str, Path]]:
    """Class and file of the sounds that are for tests: nine whole classes, and one fold of the others."""
    clips = []
    for path in sorted((data / "sounds").glob("*/*.ogg")):
        fold, source, _ = path.stem.split("-")
        name = path.parent.name
        if name in UNSEEN or part_of_sound(int(fold), source) == "test":
            clips.append((name, path))
    return clips


def false_events_in_sound(recogniser: Recogniser, clips: Sequence[tuple[str, Path]]) -> tuple[Counter[str], float]:
    """How many events start in clips of each class, one clip after the other; and the length of all in seconds."""
    rate_hz = _rate_hz(recogniser)
    sounds = [read_sound(path, rate_hz) for _, path in clips]
    ends_s = np.cumsum([len(sound) for sound in sounds]) / rate_hz
    found = Counter[str]()
    for event in started(events_of(recogniser, _blocks(np.concatenate(sounds), rate_hz))):
        index = int(np.searchsorted(ends_s, event.started_s, side="right"))
        found[clips[min(index, len(clips) - 1)][0]] += 1
    return found, float(ends_s[-1])


def false_events_in_frames(recogniser: Recogniser, photos: Sequence[Path]) -> int:
    """How many events start in EMPTY_S of frames without a digit, at EMPTY_FPS."""
    pictures = empty_frames(EMPTY_S, EMPTY_FPS, photos, SEED)
    frames = (Frame((picture,), round(index / EMPTY_FPS * NS_PER_S)) for index, picture in zip(count(), pictures))
    return len(started(events_of(recogniser, frames)))


def score_of_digits(recogniser: Recogniser, data: Path, compose: Compose) -> Score:
    """Ten minutes with 200 digits of the test part against the events of them."""
    rng = np.random.default_rng(SEED)
    shown = plan(rng)
    pool = _test_pool(data, _rate_hz(recogniser), rng)
    return score(shown, started(events_of(recogniser, captured(shown, pool, compose, rng))))


def started(events: Iterable[Event]) -> list[Seen]:
    """The starts among the events."""
    return [
        Seen(event.label, event.started_ns / NS_PER_S, event.time_ns / NS_PER_S)
        for event in events
        if event.phase == "start"
    ]


def _rate_hz(recogniser: Recogniser) -> int:
    audio = recogniser.bundle.manifest.modalities.audio
    if audio is None:
        raise ValueError(f"{recogniser.bundle.manifest.id} does not hear")
    return audio.preprocessing.sample_rate_hz


def _blocks(samples: Array, rate_hz: int) -> Iterator[Block]:
    size = round(BLOCK_S * rate_hz)
    for start in range(0, len(samples), size):
        yield Block(samples[start : start + size], rate_hz, start * NS_PER_S // rate_hz)


def _test_pool(data: Path, rate_hz: int, rng: np.random.Generator) -> Pool:
    with np.load(data / "handwritten-digits.npz") as archive:
        images, digits = archive["images"], archive["labels"]
    held_out = [index for index in range(len(images)) if part_of_picture(index, len(images)) == "test"]
    recordings = sorted((data / "spoken-digits").glob("*.wav"))
    held_out_recordings = [path for path in recordings if part_of_recording(int(path.stem.split("_")[2])) == "test"]
    lines, labels = make_lines(LINES, rng, test=True)
    return Pool(
        [[images[index] for index in held_out if digits[index] == digit] for digit in range(NONE)],
        [
            [read_sound(path, rate_hz) for path in held_out_recordings if path.name.startswith(f"{digit}_")]
            for digit in range(NONE)
        ],
        [[line for line, label in zip(lines, labels, strict=True) if label == digit] for digit in range(NONE)],
        rate_hz,
    )
