"""Utterances and sounds at the encoder's rate: recorded digits, spoken digits and words by espeak-ng, ESC-10 sounds."""

import subprocess
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from training.specs import AUDIO, NONE
from training.splits import SPEAKERS, Part, part_of_recording, part_of_sound

Sound = NDArray[np.float32]

RATE_HZ = AUDIO.sample_rate_hz
ESC10 = (
    "dog",
    "rooster",
    "rain",
    "sea_waves",
    "crackling_fire",
    "crying_baby",
    "sneezing",
    "clock_tick",
    "helicopter",
    "chainsaw",
)
"""The classes whose licence, CC BY, lets weights ship; the others of ESC-50 are not read."""

DIGIT_WORDS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "de": ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
    "fr": ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"],
    "es": ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"],
    "zh": list("零一二三四五六七八九"),
}
OTHER_WORDS = {
    "en": "hello; good morning; please open the door; yes; stop; kitchen; the light is on; water; where is my coat; "
    "music; thank you very much; turn left; room; come here; what a day; maybe; bottle; umbrella; the dog runs; "
    "paper; window; garden; I do not know; late again; camera; a quiet house; button; Monday; happy; green; "
    "no; up; down; left; right; go; bed; bird; cat; dog; house; tree; wow; off; on; all; and; the; you; why; who; now; "
    "far; fall; fire; line; mine; night; find; high; wait; day; say; rain; sell; heaven; set; send; sick; list; fix; "
    "sister; mix; free; see; she; sleep; key; few; blue; zoo; shoe; moon; food; near; hear; yellow; below; "
    "hello there; row; know; home; door; floor; more; wall; run; sun; come; once upon; under; hand; black; hat; what; "
    "hot; rock; and then; it is; of the; in a; hm; ah; oh; eh; uh",
    "de": "Hallo; guten Morgen; mach bitte die Tür auf; ja; Küche; das Licht ist an; Wasser; Musik; vielen "
    "Dank; Zimmer; "
    "komm her; vielleicht; Fenster; Garten; Montag; der Hund läuft",
    "fr": "bonjour; ouvrez la porte; oui; cuisine; la lumière; musique; merci beaucoup; chambre; peut-être; "
    "fenêtre; jardin; "
    "lundi; le chien court",
    "es": "hola; abre la puerta; cocina; agua; música; muchas gracias; habitación; ventana; jardín; lunes; el "
    "perro corre; "
    "buenos días",
    "zh": "你好; 请开门; 谢谢; 房间; 水; 音乐; 花园; 早上好",
}
VOICES = {
    "en": ("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd"),
    "de": ("de",),
    "fr": ("fr-fr", "fr-be"),
    "es": ("es", "es-419"),
    "zh": ("cmn",),
}
VARIANTS = (
    "",
    *("+m1", "+m2", "+m3", "+m4", "+m5", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5"),
    *("+Alex", "+Andrea", "+antonio", "+belinda", "+david", "+Denis", "+edward", "+Gene", "+Jacky", "+john"),
    *("+linda", "+Lee", "+Michael", "+paul", "+quincy", "+steph", "+Mario", "+m6", "+m8", "+Alicia", "+Andy"),
    *("+Annie", "+aunty", "+benjamin", "+boris", "+caleb", "+Diogo", "+ed", "+edward2", "+Gene2", "+gustave"),
    *("+Henrique", "+Hugo", "+iven", "+iven2", "+iven3", "+iven4", "+marcelo", "+Marco", "+max", "+michel"),
    *("+miguel", "+Mike", "+Nguyen", "+pablo", "+pedro", "+rob", "+robert", "+sandro", "+shelby", "+steph2"),
    *("+steph3", "+travis", "+victor", "+zac", "+anika", "+grandma", "+grandpa", "+klatt", "+klatt2", "+klatt3"),
    *("+klatt4", "+klatt6", "+adam", "+norbert", "+kaukovalta"),
)
_SHARE = {"en": 130, "de": 14, "fr": 12, "es": 12, "zh": 8}
"""Utterances of each digit by language."""


@dataclass(frozen=True)
class Utterance:
    """One word, or a sound without a digit: float32 (n,) at RATE_HZ, and its label."""

    samples: Sound
    label: int


def recorded_digits(data: Path, part: Part | None, speakers: Sequence[str] = SPEAKERS) -> list[Utterance]:
    """The spoken digits of this part of the data, or of all of it, by these speakers."""
    utterances = []
    for path in sorted((data / "spoken-digits").glob("*.wav")):
        digit, speaker, index = path.stem.split("_")
        if speaker in speakers and part in (None, part_of_recording(int(index))):
            utterances.append(Utterance(read_wave(path.read_bytes()), int(digit)))
    return utterances


def sounds(data: Path, part: Part) -> list[Utterance]:
    """The ESC-10 clips of this part of the data; they hold no digit."""
    utterances = []
    for path in (path for name in ESC10 for path in sorted((data / "sounds" / name).glob("*.ogg"))):
        fold, source, _ = path.stem.split("-")
        if part_of_sound(int(fold), source) == part:
            utterances.append(Utterance(_decode(path), NONE))
    return utterances


def synthesised(seed: int) -> list[Utterance]:
    """Digits and other words by espeak-ng in five languages, with varied voice, speed and pitch."""
    rng = np.random.default_rng(seed)
    utterances = []
    for language, words in DIGIT_WORDS.items():
        for digit, word in enumerate(words):
            utterances += [Utterance(_spoken(word, language, rng), digit) for _ in range(_SHARE[language])]
        for phrase in OTHER_WORDS[language].split("; "):
            utterances += [Utterance(_spoken(phrase, language, rng), NONE) for _ in range(5)]
    return utterances


def _spoken(text: str, language: str, rng: np.random.Generator) -> Sound:
    voices = VOICES[language]
    voice = voices[rng.integers(len(voices))] + VARIANTS[rng.integers(len(VARIANTS))]
    return speak(text, voice, speed=int(rng.integers(110, 230)), pitch=int(rng.integers(10, 90)))


def speak(text: str, voice: str, speed: int, pitch: int, rate_hz: int = RATE_HZ) -> Sound:
    """One utterance by espeak-ng, without the silence around it. `speed` in words a minute, `pitch` 0 to 99."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    data = subprocess.run(command, check=True, capture_output=True, timeout=20).stdout
    return _trimmed(read_wave(data, rate_hz))


def read_wave(data: bytes, rate_hz: int = RATE_HZ) -> Sound:
    """16-bit mono WAV as float32 in [-1, 1] at `rate_hz`."""
    with wave.open(BytesIO(data)) as file:
        stored_hz = file.getframerate()
        # a streamed header states no length: read what is there
        raw = file.readframes(len(data))
    samples = np.frombuffer(raw[: len(raw) // 2 * 2], "<i2").astype(np.float32) / 32768
    return samples if stored_hz == rate_hz else soxr.resample(samples, stored_hz, rate_hz).astype(np.float32)


def _decode(path: Path) -> Sound:
    resampler = av.AudioResampler("flt", "mono", RATE_HZ)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.float32)


def _trimmed(samples: Sound) -> Sound:
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]
