"""What child processes of the local socket run in tests."""

import json
import os
import time

from daemon.runtime.child_main import Failed


def echo_text(options: str, descriptor: str) -> None:
    """Print one problem: the text of the descriptor."""
    with os.fdopen(int(descriptor), "rb") as file:
        print(json.dumps([{"line": 1, "text": file.read().decode(), "options": json.loads(options)["path"]}]))


def report(config: str) -> None:
    """Print a report that names the config."""
    print(json.dumps({"config": config}))


def hang(_config: str) -> None:
    """Never end."""
    time.sleep(3600)


def fail(_config: str) -> None:
    """Fail with a reason."""
    raise Failed("no such camera")


def print_nonsense(_config: str) -> None:
    """Print what is no JSON."""
    print("nonsense")
