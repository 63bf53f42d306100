"""What a browser can play of clips that it cannot, and pictures of their sound: made in a child process, one at a time.

Results are files without a name, so nothing of them outlives the page's process.
"""

import logging
import os
import tempfile
import threading
from collections import OrderedDict
from typing import Literal, TypeAlias

from daemon.core.errors import ChildError
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.history.playback import ClipJobs, run_job

log = logging.getLogger(__name__)

# of an event: its film for browsers, or the spectrogram of its sound
Kind: TypeAlias = Literal["film", "spectrogram"]
Key: TypeAlias = tuple[str, int, Kind]

MOST_FILES = 24
MOST_BYTES = 200 << 20
# a request waits so long for what is being made, and is then told to come again
WAIT_S = 5.0
RETRY_AFTER_S = 2

# on disk: /tmp is memory on many systems
DIRECTORY = "/var/tmp"  # noqa: S108  (files without a name)


class Unfinished(Exception):
    """It is being made, or waits until another one is."""


class Failed(Exception):
    """It cannot be made; the message says why."""


class Renderings:
    """Made and kept results, by event. Thread-safe."""

    def __init__(self, jobs: ClipJobs) -> None:
        self._jobs = {"film": jobs.render, "spectrogram": jobs.draw_spectrogram}
        self._changed = threading.Condition()
        self._files: OrderedDict[Key, int] = OrderedDict()
        self._failures: OrderedDict[Key, str] = OrderedDict()
        self._making: Key | None = None
        # what is being made is of a deleted event
        self._is_unwanted = False
        self._thread: threading.Thread | None = None

    def get(self, key: Key, clip: int) -> int:
        """Return a descriptor of the result, which is the caller's to close. `clip` is the caller's too.

        Raises Unfinished and Failed.
        """
        with self._changed:
            if self._making is None and key not in self._files and key not in self._failures:
                self._start(key, os.dup(clip))
            if self._making == key:
                self._wait_for(key)
            if key in self._failures:
                raise Failed(self._failures[key])
            if key not in self._files:
                raise Unfinished
            self._files.move_to_end(key)
            return os.dup(self._files[key])

    def forget(self, event: str) -> None:
        """Forget what was made of an event, and what is being made of it."""
        with self._changed:
            for key in [key for key in self._files if key[0] == event]:
                os.close(self._files.pop(key))
            self._is_unwanted = self._is_unwanted or (self._making is not None and self._making[0] == event)

    def close(self) -> None:
        """Wait a moment for what is being made. The child ends with the process."""
        if (thread := self._thread) is not None:
            thread.join(WAIT_S)

    def _wait_for(self, key: Key) -> None:
        until_ns = monotonic_ns() + round(WAIT_S * NS_PER_S)
        while self._making == key and (left_ns := until_ns - monotonic_ns()) > 0:
            self._changed.wait(left_ns / NS_PER_S)

    def _start(self, key: Key, clip: int) -> None:
        self._making, self._is_unwanted = key, False
        self._thread = threading.Thread(target=self._make, args=(key, clip), name="page-rendering", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            os.close(clip)
            self._making = None
            raise Unfinished from error

    def _make(self, key: Key, clip: int) -> None:
        made, failure = None, None
        try:
            with tempfile.TemporaryFile(dir=DIRECTORY) as file:
                run_job(self._jobs[key[2]], clip, file.fileno())
                made = os.dup(file.fileno())
        except (ChildError, OSError) as error:
            failure = str(error)
            log.warning("the %s of event %s could not be made: %s", key[2], key[0], error)
        finally:
            os.close(clip)
            self._finish(key, made, failure)

    def _finish(self, key: Key, made: int | None, failure: str | None) -> None:
        with self._changed:
            if made is not None and self._is_unwanted:
                os.close(made)
            elif made is not None:
                self._files[key] = made
            else:
                self._failures[key] = failure or "its process ended"
                while len(self._failures) > MOST_FILES:
                    self._failures.popitem(last=False)
            while len(self._files) > MOST_FILES or self._bytes() > MOST_BYTES:
                os.close(self._files.popitem(last=False)[1])
            self._making = None
            self._changed.notify_all()

    def _bytes(self) -> int:
        return sum(os.fstat(descriptor).st_size for descriptor in self._files.values())
