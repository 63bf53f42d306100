"""`perceptd run`: a node, until it is stopped."""

import argparse
import faulthandler
import gc
import json
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from daemon.cli.signals import handle_interrupt, handle_signals
from daemon.config.command_line import ConfigOptions
from daemon.config.node import Config
from daemon.config.places import find_config, node_configs
from daemon.config.problems import problems_by_line
from daemon.core.document import Loaded
from daemon.core.errors import EXIT_DAMAGED, DocumentError, PerceptdError, Refused, shortage_behind
from daemon.core.logs import RememberedLog, set_level, start_logging
from daemon.doctor.report import print_report
from daemon.node.local_host import LocalHost
from daemon.node.local_socket import LocalSocket
from daemon.node.node import Node
from daemon.node.reload import Reload, reload_remarks
from daemon.node.starting import check_start, find_startup
from daemon.node.stop_request import StopRequest
from daemon.node.systemd import Notifier
from daemon.node.wiring import build
from daemon.runtime.child_main import Failed, give_way
from daemon.runtime.memory import share_arenas
from daemon.runtime.thread_loop import survive
from daemon.updates.startup import Startup

log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> NoReturn:
    """Run the node until SIGTERM or Ctrl-C, or until its recordings end; then end the process.

    The exit code is EXIT_DAMAGED if a recording is damaged. Raises Refused.
    """
    share_arenas()
    stop = StopRequest()
    handle_signals(stop.stop, stop.ask_reload)
    handle_interrupt(stop.stop)
    config = options.config or find_config(node_configs()[:1])
    choice = ConfigOptions(
        str(config), options.camera, options.camera_file, options.microphone, options.broker, options.bundle
    )
    remembered = start_logging("info")
    notifier = Notifier.from_environment()
    try:
        with LocalSocket.from_environment() as local_socket:
            code = _run(choice, stop, notifier, _local_host(choice, local_socket, remembered))
    except Refused as error:
        # systemd shows the last status of a service that has failed
        notifier.send(STATUS=" ".join(str(error).split()))
        raise
    # All is closed. The interpreter would take itself apart, which takes seconds on a busy machine. Meanwhile no thread
    # must run on, such as one that opens a network camera.
    logging.shutdown()
    os._exit(code)


def _local_host(choice: ConfigOptions, local_socket: LocalSocket, remembered: RememberedLog) -> LocalHost:
    return LocalHost(local_socket, remembered, choice, check=print_problems, doctor=print_report)


def _run(choice: ConfigOptions, stop: StopRequest, notifier: Notifier, local_host: LocalHost) -> int:
    config = choice.load()
    set_level(config.document.log_level)
    for remark in choice.remarks():
        log.warning("%s", remark)
    faulthandler.register(signal.SIGUSR1)
    # the service manager's watchdog ends us by SIGABRT; every thread then reports where it was
    faulthandler.enable()
    notifier.send(STATUS="loading the bundle")
    with Reload(check_reload, choice.to_json()) as reload:
        nodes = Nodes(choice, stop, reload, notifier, config, find_startup(config.document), local_host=local_host)
        while survive("the node", nodes.run_next):
            pass
    return EXIT_DAMAGED if nodes.has_failed else 0


def check_reload(options: str) -> None:
    """In a child process: check that a node can start. Raises Failed.

    `options` is ConfigOptions as JSON.
    """
    give_way()
    try:
        check_start(ConfigOptions.from_json(options).load())
    except (Refused, OSError) as error:
        raise Failed(str(error)) from error


def print_problems(options: str, descriptor: str) -> None:
    """In a child process: print as JSON what a start would find wrong with another text of the config.

    `options` is ConfigOptions as JSON; the descriptor has the text.
    """
    give_way()
    choice = ConfigOptions.from_json(options)
    with os.fdopen(int(descriptor), "rb") as file:
        text = file.read()
    problems: list[str] = []
    try:
        check_start(choice.load(text=text))
    except DocumentError as error:
        problems = error.problems
    except (Refused, OSError) as error:
        problems = [str(error)]
    print(json.dumps(problems_by_line(Path(choice.path), problems)))


@dataclass
class Nodes:
    """Runs one node after the other, in one process. `has_failed`: the latest ended because a recording is damaged."""

    choice: ConfigOptions
    stop: StopRequest
    reload: Reload
    notifier: Notifier
    config: Loaded[Config]
    startup: Startup | None
    has_failed: bool = False
    local_host: LocalHost | None = None

    def run_next(self) -> bool:
        """Build a node and run it until it stops. Return whether another one must run next.

        Raises Refused when the config cannot be used, and OSError when the node cannot be started now.
        """
        node = self.next()
        if node is None:
            return False
        restarts = node.run(self.notifier, self.reload)
        self.has_failed = node.has_failed
        return restarts

    def next(self) -> Node | None:
        """Return the node that follows one that has run; None when the process is to end meanwhile.

        Raises Refused when the config cannot be used, and OSError where the system lacks descriptors for a moment.
        """
        if self.stop.is_final:
            return None
        gc.collect()  # the parts of the node before refer to each other: its models would stay in memory
        try:
            return self._reloaded() if self.stop.ended_by == "reload" else self._same()
        except Refused as error:
            if (shortage := shortage_behind(error)) is not None:
                raise shortage from None
            raise

    def _same(self) -> Node:
        """Return a node with the present config. Raises Refused when it cannot be used."""
        return build(self.config, self.startup, self.stop, self.local_host)

    def _reloaded(self) -> Node:
        """Return a node with the config as it is on disk now, or with the present one if that cannot be used.

        The config was good a moment ago, but it may have changed since. Raises Refused when neither can be used.
        """
        try:
            config = self.choice.load()
            startup = find_startup(config.document, counts=False)
            node = build(config, startup, self.stop, self.local_host)
        except (PerceptdError, OSError, MemoryError) as error:
            if shortage_behind(error) is not None:
                raise
            self.reload.refuse(str(error) or type(error).__name__)
            self.startup = find_startup(self.config.document, counts=False)
            return self._same()
        for remark in reload_remarks(self.config.document, config.document):
            log.warning("%s", remark)
        set_level(config.document.log_level)
        self.config, self.startup = config, startup
        return node
