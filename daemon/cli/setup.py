"""`perceptd setup`: puts a setup together, and runs it for a person or for a script."""

import argparse
import grp
import json
import logging
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from daemon.cli.ownership import give_to_caller
from daemon.cli.setup_terminal import Console, Log
from daemon.config.bundle_places import SERVICE_BUNDLES, own_bundles
from daemon.config.places import SERVICE_CONFIG, account_configs
from daemon.core.errors import Refused
from daemon.core.secret_files import read_secret
from daemon.doctor.service_user import USER, find_service
from daemon.setup.answers import Given, missing, with_given
from daemon.setup.asking import Terminal
from daemon.setup.choices import Choices, choices_of
from daemon.setup.commands import Children
from daemon.setup.finish import Finish, ServiceState
from daemon.setup.flow import Outcome, Ports, Setup, Stopped
from daemon.setup.interrupts import interrupts
from daemon.setup.plan import Before, read_before
from daemon.setup.questions import Questions, fresh_choices
from daemon.setup.search import Search
from daemon.setup.service import Pause, Systemd
from daemon.setup.written import Place, alone, check_writable
from daemon.web.passwords import password_problem

EXIT_INTERRUPTED = 130

# --yes downloads nothing that nobody asked for
BUNDLE_UNASKED = "digits"

NO_TERMINAL = """setup asks its questions in a terminal, and there is none. Give the answers as options, for example:
  perceptd setup --yes --camera-file FILE --microphone camera --broker HOST --username NAME --password-file FILE
perceptd setup --help tells all of them"""


def setup(options: argparse.Namespace) -> int:
    """Set up a node, as `run_setup` does. A shutdown, and a terminal that is closed, end it as Ctrl-C does."""
    interrupts.handle()
    return run_setup(options)


def run_setup(options: argparse.Namespace) -> int:
    """Set up a node; 0: it works, 1: it is written and does not work yet. Raises Refused: nothing was written."""
    asks = not options.yes
    if asks and (options.json or not sys.stdin.isatty() or not sys.stdout.isatty()):
        raise Refused("--json needs --yes" if options.json else NO_TERMINAL)
    given, page_password = given_answers(options), _page_password(options.page_password_file)
    place = place_of(options.config)
    check_writable(place)
    with alone(place):
        return _set_up(options, place, given, page_password)


def _set_up(options: argparse.Namespace, place: Place, given: Given, page_password: str | None) -> int:
    asks = not options.yes
    before = read_before(place.config)
    choices = first_choices(before, given, asks=asks)
    terminal = Console() if asks else Log(beside_json=options.json)
    finder = Search(network=True if options.network else None if asks else False)
    commands, systemd = Children(), Systemd()
    is_service = place.config.resolve() == SERVICE_CONFIG.resolve() and systemd.has_unit()
    finish = Finish(terminal, commands, systemd, place.config, is_service)
    bundles = own_bundles() if find_service() is None else SERVICE_BUNDLES
    from_dir = None if options.from_dir is None else options.from_dir.absolute()
    config = None if before is None else before.config
    questions = Questions(terminal, finder, given, config, downloads=from_dir is None) if asks else None
    pause = Pause(systemd, ran=is_service and systemd.is_active())
    ports = Ports(terminal, finder, commands, _stamp, give_to_caller, bundles, pause)
    course = Setup(ports, place, before, questions, from_dir)
    state: ServiceState = "left"
    # what goes wrong with a device is told once, as part of the course of the setup
    logging.disable(logging.CRITICAL)
    try:
        if asks:
            terminal.say(GREETING.format(config=place.config))
        outcome = course.run(choices)
        page_works = True
        if page_password is not None:
            page_works = finish.set_password(page_password)
        elif asks:
            finish.ask_password()
        starts = options.starts and (asks or outcome.works)
        state = finish.start(starts=starts, asks=asks, ran=pause.ran)
        pause.forget()
    except (KeyboardInterrupt, EOFError):
        _try_to_say(
            terminal, f"\nended: {f'{place.config} is written' if course.has_written else 'nothing was written'}"
        )
        return EXIT_INTERRUPTED
    except Stopped as error:
        terminal.say(str(error))
        return 1
    finally:
        course.remove_pictures()
        _bring_back(pause, terminal)
    link = finish.link() if state in ("recognises", "failed") else None
    if options.json:
        # escaped: texts of devices may have control characters of a terminal
        print(json.dumps(report(place, outcome, state, link), indent=2))
    else:
        finish.tell(state, link)
    return 0 if outcome.works and page_works and state != "failed" else 1


