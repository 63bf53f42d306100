"""Lines of text from MQTT payloads."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.errors import InputError
from daemon.core.records import Captured, Counters, Line
from daemon.sources.text import MAX_PAYLOAD_BYTES, TextInlet, parse_line


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"room seven", "room seven"),
        (b'{"text": "room seven"}', "room seven"),
        (b'{"text": "sieben", "from": 3}', "sieben"),
        ("七".encode(), "七"),
        (b"7", "7"),
        (b'"7"', '"7"'),
        (b'{"text": 7}', '{"text": 7}'),
        (b'{"txt": "7"}', '{"txt": "7"}'),
        (b'{"text": "7"', '{"text": "7"'),
        (b"[" * 4000, "[" * 4000),
        (b"  a\x00b\x1b[31m\r\n", "a b [31m"),
        (b"x" * MAX_PAYLOAD_BYTES, "x" * MAX_PAYLOAD_BYTES),
    ],
)
def test_a_line_is_plain_text_or_the_text_of_an_object(payload: bytes, text: str) -> None:
    assert parse_line(payload) == text


REFUSED = {
    b"": "empty",
    b" \t\x00\n": "empty",
    b'{"text": ""}': "empty",
    b"\xff\xfe": "not_utf8",
    b'{"text": "\\ud800"}': "not_utf8",
    b"x" * (MAX_PAYLOAD_BYTES + 1): "too_long",
}


@pytest.mark.parametrize(("payload", "reason"), REFUSED.items())
def test_an_unusable_payload_is_counted_by_reason(payload: bytes, reason: str) -> None:
    counters, lines = Counters(), []
    TextInlet(lines.append, counters).receive(payload, retained=False)
    assert (counters.dropped, lines) == ({reason: 1}, [])


def test_a_retained_message_is_ignored_and_counted() -> None:
    counters = Counters()
    lines: list[Captured] = []
    inlet = TextInlet(lines.append, counters)
    inlet.receive(b"old", retained=True)
    inlet.receive(b"new", retained=False)
    assert [line.text for line in lines if isinstance(line, Line)] == ["new"]
    assert counters.dropped == {"retained": 1}


json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("text"), inner),
)


@given(st.binary(max_size=5000) | st.text().map(str.encode) | json_like.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_a_clean_line_or_an_input_error(payload: bytes) -> None:
    try:
        text = parse_line(payload)
    except InputError:
        return
    assert text.strip() and text.encode("utf-8")
    assert all(ord(character) >= 32 and not 127 <= ord(character) < 160 for character in text)
