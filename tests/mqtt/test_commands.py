"""Commands: each one is answered or counted, and no answer goes to a topic that is reserved."""

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.mqtt import Command, MqttConfig
from daemon.mqtt.broker.callbacks import Inbound
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


@pytest.mark.parametrize("payload", [b"{}", b" {}\n", b'{"stream": null}'])
def test_no_stream_named_means_all(payload: bytes) -> None:
    assert parse_arguments(Request("pause", payload)) == StreamArguments(stream=None)


@pytest.mark.parametrize(
    ("name", "payload", "reason"),
    [
        ("reboot", b"", "unknown command"),
        ("pause", b'{"stream": 7}', "stream: expected a valid string"),
        ("pause", b'{"steam": "front"}', "steam: unknown argument; expected: stream"),
        ("pause", b"[]", "the payload: expected an object"),
        ("pause", b"\xff", "the payload is no JSON: "),
        *((name, payload, "the payload is empty.*send {}") for name in ARGUMENTS for payload in (b"", b" \t\r\n ")),
        ("log_level", b"{}", "level: is missing"),
        ("log_level", b'{"level": "loud"}', "level: expected 'debug'"),
        ("describe", b'{"a\\nb": 1}', "a\N{REPLACEMENT CHARACTER}b: unknown argument; this command takes none"),
        ("describe", b'{"secret": true}', "secret: unknown argument; this command takes none"),
        ("pause", b"7" * 4097, "4097 bytes"),
        ("models_check", b'{"source": "https://x"}', "source: unknown argument; this command takes none"),
        ("models_install", b'{"name": "../digits"}', "name: expected a name of small letters, digits, _ and -"),
        ("models_install", b'{"version": "latest"}', "version: expected a version like 0.5.0"),
        ("models_install", b'{"version": "0.5.0/../.."}', "version: expected a version like 0.5.0"),
        ("models_install", b'{"url": "https://x"}', "url: unknown argument; expected: name, version"),
        ("models_pin", b"{}", "on: is missing"),
        ("models_pin", b'{"on": "yes"}', "on: expected a valid boolean"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_with_a_reason(name: str, payload: bytes, reason: str) -> None:
    with pytest.raises(InvalidCommand, match=reason):
        parse_arguments(Request(name, payload))


@pytest.mark.parametrize(
    ("payload", "order"),
    [
        (b"{}", InstallArguments()),
        (b'{"version": "0.5.0"}', InstallArguments(version="0.5.0")),
        (b'{"name": "digits", "version": null}', InstallArguments(name="digits")),
    ],
)
def test_what_to_install_may_be_left_open(payload: bytes, order: InstallArguments) -> None:
    assert parse_arguments(Request("models_install", payload)) == order


def test_every_command_can_be_forbidden() -> None:
    assert list(get_args(Command)) == list(ARGUMENTS)


@pytest.mark.parametrize(
    ("requested", "used"),
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
def test_an_answer_goes_only_where_anybody_may_write(requested: str | None, used: bool) -> None:
    topic = answer_topic(Request("pause", b"", requested), "perceptd/node/", ("perceptd", "homeassistant", "ha"))
    assert topic == (requested if used else "perceptd/node/command/pause/result")


class Received:
    """A session without a broker, which is given messages as its connection would. A context manager.

    It is its own command sink, which answers at once, and the text sink of one stream.
    """

    def __init__(self, state: Path, stream: str = "") -> None:
        self.texts = 0
        self.requests: list[Request] = []
        self.session = Session(MqttConfig(), "node", state)
        self._thread = self.session._new_thread({stream: TextCounter(self)}, self)

    def __enter__(self) -> "Received":
        return self

    def __exit__(self, *_: object) -> None:
        self.session._state.waker.close()

    def message(self, message: Inbound) -> None:
        self._thread.on_message(message)

    @property
    def answers(self) -> int:
        return len(self.session._state.send_queue) - 1  # "online" waits too

    @property
    def dropped(self) -> int:
        return sum(self.session.counters.dropped.values())

    def take(self, request: Request) -> None:
        self.requests.append(request)
        try:
            parse_arguments(request)
        except InvalidCommand as error:
            self._answer(request, ok=False, reason=str(error))
        else:
            self._answer(request, ok=True)

    def _answer(self, request: Request, *, ok: bool, reason: str | None = None) -> None:
        answer = AnswerPayload(command=request.name, ok=ok, reason=reason, time="2026-01-31T12:00:04.300110Z")
        assert self.session.publish_answer(request, answer)


class TextCounter:
    """A TextSink that counts."""

    def __init__(self, received: Received) -> None:
        self._received = received

    def take(self, _payload: bytes, _retained: bool) -> None:
        self._received.texts += 1


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
    with Received(tmp_path_factory.getbasetemp()) as received:
        received.message(Inbound(f"perceptd/node/command/{name}", payload, retained, response, correlation))
        assert received.answers + received.dropped == 1
        assert received.answers == (0 if retained and payload else 1)


def test_the_name_of_a_command_is_short_and_printable_wherever_it_is_shown(tmp_path: Path) -> None:
    with Received(tmp_path) as received:
        for name in ("pause\n2026-01-31 INFO forged", "pause\u202e", "x" * 300):
            received.message(Inbound(f"perceptd/node/command/{name}", b"{}", False))
        assert [request.name.isprintable() and len(request.name) < 70 for request in received.requests] == [True] * 3


@given(st.text(max_size=80), PAYLOADS, st.booleans(), st.booleans())
def test_every_other_message_reaches_its_sink_or_is_counted(
    tmp_path_factory, stream: str, payload: bytes, retained: bool, is_sink: bool
) -> None:
    first_level = stream.split("/")[0]
    is_command = first_level == "command"
    with Received(tmp_path_factory.getbasetemp(), first_level if is_sink else first_level + "x") as received:
        received.message(Inbound(f"perceptd/node/{stream}/text", payload, retained))
        assert received.texts + received.answers + received.dropped == 1
        assert received.texts == (is_sink and not is_command)
        assert received.answers == (is_command and not (retained and payload))
