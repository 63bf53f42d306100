"""The options of a setup: what each takes, and what it refuses with which message."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from daemon.core.errors import Refused
from daemon.setup.answers import MAX_PASSWORD_BYTES, Given, missing, with_given
from daemon.setup.choices import Choices

BEFORE = Choices("hall", "door", "rtsp://cam/x", "camera", ("a", "b"), 8884, True, "/ca.pem", "me", None, "/b")


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        (Given(), {}),
        (Given(node="porch", stream="yard"), {"node": "porch", "stream": "yard"}),
        (Given(camera="2"), {"camera": 2}),
        (Given(camera="/dev/v4l/by-id/x"), {"camera": "/dev/v4l/by-id/x"}),
        (Given(camera="RTSP://cam/y"), {"camera": "rtsp://cam/y"}),
        (Given(camera="stream:yard"), {"camera": "stream:yard"}),
        (Given(camera="none"), {"camera": None}),
        (Given(camera="rtsp://u:p@cam/y", camera_option="--camera-file"), {"camera": "rtsp://u:p@cam/y"}),
        (Given(camera="film.mp4"), {"camera": str(Path("film.mp4").absolute())}),
        (Given(microphone="none"), {"microphone": None}),
        (Given(microphone="3"), {"microphone": 3}),
        (Given(microphone="pulse:x"), {"microphone": "pulse:x"}),
        # another broker is no longer the one with that certificate
        (Given(broker="c"), {"hosts": ("c",), "port": 1883, "tls": False, "ca_file": None}),
        (Given(broker="c:1", tls=""), {"hosts": ("c",), "port": 1, "tls": True, "ca_file": None}),
        (Given(broker="[::1]:1884"), {"hosts": ("::1",), "port": 1884, "tls": False, "ca_file": None}),
        (Given(broker="c", tls="/x.pem"), {"hosts": ("c",), "port": 8883, "tls": True, "ca_file": "/x.pem"}),
        (Given(tls="x.pem"), {"tls": True, "ca_file": str(Path("x.pem").absolute())}),
        (Given(username=""), {"username": None}),
        (Given(username="you", password="#x"), {"username": "you", "password": "#x"}),
        (Given(bundle="home"), {"bundle": "home"}),
        (Given(bundle="./mine"), {"bundle": str(Path("mine").absolute())}),
    ],
)
def test_an_option_changes_what_it_is_about_and_nothing_else(given: Given, changes: dict[str, object]) -> None:
    assert with_given(BEFORE, given) == replace(BEFORE, **changes)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Given(node="my hall"), "--node: expected 1 to 64 characters without spaces"),
        (Given(stream="command"), "--stream: expected another name"),
        (Given(camera="rtsp://u:p@cam/x"), "--camera: every user of this machine can see the password"),
        (Given(camera="rtsp://u@cam/x"), "--camera: every user of this machine can see the password"),
        (Given(camera="ftp://x"), "--camera: expected a URL of rtsp"),
        (Given(camera=""), "--camera: expected a number, a path or a URL"),
        (Given(camera="rtsp://u:p#1@cam/x", camera_option="--camera-file"), "--camera-file: expected / ? # @ in"),
        (Given(microphone=""), "--microphone: expected a name"),
        (Given(broker="mqtt://c"), "--broker: "),
        (Given(broker="c:0"), "--broker: expected HOST, HOST:PORT"),
        (Given(broker="me@c"), "--broker: expected only the name or address"),
        (Given(password=""), "--password-file: expected a password of one line"),
        (Given(password="x" * (MAX_PASSWORD_BYTES + 1)), "--password-file: expected a password of one line"),
        (Given(bundle=""), "--bundle: expected the name of a bundle"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_by_its_name(given: Given, message: str) -> None:
    with pytest.raises(Refused) as refusal:
        with_given(BEFORE, given)
    assert str(refusal.value).startswith(message)
    assert "p#1" not in str(refusal.value)


def test_what_is_missing_is_named() -> None:
    assert missing(BEFORE) == []
    assert missing(Choices("hall", microphone=1)) == []
    assert missing(Choices("hall", password="x", username="me"))[0].startswith("--camera DEVICE, --camera-file FILE")
    assert missing(Choices("hall", camera=1, password="x"))[0].startswith("--username NAME")


def test_no_secret_is_in_the_text_of_a_record() -> None:
    secret = "hunter2"
    assert secret not in repr(Given(camera=f"rtsp://a:{secret}@c", password=secret))
    assert secret not in repr(Choices("n", camera=f"rtsp://a:{secret}@c", password=secret))
    assert {field.name for field in fields(Choices) if not field.repr} == {"camera", "password"}
