"""Reads the config again on request: a child process checks it while the node goes on."""

import logging
from collections.abc import Callable
from types import TracebackType

from daemon.config.node import Config, state_directory
from daemon.core.errors import ChildError
from daemon.core.text import redact
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.runtime.child import MAX_REASON_CHARS, Child

log = logging.getLogger(__name__)

# as long as the unit allows for a start: the check loads the bundle
CHECK_S = 90.0


class Reload:
    """The check of the config that a signal asked for. A context manager, used by one thread; it outlives nodes.

    `problem` says why the latest check failed, or why the node could not start with its config; None without a problem.
    """

    def __init__(self, check: Callable[[str], None], options: str) -> None:
        """`check` runs in the child process, with `options`. It raises Failed when no node can start."""
        self._check, self._options = check, options
        self._child: Child | None = None
        self._until_ns = 0
        self._asked_again = False
        self.problem: str | None = None

    @property
    def is_checking(self) -> bool:
        """Whether a check runs."""
        return self._child is not None

    def begin(self) -> None:
        """Begin a check. While one runs, begin another one after it: the config may have changed since it was read."""
        if self._child is not None:
            self._asked_again = True
            return
        log.info("reading the config again")
        self._until_ns = monotonic_ns() + round(CHECK_S * NS_PER_S)
        try:
            self._child = Child(self._check, self._options)
        except ChildError as error:
            self.refuse(str(error))

    def look(self) -> bool:
        """Return whether a check has ended, and the config is good. Never blocks."""
        child = self._child
        if child is None or (not child.has_ended(0) and monotonic_ns() < self._until_ns):
            return False
        problem = _problem_of(child)
        self.close()
        if self._asked_again:
            self._asked_again = False
            self.begin()
            return False
        self.problem = None
        if problem is not None:
            self.refuse(problem)
        return problem is None

    def refuse(self, problem: str) -> None:
        """Note that the config cannot be used."""
        self.problem = " ".join(redact(problem).split())[:MAX_REASON_CHARS]
        log.error("the config cannot be used, the daemon goes on with the one of before: %s", self.problem)

    def close(self) -> None:
        """End a check that runs."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def __enter__(self) -> "Reload":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _problem_of(child: Child) -> str | None:
    if not child.has_ended(0):
        return f"its check has not ended within {CHECK_S:g} s"
    try:
        child.result(0)
    except ChildError as error:
        return str(error)
    return None


def reload_remarks(old: Config, new: Config) -> list[str]:
    """Return what stays behind when a node begins again with another name or another state directory."""
    remarks = []
    if old.node != new.node:
        remarks.append(f"node {old.node} is {new.node} now: the retained messages of {old.node} stay at the broker")
    before, now = state_directory(old), state_directory(new)
    if before != now:
        remarks.append(f"the state is in {now} now: events, switches and bundles of {before} stay there")
    return remarks
