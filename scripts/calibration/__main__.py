"""The command of scripts/calibrate-home: the numbers of the recipe of `home`, and its self-test."""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calibration.hearing import Hearing
from calibration.levels import levels
from calibration.material import Clip, made, recorded
from calibration.recipe_numbers import SIGHT, SoundEvidence, load, sound_evidence, write_bias, write_sight
from calibration.rule import LEAST_MADE, LEAST_RECORDED, UNMEASURED, sight_evidence, start_level
from calibration.selftest import write_selftest
from daemon.bundle.sound_preprocessing import AudioPreprocessing
from daemon.core.records import Array64

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
RECIPE = ROOT / "models/home/recipe.yaml"
LONG = ("speech", "music")


def main() -> None:
    """Compute, print and write what the arguments ask for."""
    parser = argparse.ArgumentParser(
        prog="scripts/calibrate-home",
        description="Compute the numbers of models/home/recipe.yaml from ESC-10, folds 1 and 2, and from sounds of our "
        "own, and print them. It takes some minutes.",
        epilog="example: scripts/calibrate-home --write",
    )
    parser.add_argument(
        "--shared",
        type=Path,
        default=SHARED,
        metavar="DIR",
        help="folder with datasets/ and models/ (default: ../shared)",
    )
    parser.add_argument("--recipe", type=Path, default=RECIPE, metavar="FILE", help="another recipe like that of home")
    parser.add_argument(
        "--write", action="store_true", help="write the numbers into the recipe, and make its self-test"
    )
    parser.add_argument(
        "--selftest", action="store_true", help="only make the self-test, with the numbers of the recipe"
    )
    arguments = parser.parse_args()
    if not arguments.selftest:
        calibrate(arguments.recipe, arguments.shared, write=arguments.write)
    if arguments.selftest or arguments.write:
        write_selftest(arguments.recipe, arguments.shared / "models")


def calibrate(path: Path, shared: Path, *, write: bool) -> None:
    """Compute the numbers of a recipe and print them."""
    text = path.read_text()
    recipe = load(text)
    evidence = sound_evidence(recipe)
    clips, found = heard(shared, recipe, evidence)
    for column, label in enumerate(evidence.labels):
        level = level_of(label, clips, found[:, column])
        print(row(label, level, clips, found[:, column]))
        text = write_bias(text, label, -level)
    print(f"false where each class in turn is unknown: {false_in_unknown_classes(evidence.labels, clips, found):.1%}")
    text = with_sights(text)
    if write:
        path.write_text(text)


def heard(shared: Path, recipe: dict[str, Any], evidence: SoundEvidence) -> tuple[list[Clip], Array64]:
    """Return all clips without their samples, and the level (clips, L) of each label in each."""
    preprocessing = AudioPreprocessing.model_validate(recipe["encoders"]["sound"]["preprocessing"])
    hearing = Hearing(shared / "models/yamnet_spectra_in.tflite", preprocessing)
    threshold, temperature = recipe["threshold"]["start"], recipe["temperature"]
    clips, found = [], []
    for clip in itertools.chain(recorded(shared / "datasets/sounds"), made()):
        end_ns, scores = hearing.hear(clip.samples)
        clips.append(clip.without_samples())
        found.append(levels(end_ns, evidence.of(scores), threshold, temperature))
    return clips, np.array(found)


def level_of(label: str, clips: Sequence[Clip], found: Array64) -> float:
    """Return the level at which a label starts, from its level in each clip."""
    foreign = np.array([clip.is_foreign(label) for clip in clips])
    is_recorded = np.array([clip.is_recorded for clip in clips])
    is_long = np.array([clip.kind in LONG for clip in clips])
    own = [clip for clip in clips if clip.label == label]
    least = LEAST_RECORDED if any(clip.is_recorded for clip in own) else LEAST_MADE if own else UNMEASURED
    parts = (is_recorded, is_long, ~is_recorded & ~is_long)
    return round(start_level(label, least, *(found[foreign & part] for part in parts)), 2)


def row(label: str, level: float, clips: Sequence[Clip], found: Array64) -> str:
    """Return a line about a label: its level, how many of its own clips start it, and how many foreign ones."""
    starts = found >= level
    own = [start for clip, start in zip(clips, starts, strict=True) if clip.label == label]
    false = [clip.kind for clip, start in zip(clips, starts, strict=True) if start and clip.is_foreign(label)]
    share = f"{np.mean(own):4.0%} of {len(own)}" if own else "not measured"
    return f"{label:15} {level:5.2f}   own {share:12}   false {len(false)} {' '.join(sorted(set(false)))}".rstrip()


def false_in_unknown_classes(labels: Sequence[str], clips: Sequence[Clip], found: Array64) -> float:
    """Return the share of ESC-10's clips with a false start, at levels by a rule that does not know their class."""
    false: set[int] = set()
    for kind in sorted({clip.kind for clip in clips if clip.is_recorded}):
        # a label keeps its own clips: only what is foreign to it is unknown
        known = np.array([clip.kind != kind for clip in clips])
        for column, label in enumerate(labels):
            mask = known | np.array([clip.label == label for clip in clips])
            kept = [clip for clip, is_kept in zip(clips, mask, strict=True) if is_kept]
            starts = found[:, column] >= level_of(label, kept, found[mask, column])
            false |= {int(i) for i in np.flatnonzero(~known & starts) if clips[i].is_foreign(label)}
    return len(false) / sum(clip.is_recorded for clip in clips)


def with_sights(text: str) -> str:
    """Return the recipe's text with the evidence of sight that follows from each label's bias."""
    recipe = load(text)
    floor = recipe["encoders"][SIGHT]["outputs"]["groups"]["floor"]
    for label, about in recipe["labels"].items():
        if any(key.startswith(f"{SIGHT}.") for key in about.get("evidence", {})):
            weight, offset = sight_evidence(about["bias"], floor, recipe["threshold"]["start"], recipe["temperature"])
            text = write_sight(text, label, weight, offset)
    return text


if __name__ == "__main__":
    main()
