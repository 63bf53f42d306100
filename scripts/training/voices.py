"""Words spoken by espeak-ng: the digits, and other words."""

import subprocess

import numpy as np

from training.specs import NONE
from training.speech import RATE_HZ, Sound, Utterance, read_wave, trimmed

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
# Utterances of each digit.
SPOKEN = 130


def synthesised(seed: int) -> list[Utterance]:
    """English digits by espeak-ng, and other words in five languages; voice, speed and pitch vary.

    Digits in other languages are left out, because a French "huit" sounds much like "three" in some voices.
    """
    rng = np.random.default_rng(seed)
    utterances = []
    for digit, word in enumerate(DIGIT_WORDS["en"]):
        utterances += [Utterance(_spoken(word, "en", rng), digit) for _ in range(SPOKEN)]
    for language, phrases in OTHER_WORDS.items():
        for phrase in phrases.split("; "):
            utterances += [Utterance(_spoken(phrase, language, rng), NONE) for _ in range(5)]
    return utterances


def _spoken(text: str, language: str, rng: np.random.Generator) -> Sound:
    voices = VOICES[language]
    voice = voices[rng.integers(len(voices))] + VARIANTS[rng.integers(len(VARIANTS))]
    return speak(text, voice, speed=int(rng.integers(110, 230)), pitch=int(rng.integers(10, 90)))


def speak(text: str, voice: str, speed: int, pitch: int, rate_hz: int = RATE_HZ) -> Sound:
    """One utterance by espeak-ng, without the silence around it. `speed` in words per minute, `pitch` 0 to 99."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    data = subprocess.run(command, check=True, capture_output=True, timeout=20).stdout
    return trimmed(read_wave(data, rate_hz))
