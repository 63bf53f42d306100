"""`perceptd send`: sends a command to a node and shows its answer."""

import argparse
import json
import sys

from daemon.config import broker_and_node
from daemon.mqtt import AnswerPayload, ask

ANSWER_S = 10.0


def send(options: argparse.Namespace) -> int:
    """Send one command; 0 when it was obeyed, 1 when it was refused or nobody answered."""
    mqtt, node = broker_and_node(options.broker, options.node, options.config)
    arguments = {key: value for key in ("stream", "level") if (value := getattr(options, key)) is not None}
    answer = ask(mqtt, node, options.name, json.dumps(arguments).encode(), ANSWER_S)
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
