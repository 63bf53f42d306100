"""Pictures and sound of examples: kept small, read back, and refused in words when they are something else."""

import io
import wave

import numpy as np
import pytest

from daemon.core.errors import InputError
from daemon.teaching.pictures import picture_bytes, picture_from
from daemon.teaching.sounds import sound_bytes, sound_from
from daemon.teaching.stored import MAX_MEDIA_BYTES

PICTURE = np.tile(np.linspace(20, 220, 320).astype(np.uint8)[None, :, None], (240, 1, 3))


def test_a_picture_comes_back_about_as_it_was() -> None:
    content = picture_bytes(PICTURE)
    assert len(content) < 20_000
    found = picture_from(content)
    assert found.shape == PICTURE.shape
    assert float(np.abs(found.astype(int) - PICTURE).mean()) < 2


def test_a_picture_of_noise_is_kept_within_the_bound() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (900, 1600, 3), np.uint8)
    assert len(picture_bytes(noise)) <= MAX_MEDIA_BYTES
    with pytest.raises(InputError, match="3200 x 2400 pixels has more than"):
        picture_bytes(np.random.default_rng(1).integers(0, 256, (2400, 3200, 3), np.uint8))


def huge() -> bytes:
    """A small JPEG whose header tells of a picture of 12 GB."""
    content = bytearray(picture_bytes(PICTURE))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JPEG"),
        (b"\x89PNG" + bytes(100), "no JPEG"),
        (b"\xff\xd8" + bytes(100), "has no size"),
        (b"\xff\xd8" + b"\xff" * 100, "has no size"),
        (b"\xff\xd8\xff\xe0\xff\xff" + bytes(10), "has no size"),
        (picture_bytes(PICTURE)[:160], "has no size"),
        (huge(), "65535 x 65535"),
        (b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x10\x00\x10" + bytes(50), "cannot be decoded"),
        (bytes(MAX_MEDIA_BYTES + 1), "at most"),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        picture_from(content)


def test_sound_comes_back_as_it_was_and_only_its_last_seconds() -> None:
    samples = (0.5 * np.sin(np.arange(6 * 16_000) * 0.05)).astype(np.float32)
    found, rate_hz = sound_from(sound_bytes(samples, 16_000))
    assert (rate_hz, len(found)) == (16_000, 5 * 16_000)
    assert float(np.abs(found - samples[-len(found) :]).max()) < 1e-4
    assert len(sound_bytes(np.zeros(10 * 96_000, np.float32), 96_000)) <= MAX_MEDIA_BYTES


def wav(channels: int = 1, width: int = 2, rate_hz: int = 16_000, frames: int = 100) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(bytes(channels * width * frames))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no WAV"),
        (b"RIFF" + bytes(200), "no WAV"),
        (wav()[:30], "no WAV"),
        (wav(channels=2), "one channel"),
        (wav(width=1), "16 bits"),
        (wav(frames=0), "empty"),
        (wav(rate_hz=1_000_000), "1000000 samples a second"),
        (wav(frames=600_000), "at most"),
    ],
)
def test_what_is_no_sound_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        sound_from(content)


def test_sound_that_cannot_be_kept_is_refused() -> None:
    for samples in (np.zeros(0, np.float32), np.array([np.inf], np.float32)):
        with pytest.raises(InputError, match="empty, or has numbers"):
            sound_bytes(samples, 16_000)
