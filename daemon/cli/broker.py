"""`perceptd send`: sends a command to a node and shows its answer."""

import argparse
import json
import signal
import sys
import threading

from daemon.cli.render import Narrator
from daemon.config.node import (
    broker_and_node,
)
from daemon.mqtt.commands import AnswerPayload
from daemon.mqtt.requests import send_request
from daemon.mqtt.subscriber import Malformed, Received
from daemon.mqtt.subscriber import watch as subscribe

ANSWER_S = 10.0


def send(options: argparse.Namespace) -> int:
    """Send one command; 0 when it was obeyed, 1 when it was refused or nobody answered."""
    mqtt, node = broker_and_node(options.broker, options.node, options.config)
    arguments = {key: value for key in ("stream", "level") if (value := getattr(options, key)) is not None}
    answer = send_request(mqtt, node, options.name, json.dumps(arguments).encode(), ANSWER_S)
    if answer is None:
        print(
            f"{options.name}: no answer from node {node} at {mqtt.host}:{mqtt.port} in {ANSWER_S:g} s", file=sys.stderr
        )
        return 1
    print(answer.to_json().decode() if options.json else in_words(answer))
    return 0 if answer.ok else 1


def in_words(answer: AnswerPayload) -> str:
    """An answer as people read it."""
    said = "done" if answer.ok else "refused"
    line = f"{answer.command}: {said}" + (f": {answer.reason}" if answer.reason else "")
    return line if answer.result is None else f"{line}\n{json.dumps(answer.result, indent=2, ensure_ascii=False)}"


SILENCE_S = 5.0
"""After so long without a message, `watch` says so: the retained ones come at once."""


def watch(options: argparse.Namespace) -> int:
    """Show what nodes publish until Ctrl-C."""
    mqtt, named = broker_and_node(options.broker, options.node, options.config)
    node = None if named == "+" else named
    narrator = Narrator(colour=sys.stdout.isatty(), with_node=node is None)

    def show(received: Received) -> None:
        silence.cancel()
        line = _as_json(received) if options.json else narrator.tell(received)
        if line is not None:
            print(line, flush=True)

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    nothing = f"nothing heard yet from {f'node {node}' if node else 'any node'} at {mqtt.host}:{mqtt.port}"
    silence = threading.Timer(SILENCE_S, print, [nothing], {"file": sys.stderr})
    silence.daemon = True
    silence.start()
    subscribe(mqtt, node, emit=show, stop=stop)
    return 0


def _as_json(received: Received) -> str:
    """A message on one line: where it came from, how long it took, and its payload as it was sent."""
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
