"""What the local sockets of all nodes of one process share: it outlives each of them."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.config.command_line import ConfigOptions
from daemon.core.logs import RememberedLog
from daemon.node.local_socket import LocalSocket


@dataclass(frozen=True, slots=True)
class LocalHost:
    """The socket, the log, the config as it was given, and what runs in child processes.

    `check` prints the problems of a config as JSON; it gets the options, and the descriptor with the text. `doctor`
    prints its report as JSON; it gets the path of the config.
    """

    socket: LocalSocket
    log: RememberedLog
    options: ConfigOptions
    check: Callable[[str, str], None]
    doctor: Callable[[str], None]
