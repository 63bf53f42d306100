"""Publishes events through the daemon's session at a given rate, until there are enough and all have arrived."""

import argparse
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
    """Publish events. Every event has a start and an end, and its label is the number of the run."""
    arguments = _parser().parse_args()
    session = Session(MqttConfig(port=arguments.port), arguments.node, arguments.state)
    session.start({})
    pause_s = 1 / arguments.rate
    due_s = time.monotonic()
    step: EventPayload | None = None
    while session.last_sequence < arguments.count:
        if session.status()["outbox"]["waiting"] < AHEAD:
            step = _next(step, arguments)
            session.publish_event("bench/event", step)
        due_s += pause_s
        time.sleep(max(0.0, due_s - time.monotonic()))
    while session.status()["outbox"]["stored"] or session.status()["outbox"]["waiting"]:
        time.sleep(0.01)
    session.stop(5.0)


def _next(step: EventPayload | None, arguments: argparse.Namespace) -> EventPayload:
    if step is not None and step.phase == "start":
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
    parser.add_argument("--node", default="bench")
    parser.add_argument("--run", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    return parser


if __name__ == "__main__":
    main()
