"""Makes the messages of the retained topics `health` and `status` when they are due. Pure."""

from collections.abc import Hashable

from daemon.core.timing import NS_PER_S
from daemon.mqtt.status_payload import StatusPayload
from daemon.node.health import Health
from daemon.node.health_changes import HealthSchedule
from daemon.node.status import status_payload

LOOK_EVERY_NS = NS_PER_S

# payloads by the last level of their topic
Messages = dict[str, bytes]


class HealthTopics:
    """Decides which messages a node publishes, from its health at each look."""

    def __init__(self, every_s: float) -> None:
        """`every_s`: see HealthSchedule."""
        self._schedule = HealthSchedule(every_s)
        self._status: StatusPayload | None = None
        self._requested: Hashable = None
        self._looked_ns: int | None = None

    def must_look(self, now_ns: int) -> bool:
        """Return whether to call `due` although no part of the node has said that it has changed.

        Some parts, such as the connection, do not say it. They are looked at once a second.
        """
        if self._looked_ns is None or now_ns - self._looked_ns >= LOOK_EVERY_NS:
            return True
        return self._schedule.is_interval_over(now_ns)

    def due(self, health: Health, models_problem: str | None, now_ns: int) -> Messages:
        """Return the messages to publish now. `models_problem` says why the source of bundles failed.

        The status is due with health, if its content has changed. It is due at once when somebody has closed or opened
        a device. So a switch on a wall does not lag behind, however often the health of the node changes.
        """
        self._looked_ns = now_ns
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
