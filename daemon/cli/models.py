"""`perceptd models`: shows the bundles of a running node, and asks it for others."""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from daemon.cli.broker import ANSWER_S, answer_text
from daemon.cli.render import active_text, check_text, listing, progress_text, result_text, stage_text
from daemon.config.node import broker_and_node
from daemon.core.status_line import StatusLine
from daemon.mqtt.requests import ModelsFollower, NoAnswer, send_request
from daemon.mqtt.update_payloads import MAX_REASON, ModelsPayload

NEWS_S = 30.0
"""A node that runs tells its health every 10 s: one that says nothing for so long is not there any more."""

End = tuple[bool, str]
"""Whether what was asked for has come about, and in words."""

Judge = Callable[[ModelsPayload, ModelsPayload], End | None]
"""What has come of it, from what the node said before it was asked and says now; None: nothing yet."""


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
    """Show what the node says of its bundles; 1 when it says nothing."""
    mqtt, node = broker_and_node(options.broker, options.node, options.config)
    with ModelsFollower(mqtt, node) as follower:
        try:
            payload = follower.first(ANSWER_S)
        except NoAnswer as error:
            return _failed(str(error))
        print(follower.raw.decode() if options.json else "\n".join(listing(payload)))
        if follower.is_offline:
            print(f"{follower.where} is offline: this is what it said last", file=sys.stderr)
    return 0


def _check(options: argparse.Namespace) -> int:
    """Have it look at its source; 0 when that could be looked at."""
    return _ask(options, {}, looked)


def _install(options: argparse.Namespace) -> int:
    """Have it install a bundle; 0 when that runs."""
    arguments = requested(options.name, options.version)
    return _ask(options, arguments, partial(installed, arguments))


def requested(name: str | None, version: str | None) -> dict[str, str]:
    """The order for what is named on the command line, where a version may stand alone: no name has a point in it.

    NAME@VERSION, as bundles are told of, is taken too.
    """
    if name is not None and "@" in name and version is None:
        name, _, version = name.partition("@")
    if name is not None and "." in name and version is None:
        name, version = None, name
    return {key: value for key, value in (("name", name), ("version", version)) if value is not None}


def _rollback(options: argparse.Namespace) -> int:
    """Have it go back to the bundle before; 0 when that runs."""
    return _ask(options, {}, gone_back)


def _pin(options: argparse.Namespace) -> int:
    """Have it keep its bundle, or not any more; 0 when it does."""
    on = not options.off
    return _ask(options, {"on": on}, partial(_pinned, on))


def _pinned(on: bool, _before: ModelsPayload, now: ModelsPayload) -> End | None:
    if now.pinned != on:
        return None
    return True, "keeps its bundle until somebody asks for another" if on else "takes newer bundles again"


def looked(before: ModelsPayload, now: ModelsPayload) -> End | None:
    """What has come of an order to look at the source."""
    if now.last_check is None or now.last_check == before.last_check:
        return None
    return now.last_check.ok, f"check: {check_text(now)}; {active_text(now)}"


def installed(arguments: dict[str, str], before: ModelsPayload, now: ModelsPayload) -> End | None:
    """What has come of an order to install: it is over when the bundle runs, before its probation is.

    Another bundle's probation may end meanwhile, so only what is of the one that was named counts.
    """
    result = now.last_result
    if result is not None and result != before.last_result and _is_named(arguments, result.bundle):
        return result.ok, result_text(result, MAX_REASON)
    if now.active.id != before.active.id and _is_named(arguments, now.active.id):
        return True, f"{active_text(now)}; it is on probation: if it does worse, the one before comes back"
    return None


def _is_named(arguments: dict[str, str], bundle_id: str) -> bool:
    name, _, version = bundle_id.partition("@")
    return arguments.get("name", name) == name and arguments.get("version", version) == version


def gone_back(before: ModelsPayload, now: ModelsPayload) -> End | None:
    """What has come of an order to go back; that the bundle to be left was confirmed meanwhile is nothing of it."""
    if now.active.id != before.active.id:
        return True, active_text(now)
    result = now.last_result
    if result is not None and result != before.last_result and not result.ok and result.bundle == before.active.id:
        return False, result_text(result, MAX_REASON)
    return None


def _ask(options: argparse.Namespace, arguments: dict[str, Any], judge: Judge) -> int:
    """Send the command that is called as the function is, and wait for what comes of it."""
    mqtt, node = broker_and_node(options.broker, options.node, options.config)
    command = f"models_{options.action}"
    with ModelsFollower(mqtt, node) as follower:
        try:
            before = follower.first(ANSWER_S)
            if follower.is_offline:
                return _failed(f"{follower.where} is offline")
            answer = send_request(mqtt, node, command, json.dumps(arguments).encode(), ANSWER_S)
            if answer is None:
                return _failed(f"{command}: no answer from {follower.where} in {ANSWER_S:g} s")
            if not answer.ok or not options.wait:
                print(answer.to_json().decode() if options.json else answer_text(answer))
                return 0 if answer.ok else 1
            ok, text = _end(follower, before, judge, Display(silent=options.json))
        except NoAnswer as error:
            return _failed(f"{error}; perceptd models list tells what it said last")
        print(follower.raw.decode() if options.json else text)
    return 0 if ok else 1


def _end(follower: ModelsFollower, before: ModelsPayload, judge: Judge, display: "Display") -> End:
    now = before
    try:
        while (end := judge(before, now)) is None:
            now = follower.following(NEWS_S)
            display.show(now)
        return end
    finally:
        display.close()


def _failed(why: str) -> int:
    print(why, file=sys.stderr)
    return 1


class Display:
    """Shows the progress of an installation: on a terminal on one line that is rewritten, else one line per stage."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._line = StatusLine(sys.stdout)
        self._shown = ""

    def show(self, payload: ModelsPayload) -> None:
        """Show how far the bundle is that is being installed, if there is one."""
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
        """Begin a new line after the one that was rewritten."""
        self._line.finish()
