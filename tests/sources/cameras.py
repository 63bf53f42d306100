"""Functions that tests run in a child process in place of the camera's program."""

import json
import os
import time
from typing import NoReturn

from daemon.runtime.child_main import Failed, RecordSender
from daemon.sources.capture.camera import send_pictures
from tests.fakes.capture import PERIOD_MS, FakeCapture, now_ms


def changing(address: str, settings: str) -> None:
    """Send three pictures, the second of another size, with a damaged one between. Then end."""
    assert json.loads(settings) == {"device": "/dev/null", "width": None, "height": None, "fps": None}
    sizes = [(64, 48), None, (1280, 960), (64, 48)]
    outlet = RecordSender(address)

    def send_slowly(*parts: bytes) -> None:
        outlet.send(*parts)
        time.sleep(0.2)  # the daemon needs time to read, as it has with a real camera

    send_pictures(FakeCapture(sizes, began_ms=now_ms() - 400), send_slowly, None)


def filming(address: str, settings: str) -> None:
    """Send ten pictures a second for three seconds. Then end."""
    outlet = RecordSender(address)

    def send_in_time(*parts: bytes) -> None:
        outlet.send(*parts)
        time.sleep(PERIOD_MS / 1000)

    send_pictures(FakeCapture([(320, 240)] * 30, began_ms=now_ms()), send_in_time, None)


def endless(address: str, settings: str) -> None:
    """Send pictures as fast as possible."""
    send_pictures(FakeCapture([(64, 48)] * 10_000_000), RecordSender(address).send, None)


def silent(address: str, settings: str) -> NoReturn:
    """Start, and then hang."""
    RecordSender(address)
    while True:
        time.sleep(60)


def dying(address: str, settings: str) -> None:
    RecordSender(address)
    os.abort()


def sending_garbage(address: str, settings: str) -> NoReturn:
    RecordSender(address).send(b"no picture")
    raise Failed("the end")
