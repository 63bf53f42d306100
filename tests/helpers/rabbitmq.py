"""A cluster of three RabbitMQ nodes, which speaks MQTT 5 and 3.1.1, from a Debian system in a directory."""

import os
import secrets
import subprocess
from pathlib import Path

from tests.docs.pages import block
from tests.helpers.broker_cluster import ADDRESSES, BrokerCluster, replaced
from tests.helpers.ports import free_port

# names the root directory of a Debian 13 system with rabbitmq-server; docs/contributing.md says how to make it
CHROOT_VARIABLE = "PERCEPTD_RABBITMQ_CHROOT"

ON_THE_PAGE = block("fleet.md", "# /etc/rabbitmq/rabbitmq.conf")
MORE = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
anonymous_login_user = guest
anonymous_login_pass = guest
log.console = true
log.console.level = info
"""


class RabbitCluster(BrokerCluster):
    """Runs with the lines of docs/fleet.md. Retained messages are only on the node that received them. Needs root."""

    def __init__(self, root: Path) -> None:
        """`root` is the root directory of the Debian system. Data goes into its /tmp."""
        super().__init__(root / "tmp")
        self._root = root
        self._inside = Path("/") / self.directory.relative_to(root)
        self._epmd_port = free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        self._distribution = [free_port() for _ in ADDRESSES]
        (self.directory / "plugins").write_text("[rabbitmq_mqtt].\n")
        cookie = self.directory / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(10).upper())
        cookie.chmod(0o400)
        for number, address in enumerate(ADDRESSES, 1):
            replacements = {"0.0.0.0:1883": f"{address}:{self.port}"}
            replacements |= {f"rabbit@b{n}": f"r{n}@localhost" for n in (1, 2, 3)}
            config = replaced(ON_THE_PAGE, replacements) + MORE.format(amqp=free_port())
            (self.directory / f"r{number}.conf").write_text(config)

    def __enter__(self) -> "BrokerCluster":
        # the nodes would start a daemon that outlives them
        command = ["chroot", str(self._root), "epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        self._epmd = subprocess.Popen(command)
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()

    def command(self, number: int) -> list[str]:
        return ["chroot", str(self._root), "/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def environment(self, number: int) -> dict[str, str]:
        inside = self._inside
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(inside),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": f"r{number}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution[number - 1]),
            "RABBITMQ_MNESIA_BASE": str(inside / "data"),
            "RABBITMQ_LOG_BASE": str(inside / "logs"),
            "RABBITMQ_CONFIG_FILE": str(inside / f"r{number}.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(inside / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
        }
