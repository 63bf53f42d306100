"""`perceptd teach`: the actions that are commands to a running node."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from daemon.cli.broker import ANSWER_S
from daemon.cli.parser_teach import MAX_AGO_S
from daemon.cli.reach import reached
from daemon.cli.teach_outcome import Patience, further_text, is_taught, outcome_text
from daemon.cli.teach_text import Examples, examples_of, listing, report_lines, taken_lines
from daemon.config.mqtt import MqttConfig
from daemon.core.status_line import StatusLine
from daemon.core.text import clean
from daemon.mqtt.commands import AnswerPayload
from daemon.mqtt.followers import Follower, TeachingFollower
from daemon.mqtt.requests import CommandRefused, NoAnswer, NoBroker, send_request
from daemon.mqtt.teaching_payloads import TeachingPayload
from daemon.mqtt.update_payloads import MAX_REASON

COMMANDS = {
    "press": "teach",
    "missed": "teach_missed",
    "wrong": "teach_wrong",
    "answer": "teach_answer",
    "list": "teach_list",
    "report": "teach_report",
    "remove": "teach_remove",
    "forget": "teach_forget",
    "undo": "teach_undo",
    "fit": "teach_fit",
}

# The last second of an example comes after the command. Then the example is encoded, beside the live streams.
PRESS_S = 30.0

# what a person reads about an action that is done, where the node has no words for it
DONE = {
    "answer": "taken",
    "forget": "forgotten, with all its examples",
    "remove": "removed; perceptd teach undo brings it back within an hour",
}

# field 22 of proc_pid_stat(5), counted behind the name of the program: ticks from the boot to the start of the process
STARTED = 19

# arguments of commands, by the option that gives them
ARGUMENTS = {
    "label": "label",
    "stream": "stream",
    "event": "event",
    "question": "question",
    "answer": "answer",
    "example": "example",
}


def process_age_s() -> float:
    """Return how long this process has run. Its imports take seconds on a small computer; 0: that is not known."""
    try:
        fields = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
        started_s = int(fields[STARTED]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)


def teach(
    options: argparse.Namespace,
    patience: Patience = Patience(),  # noqa: B008  (frozen)
    age_s: Callable[[], float] = process_age_s,
) -> int:
    """Execute one action on a running node; return 1 when it is refused, fails, or is not answered.

    `age_s` gives the time since somebody has typed the command.
    """
    with reached(options) as (mqtt, node):
        try:
            return _obeyed(options, mqtt, node, patience, age_s)
        except (CommandRefused, NoBroker) as error:
            return _failed(str(error))
        except NoAnswer as error:
            if options.action == "list":
                return _failed(str(error))
            return _failed(f"{error}; perceptd teach list shows what it published last")


def arguments_of(options: argparse.Namespace, age_s: float = 0.0) -> dict[str, object]:
    """Return the arguments of the command that belongs to the action. It was typed so many seconds ago."""
    given = vars(options)
    found = {name: given[option] for option, name in ARGUMENTS.items() if given.get(option) is not None}
    if options.action in ("press", "missed"):
        ago_s = round(min(MAX_AGO_S, options.ago + age_s), 1)
        found |= {"seconds": options.seconds, "ago_s": ago_s, "everywhere": options.everywhere}
    return found


def full_id(shown: str, examples: Examples) -> str:
    """Return the id of the only listed example that begins so; else what was given."""
    found = [each.id for each in examples.examples if each.id.startswith(shown)]
    return found[0] if len(found) == 1 else shown


def _obeyed(
    options: argparse.Namespace, mqtt: MqttConfig, node: str, patience: Patience, age_s: Callable[[], float]
) -> int:
    if options.action == "list":
        return _list(options, mqtt, node)
    if getattr(options, "wait", False):
        return _send_and_wait(options, mqtt, node, patience, age_s)
    arguments = arguments_of(options, age_s())
    if options.action == "remove":
        arguments["example"] = full_id(options.example, examples_of(_asked(mqtt, node, "list", {})))
    return _print_answer(options, _asked(mqtt, node, options.action, arguments))


def _asked(mqtt: MqttConfig, node: str, action: str, arguments: dict[str, object]) -> AnswerPayload:
    """Send the command of an action; return the answer. Raises NoAnswer."""
    is_press = action in ("press", "missed")
    with StatusLine() as status:
        if is_press:
            status.show("the node looks and listens for one more second, and encodes what it has …")
        return send_request(
            mqtt, node, COMMANDS[action], json.dumps(arguments).encode(), PRESS_S if is_press else ANSWER_S
        )


def _print_answer(options: argparse.Namespace, answer: AnswerPayload) -> int:
    if options.json:
        print(answer.to_json().decode())
    else:
        print("\n".join(_answer_lines(options.action, answer)))
    return 0 if answer.ok else 1


def _answer_lines(action: str, answer: AnswerPayload) -> list[str]:
    lines: list[str] = []
    if answer.ok and action in ("press", "missed"):
        lines = taken_lines(answer.result)
    elif answer.ok and action == "report":
        lines = report_lines(answer)
    elif answer.reason:
        lines = [("" if answer.ok else "refused: ") + clean(answer.reason, MAX_REASON)]
    return lines or [DONE.get(action, "done")]


def _list(options: argparse.Namespace, mqtt: MqttConfig, node: str) -> int:
    """Show what a node was taught, also of one that is offline."""
    with TeachingFollower(mqtt, node) as follower:
        payload = follower.first(ANSWER_S)
        if follower.is_offline:
            print(f"{follower.where} is offline; this is what it published last", file=sys.stderr)
            answer = None
        else:
            answer = _asked(mqtt, node, "list", {})
    if options.json:
        found = [] if answer is None else (answer.result or {}).get("examples", [])
        print(json.dumps({"teaching": json.loads(follower.raw), "examples": found}, ensure_ascii=False))
    else:
        print("\n".join(listing(payload, Examples() if answer is None else examples_of(answer))))
    return 0


def _send_and_wait(
    options: argparse.Namespace, mqtt: MqttConfig, node: str, patience: Patience, age_s: Callable[[], float]
) -> int:
    """Send the command, and wait until the node has done what can be done with it."""
    with TeachingFollower(mqtt, node) as follower:
        before = follower.first(ANSWER_S)
        if follower.is_offline:
            return _failed(f"{follower.where} is offline")
        answer = _asked(mqtt, node, options.action, arguments_of(options, age_s()))
        if not answer.ok:
            return _print_answer(options, answer)
        if not options.json:
            print("\n".join(_answer_lines(options.action, answer)), flush=True)
        label = (answer.result or {}).get("label")
        now = _wait(follower, label, before, patience, silent=options.json)
    is_well, text = outcome_text(label, now)
    if options.json:
        print(json.dumps({"answer": json.loads(answer.to_json()), "teaching": json.loads(now.to_json())}))
    else:
        print(clean(text, MAX_REASON))
        if (further := further_text(label, now)) is not None:
            print(further)
    return 0 if is_well else 1


def _wait(
    follower: Follower[TeachingPayload], label: str | None, before: TeachingPayload, patience: Patience, *, silent: bool
) -> TeachingPayload:
    """Return the payload with the outcome, or the latest one when the node is idle. Raises NoAnswer."""
    now, news_s = before, time.monotonic()
    with StatusLine() as status:
        while not is_taught(label, before, now):
            limit_s = patience.seconds(label, now)
            remaining_s = news_s + limit_s - time.monotonic()
            if remaining_s <= 0:
                if limit_s == patience.settled_s:
                    return now
                text = clean(outcome_text(label, now)[1], MAX_REASON)
                raise NoAnswer(f"{follower.where}: nothing new for {limit_s:g} s; it says: {text}")
            payload = follower.next(remaining_s)
            if follower.is_offline:
                raise NoAnswer(f"{follower.where} is offline, and goes on when it starts again")
            if payload is not None:
                now, news_s = payload, time.monotonic()
                if not silent:
                    status.show(clean(outcome_text(label, now)[1]))
    return now


def _failed(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
