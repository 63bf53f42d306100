"""`perceptd send` and `watch`: sends a command to a running node, and shows what nodes publish."""

import argparse
import json
import signal
import sys
import threading
from types import FrameType

from daemon.cli.render import Narrator
from daemon.config.node import broker_and_node
from daemon.mqtt.commands import AnswerPayload
from daemon.mqtt.requests import NoAnswer, send_request
from daemon.mqtt.silence import nothing_heard
from daemon.mqtt.subscriber import Malformed, Received
from daemon.mqtt.subscriber import watch as subscribe

ANSWER_S = 10.0


def send(options: argparse.Namespace) -> int:
    """Send one command; return 0 when it was obeyed, 1 when it was refused or not answered."""
    mqtt, node = broker_and_node(options.broker, options.node, options.config)
    arguments = {key: value for key in ("stream", "level") if (value := getattr(options, key)) is not None}
    try:
        answer = send_request(mqtt, node, options.name, json.dumps(arguments).encode(), ANSWER_S)
    except NoAnswer as error:
        print(error, file=sys.stderr)
        return 1
    print(answer.to_json().decode() if options.json else answer_text(answer))
    return 0 if answer.ok else 1


def answer_text(answer: AnswerPayload) -> str:
    """Return the answer as a person reads it."""
    outcome = "done" if answer.ok else "refused"
    line = f"{answer.command}: {outcome}" + (f": {answer.reason}" if answer.reason else "")
    return line if answer.result is None else f"{line}\n{json.dumps(answer.result, indent=2, ensure_ascii=False)}"


def watch(options: argparse.Namespace) -> int:
    """Show what nodes publish until Ctrl-C."""
    mqtt, named = broker_and_node(options.broker, options.node, options.config)
    node = None if named == "+" else named
    narrator = Narrator(colour=sys.stdout.isatty(), with_node=node is None)

    stop = threading.Event()

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, request_stop)

    def report_silence(filters: list[str]) -> None:
        nothing = f"no message yet from {f'node {node}' if node else 'any node'} at {mqtt.addresses}"
        cause = f" under some topics: {nothing_heard(filters, mqtt.username)}" if filters else ""
        print(nothing + cause, file=sys.stderr)

    def show(received: Received) -> None:
        line = _as_json(received) if options.json else narrator.render_news(received)
        if line is not None:
            print(line, flush=True)

    subscribe(mqtt, node, emit=show, stop=stop, report_silence=report_silence)
    return 0


def _as_json(received: Received) -> str:
    """Return a message on one line: its node and stream, its latency, and the payload as it was sent."""
    payload = received.payload.decode("utf-8", errors="replace")
    is_json = received.kind != "availability" and not isinstance(received.content, Malformed)
    fields = {
        "node": received.node,
        "stream": received.stream,
        "kind": received.kind,
        "retained": received.retained,
        "latency_ms": received.latency_ms,
        "payload": json.loads(payload) if is_json else payload,
    }
    return json.dumps(fields, ensure_ascii=False)
