"""Which streams, cameras and microphones are closed on request, in memory and on disk."""

import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from daemon.core.errors import shortage_behind
from daemon.core.files import read_own, replace_file
from daemon.core.versions import aside_of

log = logging.getLogger(__name__)

MAX_BYTES = 100_000

VERSION = 1

# An entry of this name holds the version of the file. No stream has it, and perceptd 0.7 takes it for one that it does
# not know: with any other entry it would close everything.
VERSION_ENTRY = ""


class Switch(BaseModel):
    """What is closed of one stream: `paused` closes camera and microphone, `blind` and `muted` one of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    paused: bool = False
    blind: bool = False
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """What is closed on request: the names of paused streams, and devices of other streams, such as door/camera."""

    streams: Sequence[str] = ()
    devices: Sequence[str] = ()


def closed_by(switches: Mapping[str, Switch], devices: Mapping[str, Collection[str]]) -> Closed:
    """Return what the switches close; `devices` has `camera` and `microphone` of each stream, where it has them."""
    paused = [name for name, switch in switches.items() if switch.paused]
    shut = {name: {"camera": switch.blind, "microphone": switch.muted} for name, switch in switches.items()}
    closed = [
        f"{name}/{device}"
        for name, is_shut in shut.items()
        if name not in paused
        for device in is_shut
        if is_shut[device] and device in devices[name]
    ]
    return Closed(paused, closed)


_Switches = RootModel[dict[str, Switch]]


class SwitchFile:
    """Keeps the switches of a node's streams in a file, so that a restart does not open a muted microphone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_stored = self._is_missed = False

    def load(self, streams: Sequence[str]) -> dict[str, Switch]:
        """Return the switch of each stream; all are open where there is no file.

        Where the file cannot be read everything is closed, because nobody can say what must stay closed. Raises OSError
        where the system lacks descriptors for a moment.
        """
        try:
            stored = _Switches.model_validate_json(read_own(self.path, MAX_BYTES)).root
            self._is_stored = True
        except FileNotFoundError:
            if aside_of(self.path):
                return self._all_closed(streams, "it was set aside, because a later version of perceptd has written it")
            stored = {}
        except (OSError, ValidationError) as error:
            if shortage_behind(error) is not None:
                raise
            return self._all_closed(streams, str(error.strerror) if isinstance(error, OSError) else "it is damaged")
        return {stream: stored.get(stream, Switch()) for stream in streams}

    def _all_closed(self, streams: Sequence[str], reason: str) -> dict[str, Switch]:
        log.error("%s cannot be read (%s): all streams are paused and muted until they are resumed", self.path, reason)
        return dict.fromkeys(streams, Switch(paused=True, muted=True))

    def save(self, switches: Mapping[str, Switch]) -> None:
        """Replace the file, whole or not at all. Waits for the disk. Raises OSError."""
        streams = {name: switch.model_dump() for name, switch in switches.items()}
        replace_file(self.path, json.dumps({VERSION_ENTRY: {"version": VERSION}, **streams}).encode())
        self._is_stored, self._is_missed = True, False

    def restore(self, switches: Mapping[str, Switch]) -> None:
        """Write the file again if somebody has removed it: a restart would open what is closed. Waits for the disk."""
        if not self._is_stored or os.path.lexists(self.path):
            return
        if not self._is_missed:
            self._is_missed = True
            log.error("%s was removed while the daemon runs: it is written again", self.path)
        with suppress(OSError):  # the next call tries again
            self.save(switches)
