"""Stands in for the thread `history` on a node that keeps no events."""

from daemon.core.errors import HistoryError
from daemon.history.records import Verdict
from daemon.node.history_topics import SnapshotTopics
from daemon.node.kept_health import NO_HISTORY, HistoryHealth
from daemon.runtime.heartbeat import Heartbeat

OFF = "no events are kept: history in config.yaml is null"


class NoHistorian:
    """A node that keeps no events. It has no thread, and refuses every change."""

    def __init__(self, topics: SnapshotTopics) -> None:
        self._topics = topics
        self.progress = Heartbeat("history")
        self.progress.end()

    def start(self) -> None:
        """Remove the snapshots that were published before."""
        self._topics.begin()

    def keep(self, event: str, on: bool) -> None:  # noqa: ARG002
        """Raise HistoryError."""
        raise HistoryError("off", OFF)

    def delete(self, event: str) -> None:  # noqa: ARG002
        """Raise HistoryError."""
        raise HistoryError("off", OFF)

    def judge(self, event: str, verdict: Verdict | None, was: str | None = None) -> None:  # noqa: ARG002
        """Raise HistoryError."""
        raise HistoryError("off", OFF)

    def close(self, deadline_s: float) -> bool:  # noqa: ARG002
        """Return that no thread runs."""
        self._topics.close()
        return True

    def health(self) -> HistoryHealth:
        """Return what health shows."""
        return NO_HISTORY
