"""Prints what a subscriber receives, and collects figures for the summary of the demo."""

import json
import sys
import threading
import time
from collections.abc import Sequence
from datetime import datetime

from demo_processes import STOP_DEADLINE_S, Daemon

from daemon.cli.render import Narrator
from daemon.config.mqtt import MqttConfig
from daemon.config.node import Config
from daemon.mqtt.payloads import EventPayload, RecognitionPayload
from daemon.mqtt.subscriber import Received, watch

SAMPLE_EVERY_S = 0.25
REMIND_AFTER_S = (10, 20, 30, 40, 50, 60)


class Viewer:
    """Prints the messages that a subscriber receives, and stores figures for the summary.

    `events` has the latest message of each event, by the event's id, in the order of their starts.
    """

    def __init__(self, config: Config, port: int) -> None:
        self._narrator = Narrator(colour=sys.stdout.isatty(), with_node=False)
        self._stop = threading.Event()
        self.latencies_ms: list[float] = []
        self.first_recognition: float | None = None
        self.events: dict[str, EventPayload] = {}
        self.health: dict[str, object] = {}
        self.began: float | None = None
        self._mqtt, self._node = MqttConfig(host="127.0.0.1", port=port), config.node
        self._thread = threading.Thread(target=self._run, name="viewer", daemon=True)
        self._thread.start()

    def view(self, seconds: float | None, daemon: Daemon, interrupted: Sequence[int], invitation: str) -> None:
        """Wait until the time is up, somebody interrupts, or the daemon ends.

        The messages push the invitation off the screen, so it is printed again during the first minute.
        """
        began = time.monotonic()
        end = None if seconds is None else began + seconds
        reminders = [began + after_s for after_s in REMIND_AFTER_S]
        while not interrupted and daemon.process.poll() is None and (end is None or time.monotonic() < end):
            daemon.sample()
            if reminders and time.monotonic() >= reminders[0]:
                del reminders[0]
                print(invitation, flush=True)
            time.sleep(SAMPLE_EVERY_S if end is None else max(0.0, min(SAMPLE_EVERY_S, end - time.monotonic())))

    def close(self) -> None:
        """Stop after the daemon's last messages have been printed."""
        self._stop.set()
        self._thread.join(STOP_DEADLINE_S)

    def _run(self) -> None:
        watch(self._mqtt, self._node, emit=self._show, stop=self._stop, report_silence=self._report_silence)

    def _report_silence(self, _filters: list[str]) -> None:
        print(f"no message yet from node {self._node}", file=sys.stderr)

    def _show(self, received: Received) -> None:
        content = received.content
        if isinstance(content, RecognitionPayload):
            if self.first_recognition is None:
                self.first_recognition = time.monotonic()
            if received.latency_ms is not None:
                self.latencies_ms.append(received.latency_ms)
        elif isinstance(content, EventPayload):
            self.events[content.id] = content
        elif received.kind == "health":
            self.health = json.loads(received.payload)
            self.began = self.began or _replay_began(self.health)
        line = self._narrator.render_news(received)
        if line is not None:
            print(line, flush=True)


def _replay_began(health: dict) -> float | None:
    """When the replay of the first stream delivered its first item, in seconds since 1970."""
    for stream in health["streams"].values():
        replay = stream["sources"].get("replay")
        if replay and replay["state"] == "healthy":
            return epoch_s(replay["since"])
    return None


def epoch_s(iso: str) -> float:
    """Return a time of a payload in seconds since 1970."""
    return datetime.fromisoformat(iso.replace("Z", "+00:00")).timestamp()
