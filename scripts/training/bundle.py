"""Writes the bundle: a manifest that matches the converted models, and the self-test."""

import wave
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from daemon.bundle.bundle import load_bundle
from daemon.bundle.format1 import AudioModality, ImageModality, Modalities, TextModality
from daemon.pipeline.offline import Item, OfflineRecogniser
from daemon.pipeline.recogniser import load_recogniser
from training import convert, speech, voices
from training.scenes import FRAME
from training.specs import AUDIO, IMAGE, LABELS, SEED
from training.strokes import draw_digit

VERSION = "0.4.0"
TOLERANCE = 0.05
# An event ends at this part of the score at which it starts.
END_PART = 0.6


def modalities(directory: Path) -> Modalities:
    """The encoders in `directory` as the manifest describes them, with the tensors of their models."""

    def spec(name: str, form: type[Any], **how: Any) -> Any:
        source, target = convert.tensor_specs(directory / f"{name}.tflite")
        return form(model=f"{name}.tflite", input=source, output=target, **how)

    return Modalities(
        image=spec("image", ImageModality, preprocessing=IMAGE.preprocessing, max_age_ms=500),
        audio=spec("audio", AudioModality, preprocessing=AUDIO, max_age_ms=500),
        text=spec("text", TextModality, max_age_ms=2000),
    )


def write_manifest(directory: Path, start: float) -> None:
    """Write `bundle.yaml` for the models in `directory`; `start` is the score at which an event starts."""
    manifest = {
        "format": 1,
        "name": "digits",
        "version": VERSION,
        "description": "The ten digits by sight, sound and text; see docs/models.md for what it can do and cannot.",
        "labels": LABELS,
        "background": ["none"],
        "modalities": modalities(directory).model_dump(exclude_none=True, exclude_defaults=True),
        "head": {"model": "head.tflite"},
        "thresholds": {"default": {"start": round(start, 2), "end": round(start * END_PART, 2)}},
        "selftest": {"tolerance": TOLERANCE},
        "licences": [
            {
                "part": "image.tflite",
                "licence": "CC-BY-SA-4.0",
                "source": "MNIST (CC BY-SA 3.0), and digits drawn by scripts/training",
            },
            {
                "part": "audio.tflite",
                "licence": "CC-BY-SA-4.0",
                "source": "Free Spoken Digit Dataset (CC BY-SA 4.0), ESC-10 (CC BY 3.0), speech by espeak-ng",
            },
            {"part": "text.tflite", "licence": "CC-BY-SA-4.0", "source": "lines written by scripts/training"},
            {
                "part": "head.tflite",
                "licence": "CC-BY-SA-4.0",
                "source": "as image.tflite, audio.tflite and text.tflite",
            },
            {"part": "selftest", "licence": "Apache-2.0", "source": "drawn by scripts/training, spoken by espeak-ng"},
        ],
        "provenance": {"trained_with": "scripts/train", "seed": str(SEED)},
    }
    text_form = yaml.safe_dump(manifest, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    (directory / "bundle.yaml").write_text(text_form, encoding="utf-8")


def write_selftest(directory: Path) -> None:
    """Write inputs made for the self-test, and the scores that the bundle computes for them on this machine."""
    folder = directory / "selftest"
    folder.mkdir(exist_ok=True)
    for name, digit in (("three", 3), ("seven", 7)):
        cv2.imwrite(str(folder / f"{name}.png"), _picture(digit))
    cv2.imwrite(str(folder / "nothing.png"), _picture(None))
    write_wave(folder / "seven.wav", voices.speak("seven", "en-us", 150, 45))
    write_wave(folder / "five.wav", voices.speak("five", "en-gb", 140, 55))
    cases: list[dict[str, Any]] = [
        {"image": "seven.png", "audio": "seven.wav", "text": "room seven"},
        {"image": "three.png"},
        {"audio": "five.wav"},
        {"text": "Raum 2"},
        {"image": "nothing.png", "text": "八"},
        {"image": "nothing.png", "text": "the door is open"},
    ]
    recogniser = OfflineRecogniser(load_recogniser(load_bundle(directory)))
    for case in cases:
        image, audio = (folder / case[name] if name in case else None for name in ("image", "audio"))
        scores = recogniser.recognise(Item(image, audio, case.get("text"))).scores
        best = int(np.argmax(scores))
        case["scores"] = {LABELS[index]: round(float(scores[index]), 4) for index in sorted({best, len(LABELS) - 1})}
    text_form = yaml.safe_dump(
        {"cases": cases}, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True
    )
    (folder / "cases.yaml").write_text(text_form, encoding="utf-8")


def _picture(digit: int | None) -> speech.NDArray[np.uint8]:
    """A drawn digit on a wall that is lit from the left."""
    light = np.linspace(225, 170, FRAME.width, dtype=np.float32)
    frame = np.tile(light, (FRAME.height, 1))
    if digit is not None:
        mask = cv2.resize(draw_digit(digit, np.random.default_rng(digit), 120), (80, 80), interpolation=cv2.INTER_AREA)
        part = frame[20:100, 50:130]
        part[:] = part * (1 - mask / 255) + 40 * (mask / 255)
    return np.round(frame).astype(np.uint8)


def write_wave(path: Path, samples: speech.Sound) -> None:
    """Write 16-bit mono WAV at the encoder's rate."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, speech.RATE_HZ, 0, "NONE", "not compressed"))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
