"""Options that several commands share."""

import argparse
from pathlib import Path

# where commands about the node of this device look for its config, and commands that reach running nodes for an account
NODE_CONFIGS = "./config.yaml, else /etc/perceptd/config.yaml"
ACCOUNT_CONFIGS = "./config.yaml, else ~/.config/perceptd/config.yaml, else /etc/perceptd/config.yaml"

# how a command takes a bundle
BUNDLE = "a directory, or the name of a bundle made by `perceptd bundle get`"


def add_config(parser: argparse.ArgumentParser, default: str = NODE_CONFIGS) -> None:
    """Add `--config`, which is None where it is not given; `default` says which file the command takes then."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"default: {default}")


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Add `--camera`, `--camera-file` and `--microphone`."""
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        "--camera",
        metavar="DEVICE",
        help="let the config's first stream watch this camera: 0, /dev/video0, rtsp://..., a file. Every user of the "
        "machine can see it in the list of processes: give a URL with a password by --camera-file",
    )
    camera.add_argument(
        "--camera-file",
        metavar="FILE",
        help="the same, from the first line of a file; the environment variable PERCEPTD_CAMERA is a third way",
    )
    parser.add_argument(
        "--microphone", metavar="DEVICE", help="let it listen to this microphone: default, a name, a number, camera"
    )


def add_node(parser: argparse.ArgumentParser) -> None:
    """Add what a command needs to reach a running node: `--config`, `--broker`, `--node` and `--json`."""
    add_config(parser, ACCOUNT_CONFIGS)
    add_broker(parser)
    parser.add_argument("--node", metavar="NAME", help="the node to send to (default: the config's; + is not accepted)")
    add_json(parser)


def add_broker(parser: argparse.ArgumentParser) -> None:
    """Add `--broker`."""
    parser.add_argument(
        "--broker",
        metavar="HOST[:PORT]",
        help="use this MQTT broker instead of the config's; an IPv6 address with a port as [ADDRESS]:PORT",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
