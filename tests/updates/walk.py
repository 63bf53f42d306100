"""Functions that the child processes of test_steps.py run."""

import json
import os
import signal
import time
from collections.abc import Callable


def answers(request: str) -> None:
    given, result = json.loads(request), {}
    if "progress" in given:
        os.pwrite(given["progress"], (7).to_bytes(8, "little"), 0)
        result = {"fetched": 7, "reused": 0}
    print(json.dumps({"ok": True, "result": result}))


def refuses(request: str) -> None:
    print(json.dumps({"ok": False, "kind": "trust", "reason": "signed by a stranger"}))


def crashes(request: str) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def raves(request: str) -> None:
    print('{"ok": true, "result": ')


def hangs(request: str) -> None:
    time.sleep(3600)


def not_importable() -> Callable[[str], None]:
    def inner(request: str) -> None: ...

    return inner
