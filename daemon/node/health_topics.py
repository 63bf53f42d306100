"""Publishes the retained topics `health` and `status` of a node."""

from collections.abc import Hashable

from daemon.mqtt.session import Session
from daemon.mqtt.status_payload import StatusPayload
from daemon.node.health import Health
from daemon.node.health_changes import HealthSchedule, substance
from daemon.node.status import status_payload
from daemon.updates.updater import Updater


class HealthTopics:
    """Publishes health at changes and at intervals, and the status when its content changes. Used by one thread."""

    def __init__(self, session: Session, every_s: float, updater: Updater | None) -> None:
        """`every_s`: see HealthSchedule. `updater` knows whether the source of bundles failed; None: there is none."""
        self._session = session
        self._updater = updater
        self._schedule = HealthSchedule(every_s)
        self._status: StatusPayload | None = None
        self._status_news: Hashable = None

    def look(self, health: Health, now_ns: int) -> None:
        """Publish what is due."""
        is_due = self._schedule.is_due(health, now_ns)
        if is_due:
            self._publish_health(health)
        self._publish_status(health, is_due=is_due)

    def publish(self, health: Health) -> None:
        """Publish health, and the status if it has changed, whatever is due."""
        self._publish_health(health)
        self._publish_status(health, is_due=True)

    def _publish_health(self, health: Health) -> None:
        self._session.publish("health", health.to_json(), retain=True, qos=1)

    def _publish_status(self, health: Health, *, is_due: bool) -> None:
        """Publish the status if it has changed. The text of a failure that goes on is renewed with health only."""
        problem = None if self._updater is None else self._updater.source_problem
        status, news = status_payload(health, problem), (substance(health), problem)
        if status != self._status and (is_due or news != self._status_news):
            self._status, self._status_news = status, news
            self._session.publish("status", status.to_json(), retain=True, qos=1)
