"""`perceptd models`: shows the bundles of a running node, and asks it for others."""

import argparse
import json
import sys
import time

from daemon.cli.broker import ANSWER_S, answer_text
from daemon.cli.models_outcome import FindOutcome, Outcome, Patience, last_word, outcome_of
from daemon.cli.models_text import listing, progress_text, stage_text
from daemon.cli.reach import reached
from daemon.config.mqtt import MqttConfig
from daemon.core.status_line import StatusLine
from daemon.mqtt.followers import Follower, ModelsFollower
from daemon.mqtt.requests import CommandRefused, NoAnswer, NoBroker, send_request
from daemon.mqtt.update_payloads import ModelsPayload


def models(options: argparse.Namespace, patience: Patience = Patience()) -> int:  # noqa: B008  (frozen)
    """Execute one action on the bundles of a running node."""
    with reached(options) as (mqtt, node):
        if options.action == "list":
            return _list(options, mqtt, node)
        return _send_and_wait(options, mqtt, node, patience)


def _list(options: argparse.Namespace, mqtt: MqttConfig, node: str) -> int:
    """Show the bundles of a node; return 1 when it does not answer."""
    with ModelsFollower(mqtt, node) as follower:
        try:
            payload = follower.first(ANSWER_S)
        except NoAnswer as error:
            return _failed(str(error))
        print(follower.raw.decode() if options.json else "\n".join(listing(payload)))
        if follower.is_offline:
            print(f"{follower.where} is offline; this is what it published last", file=sys.stderr)
    return 0


def arguments_of(options: argparse.Namespace) -> dict[str, object]:
    """Return the arguments of the command that belongs to the action."""
    if options.action == "install":
        return install_arguments(options.name, options.version)
    return {"on": not options.off} if options.action == "pin" else {}


def install_arguments(name: str | None, version: str | None) -> dict[str, object]:
    """Return the command's arguments for what the command line names.

    A version may stand alone, because no name has a dot in it. NAME@VERSION is accepted too.
    """
    if name is not None and "@" in name and version is None:
        name, _, version = name.partition("@")
    if name is not None and "." in name and version is None:
        name, version = None, name
    return {key: value for key, value in (("name", name), ("version", version)) if value is not None}


def _send_and_wait(options: argparse.Namespace, mqtt: MqttConfig, node: str, patience: Patience) -> int:
    """Send the command that belongs to the action, and wait for its outcome; return 0 when it is as requested."""
    command, arguments = f"models_{options.action}", arguments_of(options)
    with ModelsFollower(mqtt, node) as follower:
        try:
            before = follower.first(ANSWER_S)
            if follower.is_offline:
                return _failed(f"{follower.where} is offline")
            answer = send_request(mqtt, node, command, json.dumps(arguments).encode(), ANSWER_S)
            if not answer.ok or not options.wait:
                print(answer.to_json().decode() if options.json else answer_text(answer))
                return 0 if answer.ok else 1
            find_outcome = outcome_of(options.action, arguments)
            ok, message = _wait(follower, before, find_outcome, patience, Display(silent=options.json))
        except (CommandRefused, NoBroker) as error:
            return _failed(str(error))
        except NoAnswer as error:
            return _failed(f"{error}; perceptd models list shows what it published last")
        print(follower.raw.decode() if options.json else message)
    return 0 if ok else 1


def _wait(
    follower: Follower[ModelsPayload],
    before: ModelsPayload,
    find_outcome: FindOutcome,
    patience: Patience,
    display: "Display",
) -> Outcome:
    """Return the outcome of the command. Raises NoAnswer when nothing new has come for too long."""
    now, was_offline, news_s = before, False, time.monotonic()
    try:
        while (outcome := find_outcome(before, now)) is None:
            limit_s = patience.seconds(now, is_offline=follower.is_offline)
            remaining_s = news_s + limit_s - time.monotonic()
            if remaining_s <= 0:
                raise NoAnswer(f"{follower.where}: {last_word(now, limit_s, is_offline=follower.is_offline)}")
            payload = follower.next(remaining_s)
            if follower.is_offline != was_offline:
                was_offline, news_s = follower.is_offline, time.monotonic()
            # a node that begins again publishes the same at another time
            if payload is not None and payload.model_copy(update={"time": now.time}) != now:
                now, news_s = payload, time.monotonic()
                display.show(now)
        return outcome
    finally:
        display.close()


def _failed(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


class Display:
    """Shows the progress of an installation: one line that is rewritten on a terminal, else one line for each stage."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._line = StatusLine(sys.stdout)
        self._shown = ""

    def show(self, payload: ModelsPayload) -> None:
        """Show the progress of the bundle that is being installed, if there is one."""
        if self._silent or payload.candidate is None:
            return
        text = progress_text(payload.candidate) if self._line.is_shown else stage_text(payload.candidate)
        if text == self._shown:
            return
        self._shown = text
        if self._line.is_shown:
            self._line.show(text)
        else:
            print(text, flush=True)

    def close(self) -> None:
        """End the line that was rewritten."""
        self._line.finish()
