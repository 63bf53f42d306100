"""Files with damage anywhere: what can be played is played, and nothing but a SourceError comes of it."""

import threading
from pathlib import Path

import pytest

from daemon.config.streams import PictureConfig
from daemon.core.errors import SourceError
from daemon.core.records import MODALITIES, Captured, Counters, ended_ns
from daemon.sources.files.replay import Recording, ReplaySource
from daemon.sources.picture import PicturePreparation
from tests.helpers.campaign import chance, repetitions
from tests.helpers.clips import write_clip, write_joined

AUDIO_CODECS = {"ts": "aac", "mp4": "aac", "mkv": "aac", "avi": "aac", "flv": "aac", "mpg": "mp2"}


@pytest.mark.campaign("damaged-files")
@pytest.mark.parametrize("suffix", [*AUDIO_CODECS, "joined.ts"])
def test_damage_anywhere_ends_in_a_source_error_at_worst(tmp_path: Path, suffix: str) -> None:
    random = chance(f"damaged {suffix}")
    kind = suffix.rpartition(".")[2]
    path = tmp_path / f"whole.{kind}"
    write_clip(path, seconds=2.0, fps=10, flashes_s=(1,), beeps_s=(1,), audio_codec=AUDIO_CODECS[kind])
    if suffix != kind:
        path = write_joined(tmp_path / suffix, [path, path])
    whole = path.read_bytes()
    played = 0
    for _ in range(repetitions(part=8, campaign=1500)):
        content = bytearray(whole)
        for _ in range(random.choice((1, 3, 10, 40))):
            content[random.randrange(len(content))] = random.randrange(256)
        path.write_bytes(content[: random.choice((len(content), random.randrange(len(content))))])
        counters = {modality: Counters() for modality in MODALITIES}
        preparation = PicturePreparation(PictureConfig())
        items: list[Captured] = []
        source = ReplaySource(Recording(path, sample_rate_hz=16_000, picture=preparation), False, False, counters)
        try:
            source.run(items.append, threading.Event())
        except SourceError as error:
            assert str(error).startswith(f"{path}: ")
        ends = [ended_ns(item) for item in items]
        assert ends == sorted(ends)
        played += len(items) > 10
    assert played
