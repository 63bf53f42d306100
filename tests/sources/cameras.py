"""What the tests run in place of the camera's program."""

import json
import os
import time
from typing import NoReturn

from daemon.runtime.child_main import Failed, RecordSender
from daemon.sources.capture.camera import send_pictures
from tests.fakes.capture import FakeCapture, now_ms


def changing(address: str, settings: str) -> None:
    """Three pictures, the second of another size, a damaged one between; then the end."""
    assert json.loads(settings) == {"device": "/dev/null", "width": None, "height": None, "fps": None}
    sizes = [(64, 48), None, (1280, 960), (64, 48)]
    outlet = RecordSender(address)

    def send_at_leisure(*parts: bytes) -> None:
        outlet.send(*parts)
        time.sleep(0.2)  # as a camera does, it leaves time to make room

    send_pictures(FakeCapture(sizes, began_ms=now_ms() - 400), send_at_leisure, None)


def endless(address: str, settings: str) -> None:
    """Pictures as fast as they can be made."""
    send_pictures(FakeCapture([(64, 48)] * 10_000_000), RecordSender(address).send, None)


def silent(address: str, settings: str) -> NoReturn:
    """Opens, and then hangs."""
    RecordSender(address)
    while True:
        time.sleep(60)


def dying(address: str, settings: str) -> None:
    RecordSender(address)
    os.abort()


def raving(address: str, settings: str) -> NoReturn:
    RecordSender(address).send(b"no picture")
    raise Failed("the end")