GREETING = """This sets up {config}. Each question has an answer in brackets: Enter takes it.
< goes back to the question before. Ctrl-C ends the setup; nothing is written before you agree to it.
"""


def given_answers(options: argparse.Namespace) -> Given:
    """Return the answers that the options give, with what their files say. Raises Refused."""
    from_file = _secret(options.camera_file, "--camera-file")
    return Given(
        node=options.node,
        stream=options.stream,
        camera=options.camera if from_file is None else from_file,
        camera_option="--camera" if from_file is None else "--camera-file",
        microphone=options.microphone,
        broker=options.broker,
        tls=options.tls,
        username=options.username,
        password=_secret(options.password_file, "--password-file"),
        bundle=options.bundle,
    )


def place_of(config: Path | None) -> Place:
    """Return where the config lies: the given one, that of the service for root, else one of this user.

    Raises Refused where this user probably wants to set up the installed service.
    """
    is_root = os.geteuid() == 0
    if config is None and not is_root and SERVICE_CONFIG.parent.is_dir():
        raise Refused(
            "perceptd is installed here as a service; set it up by: sudo perceptd setup\n"
            f"For a node of your own: perceptd setup --config {account_configs()[1]}"
        )
    path = (config or (SERVICE_CONFIG if is_root else account_configs()[1])).absolute()
    if not is_root or path.resolve() != SERVICE_CONFIG.resolve():
        return Place(path)
    try:
        return Place(path, grp.getgrnam(USER).gr_gid)
    except KeyError:
        return Place(path)


def first_choices(before: Before | None, given: Given, *, asks: bool) -> Choices:
    """Return the choices before any question: of the config, and of the options. Raises Refused."""
    fresh = fresh_choices(socket.gethostname(), "home" if asks else BUNDLE_UNASKED)
    config = None if before is None else before.config
    choices = with_given(fresh if config is None else choices_of(config, fresh, given.stream), given)
    if not asks and (needs := missing(choices)):
        raise Refused("\n".join(["--yes needs more than it was given:", *(f"  {need}" for need in needs)]))
    return choices


def report(place: Place, outcome: Outcome, state: ServiceState, link: str | None) -> dict[str, Any]:
    """Return what a setup has done, as JSON for scripts. It has no password but the link to the page."""
    picture = None
    if outcome.picture is not None:
        file, taken = outcome.picture
        picture = {"file": str(file), "width": taken.width, "height": taken.height, "brightness": taken.brightness}
    config = outcome.plan.config
    return {
        "config": str(place.config),
        "backups": [str(backup) for backup in outcome.backups],
        "lost_keys": outcome.plan.lost,
        "node": config.node,
        "stream": outcome.plan.choices.stream,
        "bundle": config.bundle,
        "works": outcome.works,
        "findings": [asdict(finding) for finding in outcome.findings],
        "picture": picture,
        "sound_dbfs": None if outcome.sound is None else outcome.sound.dbfs,
        "service": state,
        "page_link": link,
    }


def _bring_back(pause: Pause, terminal: Terminal) -> None:
    """Start the service again where setup has stopped it."""
    if pause.is_stopped:
        _try_to_say(terminal, "the service starts again ...")
    try:
        pause.end(partial(_try_to_say, terminal))
    except Refused as error:
        _try_to_say(terminal, f"the service is not running: {error}\nStart it: sudo systemctl start perceptd")


def _try_to_say(terminal: Terminal, text: str) -> None:
    """Print text, unless the terminal was closed."""
    with suppress(OSError):
        terminal.say(text)


def _secret(file: Path | None, option: str) -> str | None:
    return None if file is None else read_secret(file, option)


def _page_password(file: Path | None) -> str | None:
    password = _secret(file, "--page-password-file")
    if password is not None and (problem := password_problem(password)) is not None:
        raise Refused(f"--page-password-file {file}: {problem}")
    return password


def _stamp() -> str:
    return time.strftime("%Y%m%d-%H%M%S")
