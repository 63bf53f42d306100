"""Makes the self-test of `home`: its pictures and sounds, and the scores that the bundle gives them."""

import shutil
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from calibration.drawings import Picture, bus, room
from calibration.hearing import RATE_HZ
from calibration.speech import speak
from calibration.tones import smoke_alarm
from daemon.bundle.bundle import load_bundle, load_cases
from daemon.cli.bundle_build import build_bundle
from daemon.core.records import Array
from daemon.pipeline.offline import OfflineRecogniser, item_of
from daemon.pipeline.recogniser import load_recogniser

SEED = 8  # an alarm that is heard as one in all of its beeps
ALARM_S = 3.5
# A case with this score passes whatever the bundle scores, as long as the tolerance is as large.
UNKNOWN = 0.5


@dataclass(frozen=True, slots=True)
class Planned:
    """A case: its inputs, and the labels whose scores are stored."""

    image: str | None
    audio: str | None
    labels: tuple[str, ...]


# Of each case the moment with the highest score counts. So a case has one label that scores high: which of two is
# higher depends on how a processor's kernels round.
CASES = (
    Planned("room.png", None, ("person", "dog", "vehicle")),
    Planned("room.png", "speech.wav", ("speech", "person", "fire_alarm", "glass_breaking")),
    Planned("bus.png", None, ("vehicle", "person", "bicycle")),
    Planned(None, "alarm.wav", ("fire_alarm", "siren", "speech")),
)


def write_selftest(recipe: Path, models: Path) -> None:
    """Write the self-test beside a recipe, with the scores of the bundle that the recipe makes of `models`."""
    directory = recipe.parent / "selftest"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    _write_inputs(directory)
    with tempfile.TemporaryDirectory() as temporary:
        scores = _scores(recipe, models, Path(temporary))
    _write_cases(directory, scores)


def _write_inputs(directory: Path) -> None:
    alarm = smoke_alarm(np.random.default_rng(SEED))[: int(ALARM_S * RATE_HZ)]
    _write_picture(directory / "room.png", room())
    _write_picture(directory / "bus.png", bus())
    _write_sound(directory / "speech.wav", speak("Good morning, did you sleep well?", "en-gb+f2"))
    _write_sound(directory / "alarm.wav", alarm)


def _scores(recipe: Path, models: Path, temporary: Path) -> list[list[float]]:
    """Return the scores of each case by a bundle whose self-test accepts everything."""
    lenient = temporary / "recipe" / recipe.name
    shutil.copytree(recipe.parent, lenient.parent)
    content = yaml.safe_load(recipe.read_text())
    lenient.write_text(yaml.safe_dump(content | {"selftest": {"tolerance": UNKNOWN}}, sort_keys=False))
    _write_cases(lenient.parent / "selftest", [[UNKNOWN] * len(case.labels) for case in CASES])
    build_bundle(lenient, temporary / "bundle", models, None, print)
    bundle = load_bundle(temporary / "bundle")
    offline = OfflineRecogniser(load_recogniser(bundle))
    found = [offline.recognise(item_of(bundle, case)).scores for case, _ in load_cases(bundle)]
    return [
        [float(scores[offline.labels.index(label)]) for label in case.labels]
        for case, scores in zip(CASES, found, strict=True)
    ]


def _write_cases(directory: Path, scores: list[list[float]]) -> None:
    lines = ["cases:"]
    for case, values in zip(CASES, scores, strict=True):
        inputs = [f"{key}: {name}" for key, name in (("image", case.image), ("audio", case.audio)) if name]
        pairs = ", ".join(f"{label}: {value:.4f}" for label, value in zip(case.labels, values, strict=True))
        lines.append(f"- {{{', '.join(inputs)}, scores: {{{pairs}}}}}")
    (directory / "cases.yaml").write_text("\n".join(lines) + "\n")


def _write_picture(path: Path, picture: Picture) -> None:
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"{path}: cannot be written")


def _write_sound(path: Path, samples: Array) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.rint(samples * 32767).clip(-32768, 32767).astype("<i2").tobytes())
