"""What somebody has switched off: kept in a file, so that a restart does not open a microphone that was muted."""

import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from daemon.core.files import read_bounded, replace_file

log = logging.getLogger(__name__)

MAX_BYTES = 100_000


class Switch(BaseModel):
    """Of one stream: `paused` closes camera and microphone, `blind` and `muted` one of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    paused: bool = False
    blind: bool = False
    muted: bool = False


_Switches = RootModel[dict[str, Switch]]


def load_switches(path: Path, streams: list[str]) -> dict[str, Switch]:
    """The switch of each stream; all are off where there is no file.

    When the file cannot be read everything is closed: nobody can say what was meant to stay so.
    """
    try:
        found = _Switches.model_validate_json(read_bounded(path, MAX_BYTES)).root
    except FileNotFoundError:
        found = {}
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        log.error("%s cannot be read (%s): all streams are paused and muted until they are resumed", path, reason)
        return dict.fromkeys(streams, Switch(paused=True, muted=True))
    return {stream: found.get(stream, Switch()) for stream in streams}


def save_switches(path: Path, switches: Mapping[str, Switch]) -> None:
    """Replace the file, whole or not at all. Raises OSError."""
    replace_file(path, _Switches(dict(switches)).model_dump_json().encode())
