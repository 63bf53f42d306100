"""From a stream's configuration to its sources."""

from collections.abc import Mapping
from pathlib import Path

from daemon.config import PictureConfig, StreamConfig
from daemon.ports import Source
from daemon.records import Counters, Modality
from daemon.sources.lines import load_lines
from daemon.sources.picture import PicturePreparation
from daemon.sources.replay import Recording, ReplaySource


def build_sources(
    stream: StreamConfig, *, sample_rate_hz: int | None, picture: bool, counters: Mapping[Modality, Counters]
) -> dict[str, Source]:
    """The configured sources by name: camera, microphone, replay.

    `sample_rate_hz` is the rate sound is wanted at (None: not wanted), `picture` whether pictures are wanted; a source
    that would have nothing to deliver is left out. Raises DocumentError when a replay's lines are wrong.
    """
    sources: dict[str, Source] = {}
    if stream.replay:
        replay = stream.replay
        recording = Recording(
            Path(replay.file),
            lines=load_lines(Path(replay.text)) if replay.text else (),
            sample_rate_hz=sample_rate_hz,
            picture=_preparation(replay, picture),
        )
        sources["replay"] = ReplaySource(recording, replay.loop, replay.pace == "realtime", counters)
    return sources


def _preparation(config: PictureConfig, wanted: bool) -> PicturePreparation | None:
    return PicturePreparation(config) if wanted else None
