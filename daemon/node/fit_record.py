"""Keeps on disk what the taught labels were last fitted from, and what the fit reported."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from daemon.bundle.encoder_specs import Number
from daemon.config.node import Config
from daemon.core.document import StrictModel
from daemon.core.errors import shortage_behind
from daemon.core.files import read_own, replace_file
from daemon.teaching.records import NEEDED_BACKGROUND
from daemon.teaching.report import Report
from daemon.teaching.rows import EventTimes

log = logging.getLogger(__name__)

# a report of 100 labels has some 100 kB
MAX_BYTES = 4_000_000

# never known by others: it holds the names of labels and streams
MODE = 0o600

Count = Annotated[int, Field(ge=0)]


class FitBasis(StrictModel):
    """What a fit depends on. Another basis means another fit.

    `base` is the bundle without taught labels, by its id. `changes` is that of the store. `places` counts how often the
    background of each known stream has doubled since it became known. `events` are those of the config.
    """

    base: str
    changes: Count
    places: dict[str, Count]
    false_alarms_a_day: Number
    events: dict[str, EventTimes] = {}


class FitRecord(StrictModel):
    """The latest fit that the updater has accepted: its basis, the bundle that it gave, and its report.

    `number` is the highest one in the version of a bundle so far. Without a bundle the base was requested. `version` is
    that of the file.
    """

    version: Literal[1] = 1
    number: Count = 0
    basis: FitBasis | None = None
    bundle: str | None = None
    report: Report | None = None


class FitRecordFile:
    """The file of the latest fit. Used by the thread `teaching`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.record = FitRecord()

    def load(self) -> None:
        """Read the file. A file that is missing or damaged means that the labels are fitted again. Raises OSError."""
        try:
            self.record = FitRecord.model_validate_json(read_own(self._path, MAX_BYTES))
        except FileNotFoundError:
            self.record = FitRecord()
        except (OSError, ValidationError) as error:
            if shortage_behind(error) is not None:
                raise
            log.warning("%s cannot be read; the taught labels are fitted again", self._path)
            self.record = FitRecord()

    def save(self, record: FitRecord) -> None:
        """Replace the file, whole or not at all. Raises OSError; the record then counts until the next start."""
        self.record = record
        replace_file(self._path, record.model_dump_json().encode(), MODE)


def event_times(config: Config) -> dict[str, EventTimes]:
    """Return the times of the events of each stream."""
    streams = config.streams.items()
    return {
        name: EventTimes(smoothing_s=each.events.smoothing_s, min_duration_s=each.events.min_duration_s)
        for name, each in streams
    }


def doublings(background: Mapping[str, int]) -> dict[str, int]:
    """Return how often the background of each known stream has doubled since it became known."""
    return {
        stream: int(math.log2(moments / NEEDED_BACKGROUND))
        for stream, moments in sorted(background.items())
        if moments >= NEEDED_BACKGROUND
    }
