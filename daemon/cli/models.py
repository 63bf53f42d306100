"""`perceptd models`: shows the bundles of a running node, and asks it for others."""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from daemon.cli.broker import ANSWER_S, answer_text
from daemon.cli.models_text import active_text, check_text, listing, progress_text, result_text, stage_text
from daemon.config.node import broker_and_node
from daemon.core.status_line import StatusLine
from daemon.mqtt.requests import ModelsFollower, NoAnswer, send_request
from daemon.mqtt.update_payloads import MAX_REASON, ModelsPayload

# a running node publishes its health every 10 s; one that publishes nothing for so long has gone
SILENCE_S = 30.0

# whether the node has obeyed, and a message for a person
Outcome = tuple[bool, str]

# the outcome, from the payload before the command and the payload now; None while there is no outcome yet
FindOutcome = Callable[[ModelsPayload, ModelsPayload], Outcome | None]


def models(options: argparse.Namespace) -> int:
    """Execute one action on the bundles of a running node."""
    actions = {
        "list": _list,
        "check": _check,
        "install": _install,
        "rollback": _rollback,
        "pin": _pin,
    }
    return actions[options.action](options)


def _list(options: argparse.Namespace) -> int:
    """Show the bundles of a node; return 1 when it does not answer."""
    mqtt, node = broker_and_node(options.broker, options.node, options.config)
    with ModelsFollower(mqtt, node) as follower:
        try:
            payload = follower.first(ANSWER_S)
        except NoAnswer as error:
            return _failed(str(error))
        print(follower.raw.decode() if options.json else "\n".join(listing(payload)))
        if follower.is_offline:
            print(f"{follower.where} is offline; this is what it published last", file=sys.stderr)
    return 0


def _check(options: argparse.Namespace) -> int:
    """Ask the node to check its source; return 0 when the check succeeded."""
    return _send_and_wait(options, {}, checked)


def _install(options: argparse.Namespace) -> int:
    """Ask the node to install a bundle; return 0 when it is active."""
    arguments = install_arguments(options.name, options.version)
    return _send_and_wait(options, arguments, partial(installed, arguments))


def _rollback(options: argparse.Namespace) -> int:
    """Ask the node to go back to the previous bundle; return 0 when it is active."""
    return _send_and_wait(options, {}, rolled_back)


def _pin(options: argparse.Namespace) -> int:
    """Ask the node to keep its bundle, or to accept newer ones again; return 0 when it does."""
    on = not options.off
    return _send_and_wait(options, {"on": on}, partial(_pinned, on))


def install_arguments(name: str | None, version: str | None) -> dict[str, str]:
    """Return the command's arguments for what the command line names.

    A version may stand alone, because no name has a dot in it. NAME@VERSION is accepted too.
    """
    if name is not None and "@" in name and version is None:
        name, _, version = name.partition("@")
    if name is not None and "." in name and version is None:
        name, version = None, name
    return {key: value for key, value in (("name", name), ("version", version)) if value is not None}


def checked(before: ModelsPayload, now: ModelsPayload) -> Outcome | None:
    """Return the outcome of the command to check the source."""
    if now.last_check is None or now.last_check == before.last_check:
        return None
    return now.last_check.ok, f"check: {check_text(now)}; {active_text(now)}"


def installed(arguments: dict[str, str], before: ModelsPayload, now: ModelsPayload) -> Outcome | None:
    """Return the outcome of the command to install. The command is done when the bundle is active and on probation.

    Another bundle's probation may end meanwhile, so only results of the requested bundle count.
    """
    result = now.last_result
    if result is not None and result != before.last_result and _is_requested(arguments, result.bundle):
        return result.ok, result_text(result, MAX_REASON)
    if now.active.id != before.active.id and _is_requested(arguments, now.active.id):
        return (
            True,
            f"{active_text(now)}; it is on probation: if it does worse, the node goes back to the previous bundle",
        )
    return None


def rolled_back(before: ModelsPayload, now: ModelsPayload) -> Outcome | None:
    """Return the outcome of the command to roll back.

    A result that confirms the bundle to be left may come meanwhile. It is no outcome.
    """
    if now.active.id != before.active.id:
        return True, active_text(now)
    result = now.last_result
    if result is not None and result != before.last_result and not result.ok and result.bundle == before.active.id:
        return False, result_text(result, MAX_REASON)
    return None


def _pinned(on: bool, _before: ModelsPayload, now: ModelsPayload) -> Outcome | None:
    if now.pinned != on:
        return None
    return True, "keeps its bundle until somebody asks for another" if on else "takes newer bundles again"


def _is_requested(arguments: dict[str, str], bundle_id: str) -> bool:
    name, _, version = bundle_id.partition("@")
    return arguments.get("name", name) == name and arguments.get("version", version) == version


def _send_and_wait(options: argparse.Namespace, arguments: dict[str, Any], find_outcome: FindOutcome) -> int:
    """Send the command that belongs to the action, and wait for its outcome."""
    mqtt, node = broker_and_node(options.broker, options.node, options.config)
    command = f"models_{options.action}"
    with ModelsFollower(mqtt, node) as follower:
        try:
            before = follower.first(ANSWER_S)
            if follower.is_offline:
                return _failed(f"{follower.where} is offline")
            answer = send_request(mqtt, node, command, json.dumps(arguments).encode(), ANSWER_S)
            if not answer.ok or not options.wait:
                print(answer.to_json().decode() if options.json else answer_text(answer))
                return 0 if answer.ok else 1
            ok, message = _wait(follower, before, find_outcome, Display(silent=options.json))
        except NoAnswer as error:
            return _failed(f"{error}; perceptd models list shows what it published last")
        print(follower.raw.decode() if options.json else message)
    return 0 if ok else 1


def _wait(follower: ModelsFollower, before: ModelsPayload, find_outcome: FindOutcome, display: "Display") -> Outcome:
    now = before
    try:
        while (outcome := find_outcome(before, now)) is None:
            now = follower.following(SILENCE_S)
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
