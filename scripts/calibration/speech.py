"""Speech by espeak-ng: sentences of our own in five languages and ten voices."""

import subprocess
import wave
from io import BytesIO

import numpy as np
import soxr

from calibration.hearing import RATE_HZ
from daemon.core.records import Array

# Two voices for each language: one by a man, one by a woman.
VOICES = ("en-us+m3", "en-gb+f2", "de+m1", "de+f4", "fr-fr+m7", "fr-fr+f1", "es+m2", "es+f3", "it+m4", "it+f5")
SENTENCES = {
    "en": (
        "Good morning, did you sleep well?",
        "Please put the cups into the cupboard.",
        "The train to the coast leaves at half past nine.",
        "I cannot find my keys, have you seen them?",
        "We should paint the kitchen before the winter.",
        "Turn the radio down, somebody is at the door.",
        "No, thank you, I have already eaten.",
        "Look how high the tree has grown this year!",
    ),
    "de": (
        "Guten Morgen, hast du gut geschlafen?",
        "Stell bitte die Tassen in den Schrank.",
        "Der Zug an die Küste fährt um halb zehn.",
        "Ich finde meine Schlüssel nicht, hast du sie gesehen?",
        "Wir sollten die Küche vor dem Winter streichen.",
        "Mach das Radio leiser, es ist jemand an der Tür.",
        "Nein, danke, ich habe schon gegessen.",
        "Schau, wie hoch der Baum dieses Jahr geworden ist!",
    ),
    "fr": (
        "Bonjour, as-tu bien dormi ?",
        "Range les tasses dans le placard, s'il te plaît.",
        "Le train pour la côte part à neuf heures et demie.",
        "Je ne trouve pas mes clés, les as-tu vues ?",
        "Nous devrions peindre la cuisine avant l'hiver.",
        "Baisse la radio, il y a quelqu'un à la porte.",
        "Non merci, j'ai déjà mangé.",
        "Regarde comme l'arbre a grandi cette année !",
    ),
    "es": (
        "Buenos días, ¿has dormido bien?",
        "Pon las tazas en el armario, por favor.",
        "El tren a la costa sale a las nueve y media.",
        "No encuentro mis llaves, ¿las has visto?",
        "Deberíamos pintar la cocina antes del invierno.",
        "Baja la radio, hay alguien en la puerta.",
        "No, gracias, ya he comido.",
        "¡Mira qué alto está el árbol este año!",
    ),
    "it": (
        "Buongiorno, hai dormito bene?",
        "Metti le tazze nella credenza, per favore.",
        "Il treno per la costa parte alle nove e mezza.",
        "Non trovo le mie chiavi, le hai viste?",
        "Dovremmo dipingere la cucina prima dell'inverno.",
        "Abbassa la radio, c'è qualcuno alla porta.",
        "No, grazie, ho già mangiato.",
        "Guarda come è cresciuto l'albero quest'anno!",
    ),
}


def talk(voice: str, seconds: float, rng: np.random.Generator) -> Array:
    """Return `seconds` of sentences with pauses: float32 (n,) at RATE_HZ. Speed, pitch and loudness vary."""
    sentences = SENTENCES[voice[:2]]
    parts: list[Array] = []
    while sum(map(len, parts)) < seconds * RATE_HZ:
        sentence = sentences[rng.integers(len(sentences))]
        spoken = speak(sentence, voice, speed=int(rng.integers(120, 220)), pitch=int(rng.integers(20, 80)))
        parts += [spoken * np.float32(rng.uniform(0.1, 1)), np.zeros(int(rng.uniform(0.2, 1.2) * RATE_HZ), np.float32)]
    return np.concatenate(parts)[: int(seconds * RATE_HZ)]


def speak(text: str, voice: str, speed: int = 160, pitch: int = 50) -> Array:
    """Return one utterance: float32 (n,) at RATE_HZ. `speed` is in words per minute, `pitch` is 0 to 99."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    return read_wave(subprocess.run(command, check=True, capture_output=True, timeout=20).stdout)


def read_wave(data: bytes) -> Array:
    """Return 16-bit WAV as float32 (n,) in [-1, 1] at RATE_HZ, the first channel of several."""
    with wave.open(BytesIO(data)) as file:
        rate_hz, channels = file.getframerate(), file.getnchannels()
        # the header of a streamed WAV has no length, so read everything
        raw = file.readframes(len(data))
    width = 2 * channels
    samples = np.frombuffer(raw[: len(raw) // width * width], "<i2")[::channels].astype(np.float32) / 32768
    resampled: Array = soxr.resample(samples, rate_hz, RATE_HZ).astype(np.float32)
    return resampled
