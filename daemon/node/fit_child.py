"""Fits in a child process, which reads the store by itself and is confined in memory, time and priority."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from daemon.core.errors import ChildError
from daemon.node.fit_ports import FitOrder, FitResult
from daemon.pipeline.fit_main import FitAnswer, FitRequest, answer_fit
from daemon.runtime.child import Child
from daemon.teaching.rows import EventTimes
from daemon.updates.slots import content_of


@dataclass(frozen=True, slots=True)
class ChildFits:
    """Starts fits of the store in the file `database`. Implements FitRunner.

    `models` is the directory of installed bundles, whose files are compared with what was installed. `events` has the
    times of the events of each stream.
    """

    database: Path
    models: Path
    false_alarms_a_day: float
    events: dict[str, EventTimes]

    def start(self, order: FitOrder) -> "ChildFit":
        """Start a fit. Raises ChildError where no process can be started."""
        request = FitRequest(
            database=str(self.database),
            base=str(order.base),
            target=str(order.target),
            version=order.version,
            content=content_of(order.base, self.models),
            false_alarms_a_day=self.false_alarms_a_day,
            events=self.events,
        )
        return ChildFit(Child(answer_fit, request.model_dump_json()))


class ChildFit:
    """One fit in a child process. Implements RunningFit."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def result(self) -> FitResult | None:
        """Return the result; None while the fit runs. Raises ChildError when the process has failed."""
        if not self._child.has_ended(0):
            return None
        try:
            answer = FitAnswer.model_validate_json(self._child.result(0))
        except ValidationError as error:
            raise ChildError("its answer cannot be read") from error
        return FitResult(answer.report if answer.ok else None, answer.reason or "", answer.may_pass)

    def close(self) -> None:
        """Kill the process, if it still runs."""
        self._child.close()
