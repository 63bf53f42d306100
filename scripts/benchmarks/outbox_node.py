"""Publishes events through the daemon's session at a given rate, until there are enough and all have arrived."""

import argparse
import json
import signal
import time
import uuid
from pathlib import Path

from daemon.config.mqtt import MqttConfig
from daemon.core.timing import monotonic_ns, wall_time
from daemon.mqtt.payloads import EventPayload
from daemon.mqtt.session import Session

# Number of events that may wait to be written, a little below the limit of the outbox.
AHEAD = 900


def main() -> None:
    """Publish events until there are enough, or a signal comes; then print what was dropped, as JSON.

    Every event has a start and an end, and its label is the number of the run.
    """
    arguments = _parser().parse_args()
    orders = Orders()
    session = Session(MqttConfig(port=arguments.port), arguments.node, arguments.state, memory=arguments.memory)
    session.start({})
    pause_s = 1 / arguments.rate
    due_s = time.monotonic()
    step: EventPayload | None = None
    with arguments.accepted.open("a") as accepted:
        while _is_open(step) or (session.last_sequence < arguments.count and not orders.is_over):
            if session.status()["outbox"]["waiting"] < AHEAD:
                step = _next(step, arguments)
                if session.publish_event("bench/event", step):
                    accepted.write(f"{step.id} {step.phase}\n")
                    accepted.flush()
            due_s += pause_s
            time.sleep(max(0.0, due_s - time.monotonic()))
    while not orders.is_hasty and (session.status()["outbox"]["stored"] or session.status()["outbox"]["waiting"]):
        time.sleep(0.01)
    session.stop(5.0)
    print(json.dumps(session.status()["dropped"]), flush=True)


class Orders:
    """SIGTERM ends the node at once; SIGUSR1 does so when all events have arrived."""

    def __init__(self) -> None:
        self.is_over = self.is_hasty = False
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGUSR1, self._end)

    def _end(self, number: int, _frame: object) -> None:
        self.is_over = True
        self.is_hasty = number == signal.SIGTERM


def _is_open(step: EventPayload | None) -> bool:
    return step is not None and step.phase == "start"


def _next(step: EventPayload | None, arguments: argparse.Namespace) -> EventPayload:
    if step is not None and _is_open(step):
        return step.model_copy(update={"phase": "end", "ended_by": "absent"})
    now = wall_time(monotonic_ns())
    return EventPayload(
        id=uuid.uuid4().hex,
        phase="start",
        label=arguments.run,
        score=0.9,
        peak=0.9,
        time=now,
        started=now,
        duration_s=0,
        ended_by=None,
        node=arguments.node,
        stream="bench",
        bundle="bench@1.0.0",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--memory", type=Path, help="directory in memory, as a service has one")
    parser.add_argument("--node", default="bench")
    parser.add_argument("--run", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--accepted", type=Path, default=Path("/dev/null"), help="file of ids and phases to append to")
    return parser


if __name__ == "__main__":
    main()
