"""A source that delivers prepared records."""

import threading
from collections.abc import Iterable

from daemon.core.errors import SourceError
from daemon.core.media import DecoderStatus
from daemon.core.ports import Deliver
from daemon.core.records import Captured


class ScriptedSource:
    """Implements `Source`: each run delivers the next script, then fails or ends. After the last it waits to stop."""

    def __init__(self, *runs: tuple[Iterable[Captured], str | Exception | None]) -> None:
        self._runs = list(runs)
        self.started = 0
        self.drift_ppm: float | None = None
        self.decoder: DecoderStatus | None = None

    def run(self, deliver: Deliver, stop: threading.Event) -> None:
        self.started += 1
        if not self._runs:
            stop.wait()
            return
        script, failure = self._runs.pop(0)
        for captured in script:
            deliver(captured)
        if isinstance(failure, Exception):
            raise failure
        if failure is not None:
            raise SourceError(failure)
