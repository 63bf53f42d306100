"""Makes the messages of the retained topics `health` and `status` when they are due. Pure."""

from collections.abc import Hashable

from daemon.mqtt.status_payload import StatusPayload
from daemon.node.health import Health
from daemon.node.health_changes import HealthSchedule
from daemon.node.status import status_payload

# payloads by the last level of their topic
Messages = dict[str, bytes]


class HealthTopics:
    """Decides which messages a node publishes, from its health at each look."""

    def __init__(self, every_s: float) -> None:
        """`every_s`: see HealthSchedule."""
        self._schedule = HealthSchedule(every_s)
        self._status: StatusPayload | None = None
        self._requested: Hashable = None

    def due(self, health: Health, models_problem: str | None, now_ns: int) -> Messages:
        """Return the messages to publish now. `models_problem` says why the source of bundles failed.

        The status is due with health, if its content has changed. It is due at once when somebody has closed or opened
        a device, so that a switch on a wall never lags behind a node whose health changes often.
        """
        if self._schedule.is_due(health, now_ns):
            return self.latest(health, models_problem)
        if _requested(health, models_problem) != self._requested:
            return self._changed_status(health, models_problem)
        return {}

    def latest(self, health: Health, models_problem: str | None) -> Messages:
        """Return health whatever is due, and the status if it has changed."""
        return {"health": health.to_json()} | self._changed_status(health, models_problem)

    def _changed_status(self, health: Health, models_problem: str | None) -> Messages:
        self._requested = _requested(health, models_problem)
        status = status_payload(health, models_problem)
        if status == self._status:
            return {}
        self._status = status
        return {"status": status.to_json()}


def _requested(health: Health, models_problem: str | None) -> Hashable:
    """Return what commands have changed, and the result of the latest look at the source, which they ask for."""
    switches = [(name, one.paused, one.camera, one.microphone) for name, one in health.streams.items()]
    return tuple(switches), models_problem
