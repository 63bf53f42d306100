"""Obeys the commands that the session receives, on a thread of its own: the MQTT thread must not wait for a disk."""

import logging
import threading
from collections import deque

from daemon.mqtt.commands import EMPTY, AnswerPayload, Request, answer_to
from daemon.mqtt.session import Session
from daemon.node.control import Control
from daemon.runtime.heartbeat import DISK_S, IDLE_S, Heartbeat
from daemon.runtime.thread_loop import LoopThread

log = logging.getLogger(__name__)

# Commands that wait. Home Assistant may send one for each camera and microphone of a node at once.
MAX_QUEUED = 32

BUSY = f"busy: {MAX_QUEUED} commands wait already; send it again later"
STOPPING = "the daemon is stopping"


class CommandThread:
    """Obeys commands one after another, in the order in which they were received. Implements CommandSink.

    One thread, named `commands`. `Control.obey` returns when the switch is on disk; only then the answer is published.
    A slow disk is no hang, so it must not trip the watchdog.
    Before each command the heartbeat is therefore marked with `DISK_S`, the time that a disk may take.

    It counts in the session what is not obeyed. `command_empty` has no payload, and `command_busy` finds no room.
    `command_stopping` is received or queued during a stop. `command_unanswered` is not done when the stop ends.
    `command_failed` meets an error inside the daemon.
    """

    def __init__(self, control: Control, session: Session) -> None:
        self._control = control
        self._session = session
        self._changed = threading.Condition()
        self._queued: deque[Request] = deque()
        self._is_closing = self._is_obeying = self._is_abandoned = False
        self.progress = Heartbeat("commands")
        self._thread = LoopThread(self.progress, self._run)

    def start(self) -> None:
        """Begin to obey."""
        self.progress.mark()
        self._thread.start()

    def take(self, request: Request) -> None:
        """Queue a command. Refuse it when it is empty, when too many wait or when the daemon stops. Never blocks."""
        with self._changed:
            if request.is_empty:
                self._refuse(request, "command_empty", EMPTY)
            elif self._is_closing:
                self._refuse(request, "command_stopping", STOPPING)
            elif len(self._queued) >= MAX_QUEUED:
                self._refuse(request, "command_busy", BUSY)
            else:
                self._queued.append(request)
                self._changed.notify()

    def close(self, deadline_s: float) -> bool:
        """Obey what is queued, then end; return whether the thread ended within the deadline.

        Commands that are still queued at the deadline are refused. A command that is under way then gets no answer.
        Both are counted.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        has_ended = self._thread.join(deadline_s)
        with self._changed:
            for request in self._queued:
                self._refuse(request, "command_stopping", STOPPING)
            self._queued.clear()
            if self._is_obeying:
                self._is_abandoned = True
                self._session.counters.drop("command_unanswered")
        return has_ended

    def _run(self) -> None:
        while not (self._is_closing and not self._queued):
            request = self._next()
            self.progress.mark(DISK_S)
            if request is None:
                self._control.keep_switches()
                continue
            answer = self._obey(request)
            with self._changed:
                self._is_obeying = False
                if answer is not None and not self._is_abandoned:
                    self._session.publish_answer(request, answer)

    def _next(self) -> Request | None:
        """Wait for a command; return None when none has come for a second, or when the thread is to end."""
        with self._changed:
            if not self._queued and not self._is_closing:
                self.progress.mark()
                self._changed.wait(IDLE_S)
            if not self._queued:
                return None
            self._is_obeying = True
            return self._queued.popleft()

    def _obey(self, request: Request) -> AnswerPayload | None:
        try:
            return self._control.obey(request)
        except Exception:
            log.exception("command %s failed", request.name)
            self._session.counters.drop("command_failed")
            return None

    def _refuse(self, request: Request, counter: str, reason: str) -> None:
        log.warning("command %s: refused: %s", request.name, reason)
        self._session.counters.drop(counter)
        self._session.publish_answer(request, answer_to(request.name, ok=False, reason=reason))
