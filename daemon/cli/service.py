"""The part of an installation that needs the program: looks for a broker, and removes the retained messages of a node.

scripts/install and the scripts of the Debian package call it.

`python -m daemon.cli.service broker|withdraw CONFIG`. It runs as the user of the service, whose files it reads.
"""

import argparse
import socket
import sys
from pathlib import Path

from daemon.config.mqtt import host_and_port
from daemon.config.node import Config, load_config, state_directory
from daemon.core.errors import EXIT_REFUSED, Refused
from daemon.core.files import read_own
from daemon.mqtt.home_assistant.ledger import FILE_NAME, MAX_BYTES
from daemon.mqtt.removal import remove_retained, retained_topics

# a broker in the same network answers within milliseconds
CONNECT_S = 3.0

# for all retained messages of a node of 64 streams, at a slow broker
REMOVE_S = 30.0

LOCAL = ("127.0.0.1", "::1", "localhost")


def main(arguments: list[str], remove_s: float = REMOVE_S) -> int:
    """Execute one action; return the exit code: 1 when no broker answers, or retained messages remain."""
    parser = argparse.ArgumentParser(prog="python -m daemon.cli.service")
    parser.add_argument("action", choices=("broker", "withdraw"))
    parser.add_argument("config", type=Path)
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config).document
        problem = _broker_problem(config, options.config) if options.action == "broker" else _withdraw(config, remove_s)
    except Refused as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED
    if problem is not None:
        print(problem, file=sys.stderr)
    return 0 if problem is None else 1


def _broker_problem(config: Config, path: Path) -> str | None:
    """Return that no broker answers at any address of the config, and how to get one; None if one does."""
    mqtt = config.mqtt
    causes = []
    for host in mqtt.hosts:
        try:
            socket.create_connection((host, mqtt.port), CONNECT_S).close()
        except OSError as error:
            causes.append(f"{host_and_port(host, mqtt.port)}: {error.strerror or error}")
        else:
            return None
    here = "install one on this device: apt-get install mosquitto; or " if set(mqtt.hosts) <= set(LOCAL) else ""
    return (
        f"no MQTT broker answers at {'; '.join(causes)}. Nothing is published without one: {here}"
        f"correct mqtt.host in {path}. docs/getting-started.md tells how to set up a broker with a login"
    )


def _withdraw(config: Config, remove_s: float) -> str | None:
    """Remove what the broker retains of the node; return what remains and why, or None for nothing."""
    mqtt, node = config.mqtt, config.node
    try:
        announced = read_own(state_directory(config) / FILE_NAME, MAX_BYTES)
    except OSError:
        announced = b""
    topics = retained_topics(node, config.streams, mqtt.home_assistant.prefix, announced)
    removal = remove_retained(mqtt, node, topics, remove_s)
    if not removal.remaining:
        print(f"removed what the MQTT broker at {mqtt.addresses} retained of node {node}")
        return None
    heading = f"The broker may retain messages of node {node}. Remove each by: mosquitto_pub -r -n -h BROKER -t TOPIC"
    return "\n".join([*removal.reasons, heading, *(f"  {topic}" for topic in removal.remaining)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
