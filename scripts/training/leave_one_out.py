"""Trains the audio encoder without one of the speakers, to measure it on a voice that it has never heard."""

from pathlib import Path

from training import audios
from training.splits import SPEAKERS


def train_without(data: Path, speaker: str, path: Path, float_path: Path) -> None:
    """Train the audio encoder as for the bundle, but without any recording of `speaker`.

    Writes the int8 and the float32 model. Raises ValueError when there is no such speaker.
    """
    if speaker not in SPEAKERS:
        raise ValueError(f"unknown speaker {speaker!r}, expected one of {', '.join(SPEAKERS)}")
    others = [name for name in SPEAKERS if name != speaker]
    audios.train(audios.load_listener(data, others), path, float_path)
