"""Commands: whatever comes, there is an answer or a count, and the answer goes nowhere it must not."""

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.mqtt import Command, MqttConfig
from daemon.mqtt.client import Inbound
from daemon.mqtt.commands import (
    ARGUMENTS,
    AnswerPayload,
    InstallArguments,
    InvalidCommand,
    Request,
    StreamArguments,
    answer_topic,
    parse_arguments,
)
from daemon.mqtt.session import Session

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
ORDER = st.fixed_dictionaries({}, optional={"stream": ANYTHING, "level": ANYTHING, "text": ANYTHING})
PAYLOADS = st.binary(max_size=6000) | (ANYTHING | ORDER).map(lambda value: json.dumps(value).encode())


@pytest.mark.parametrize("payload", [b"", b"  ", b"{}", b'{"stream": null}'])
def test_no_stream_named_means_all(payload: bytes) -> None:
    assert parse_arguments(Request("pause", payload)) == StreamArguments(stream=None)


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        ("reboot", b"", "unknown command"),
        ("pause", b'{"stream": 7}', "stream: Input should be a valid string"),
        ("pause", b'{"steam": "front"}', "steam: Extra inputs"),
        ("pause", b"[]", "should be an object"),
        ("pause", b"\xff", "JSON"),
        ("log_level", b"", "level: Field required"),
        ("log_level", b'{"level": "loud"}', "level: Input should be 'debug'"),
        ("describe", b'{"secret": true}', "Extra inputs"),
        ("pause", b" " * 4097, "4097 bytes"),
        ("models_check", b'{"source": "https://x"}', "source: Extra inputs"),
        ("models_install", b'{"name": "../digits"}', "name: String should match pattern"),
        ("models_install", b'{"version": "latest"}', "version: String should match pattern"),
        ("models_install", b'{"version": "0.5.0/../.."}', "version: String should match pattern"),
        ("models_install", b'{"url": "https://x"}', "url: Extra inputs"),
        ("models_pin", b"", "on: Field required"),
        ("models_pin", b'{"on": "yes"}', "on: Input should be a valid boolean"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_with_a_reason(name: str, payload: bytes, words: str) -> None:
    with pytest.raises(InvalidCommand, match=words):
        parse_arguments(Request(name, payload))


@pytest.mark.parametrize(
    ("payload", "order"),
    [
        (b"", InstallArguments()),
        (b'{"version": "0.5.0"}', InstallArguments(version="0.5.0")),
        (b'{"name": "digits", "version": null}', InstallArguments(name="digits")),
    ],
)
def test_what_to_install_may_be_left_open(payload: bytes, order: InstallArguments) -> None:
    assert parse_arguments(Request("models_install", payload)) == order


def test_every_command_can_be_forbidden() -> None:
    assert list(get_args(Command)) == list(ARGUMENTS)


@pytest.mark.parametrize(
    ("wanted", "used"),
    [
        ("replies/17", True),
        ("perceptd-send/abc", True),
        (None, False),
        ("", False),
        ("replies/#", False),
        ("+/x", False),
        ("perceptd/node/availability", False),
        ("homeassistant/device/x/config", False),
        ("ha/device/x/config", False),
        ("$SYS/broker", False),
        ("x" * 257, False),
        ("a\0b", False),
    ],
)
def test_an_answer_goes_only_where_anybody_may_write(wanted: str | None, used: bool) -> None:
    topic = answer_topic(Request("pause", b"", wanted), "perceptd/node/", ("perceptd", "homeassistant", "ha"))
    assert topic == (wanted if used else "perceptd/node/command/pause/result")


class Handed:
    """A session without a broker that is given messages as its link would."""

    def __init__(self, state: Path) -> None:
        self.asked = 0
        self.session = Session(MqttConfig(), "node", state, on_text=self._text, on_command=self._obey)

    def _text(self, _stream: str, _payload: bytes, _retained: bool) -> None:
        self.asked += 1

    def _obey(self, request: Request) -> AnswerPayload:
        self.asked += 1
        try:
            parse_arguments(request)
        except InvalidCommand as error:
            return _answer(request.name, ok=False, reason=str(error))
        return _answer(request.name, ok=True)


def _answer(name: str, *, ok: bool, reason: str | None = None) -> AnswerPayload:
    return AnswerPayload(command=name[:64], ok=ok, reason=reason, time="2026-01-31T12:00:04.300110Z")


@given(
    st.sampled_from([*ARGUMENTS, "x", "", "text"]) | st.text(max_size=300),
    PAYLOADS,
    st.booleans(),
    st.none() | st.text(max_size=300),
    st.none() | st.binary(max_size=2000),
)
def test_every_command_is_answered_or_counted(
    tmp_path_factory, name: str, payload: bytes, retained: bool, response: str | None, correlation: bytes | None
) -> None:
    handed = Handed(tmp_path_factory.getbasetemp())
    handed.session._on_received(Inbound(f"perceptd/node/command/{name}", payload, retained, response, correlation))
    answers = len(handed.session._send_queue) - 1  # "online" waits too
    assert answers + sum(handed.session.counters.dropped.values()) == 1
    assert answers == (0 if retained else 1)


@given(st.text(max_size=80), PAYLOADS, st.booleans())
def test_every_other_message_reaches_its_taker(tmp_path_factory, stream: str, payload: bytes, retained: bool) -> None:
    handed = Handed(tmp_path_factory.getbasetemp())
    handed.session._on_received(Inbound(f"perceptd/node/{stream}/text", payload, retained))
    is_command = stream.split("/")[0] == "command"
    assert handed.asked + sum(handed.session.counters.dropped.values()) == 1
    assert len(handed.session._send_queue) == 1 + (is_command and not retained)
