"""What somebody has switched off: kept in a file, so that a restart does not open a microphone that was muted."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

log = logging.getLogger(__name__)

MAX_BYTES = 100_000


class Switch(BaseModel):
    """Of one stream: `paused` closes camera and microphone, `muted` the microphone alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    paused: bool = False
    muted: bool = False


_Switches = RootModel[dict[str, Switch]]


def load_switches(path: Path, streams: list[str]) -> dict[str, Switch]:
    """The switch of each stream; all are off where there is no file.

    When the file cannot be read everything is closed: nobody can say what was meant to stay so.
    """
    try:
        with path.open("rb") as file:
            found = _Switches.model_validate_json(file.read(MAX_BYTES)).root
    except FileNotFoundError:
        found = {}
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        log.error("%s cannot be read (%s): all streams are paused and muted until they are resumed", path, reason)
        return dict.fromkeys(streams, Switch(paused=True, muted=True))
    return {stream: found.get(stream, Switch()) for stream in streams}


def save_switches(path: Path, switches: Mapping[str, Switch]) -> None:
    """Replace the file, whole or not at all. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(_Switches(dict(switches)).model_dump_json().encode())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
