"""mosquitto with the files that are shipped for compose.yaml, as a program of this machine."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.helpers.mosquitto import wait_until

SHIPPED = Path(__file__).resolve().parents[2] / "scripts/packages/container/mosquitto"
ACCOUNTS = {"demo": "secret of the node", "operator": "secret of a person"}
# the user of the image
USER = 900


class ShippedBroker:
    """The broker at an address, with its files in a directory."""

    def __init__(self, directory: Path, port: int, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, port
        self._directory = directory / "mosquitto"
        shutil.copytree(SHIPPED, self._directory)
        write_passwords(self._directory / "perceptd.passwords")
        config = self._directory / "mosquitto.conf"
        text = config.read_text().replace("/mosquitto/config", str(self._directory))
        text = text.replace("/mosquitto/data", str(self._directory)).replace("listener 1883", f"listener {port} {host}")
        config.write_text(f"{text}user root\n")

    @contextmanager
    def running(self) -> Iterator["ShippedBroker"]:
        with subprocess.Popen(
            ["mosquitto", "-c", self._directory / "mosquitto.conf"], stderr=subprocess.DEVNULL
        ) as process:
            try:
                wait_until(self._listens, "mosquitto listens")
                yield self
            finally:
                process.kill()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    def messages(self, topic: str, count: int) -> list[str]:
        """Wait for so many messages, read with the account of a person."""
        return messages(self.host, self.port, topic, count)

    def configure(self, volume: Path, **more: object) -> None:
        """Write the login into the config of a volume, as docs/container.md says."""
        configure(volume, self.host, self.port, **more)


def write_passwords(file: Path) -> None:
    """Write the file of passwords for ACCOUNTS."""
    file.touch()
    for account in ACCOUNTS.items():
        subprocess.run(["mosquitto_passwd", "-b", file, *account], check=True, capture_output=True)


def messages(host: str, port: int, topic: str, count: int) -> list[str]:
    """Wait for so many messages at a broker, read with the account of a person."""
    login = ["-u", "operator", "-P", ACCOUNTS["operator"]]
    command = ["mosquitto_sub", "-h", host, "-p", str(port), *login, "-t", topic, "-C", str(count), "-W", "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, f"{topic}: {done.stderr}"
    return done.stdout.splitlines()


def configure(volume: Path, host: str, port: int, **more: object) -> None:
    """Write a login into the config of a volume, as docs/container.md says."""
    config = volume / "config/config.yaml"
    content = yaml.safe_load(config.read_text())
    content["mqtt"] |= {"host": host, "port": port, "username": "demo", "password_file": "mqtt-password"}
    config.write_text(yaml.safe_dump(content | more))
    password = volume / "config/mqtt-password"
    password.write_text(ACCOUNTS["demo"])
    password.chmod(0o600)
    os.chown(password, USER, USER)
