"""The thread `teaching`: obeys commands to teach, and keeps what was taught fitted. Recognition never waits for it."""

from collections.abc import Callable
from dataclasses import replace

from daemon.core.records import Counters
from daemon.core.timing import monotonic_ns, wall_time
from daemon.mqtt.commands import Arguments, InvalidCommand, Request
from daemon.mqtt.session import Session
from daemon.mqtt.teaching_payloads import TeachingPayload
from daemon.node.kept_health import TeachingHealth
from daemon.node.teaching_inbox import TeachingInbox
from daemon.node.teaching_state import TeachingFacts, teaching_payload
from daemon.node.teaching_work import TeachingWork
from daemon.runtime.heartbeat import DISK_S, Heartbeat
from daemon.runtime.thread_loop import LoopThread

# a press waits for its last second, and a fit for its child process
LOOK_EVERY_S = 0.25


class Teacher:
    """One thread, named `teaching`. It alone waits for the disk of what was taught. Implements TeachingSink.

    A slow disk is no hang, so the heartbeat is marked with the time that a disk may take.
    """

    def __init__(
        self, work: TeachingWork, session: Session, counters: Counters, *, on_change: Callable[[], None]
    ) -> None:
        """`on_change` is called when what was taught has changed. `counters` are those of the work."""
        self._work, self._counters = work, counters
        self._on_change = on_change
        self._inbox = TeachingInbox(counters)
        self._topic = TeachingTopic(session)
        self.progress = Heartbeat("teaching")
        self._thread = LoopThread(self.progress, self._run)

    def start(self) -> None:
        """Begin to gather background and to obey. Raises OSError where the system has room for no more threads.

        The topic is published once the disk has said what is taught. Until then the retained one of before stands.
        """
        self.progress.mark(DISK_S)
        self._thread.start()

    def take(self, request: Request, arguments: Arguments) -> None:
        """Queue a command. Raises InvalidCommand when it is refused at once. Callable from any thread; never blocks."""
        self._inbox.put(request, arguments)

    def follow(self, bundle: str) -> None:
        """Do nothing: the thread follows the active bundle by itself."""

    def close(self, deadline_s: float) -> bool:
        """Refuse what waits, and end the thread; return whether it ended within the deadline."""
        self._inbox.close()
        return self._thread.join(deadline_s)

    def health(self) -> TeachingHealth:
        """Return what health shows. Callable from any thread."""
        facts = self._work.facts
        return TeachingHealth(
            enabled=True,
            labels=len(facts.labels),
            examples=sum(label.presses for label in facts.labels),
            background=sum(facts.places.values()),
            dropped=dict(self._counters.dropped),
            problem=facts.problem or facts.held or facts.lost,
        )

    def _run(self) -> None:
        self._look(is_busy=True)
        while not self._inbox.is_closed:
            command = self._inbox.next(LOOK_EVERY_S)
            self.progress.mark(DISK_S)
            if command is not None:
                self._work.obey(command, monotonic_ns())
            self._look(is_busy=command is not None)
        self._work.close(self._inbox.drain(), monotonic_ns())

    def _look(self, *, is_busy: bool) -> None:
        self._work.look(monotonic_ns(), is_busy=is_busy)
        if self._topic.publish(self._work.facts):
            self._on_change()


class NoTeacher:
    """A node that cannot be taught; `off` says why. It has no thread, and refuses every command.

    Implements TeachingSink.
    """

    def __init__(self, facts: TeachingFacts, session: Session) -> None:
        """`facts` say why nothing can be taught."""
        self._facts = facts
        self._topic = TeachingTopic(session)
        self.progress = Heartbeat("teaching")
        self.progress.end()

    def start(self) -> None:
        """Publish that nothing can be taught."""
        self._topic.publish(self._facts)

    def follow(self, bundle: str) -> None:
        """Publish the id of the bundle that is active now."""
        self._facts = replace(self._facts, bundle=bundle)
        self._topic.publish(self._facts)

    def take(self, request: Request, arguments: Arguments) -> None:  # noqa: ARG002
        """Refuse a command: raises InvalidCommand."""
        raise InvalidCommand(self._facts.off or "")

    def close(self, deadline_s: float) -> bool:  # noqa: ARG002
        """Return that no thread runs."""
        return True

    def health(self) -> TeachingHealth:
        """Return what health shows."""
        return TeachingHealth(enabled=False, labels=0, examples=0, background=0, dropped={}, problem=None)


class TeachingTopic:
    """Publishes the topic `teaching` when it says something else than before. Used by one thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._published: TeachingPayload | None = None

    def publish(self, facts: TeachingFacts) -> bool:
        """Publish facts; return whether they were news."""
        before = self._published
        payload = teaching_payload(facts, wall_time(monotonic_ns()))
        if before is not None and payload.model_copy(update={"time": before.time}) == before:
            return False
        self._published = payload
        self._session.publish("teaching", payload.to_json(), retain=True, qos=1)
        return True
