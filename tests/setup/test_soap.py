"""SOAP messages of hosts that are not trusted: what is read, and what is refused."""

import base64
import hashlib
import re
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.errors import InputError
from daemon.setup.onvif_answers import at_host, clock_of, media_services, profiles_of, stream_url
from daemon.setup.soap import (
    MAX_BYTES,
    Fault,
    elements,
    envelope,
    fault_of,
    number_of,
    parse,
    text_of,
    username_token,
)
from tests.helpers.onvif import fault

BOMB = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no XML"),
        (b"\x00\xff\xfe", "no XML"),
        (b"<a>", "no XML"),
        (b"<a>" + b"b" * MAX_BYTES + b"</a>", "more than 1048576 bytes"),
        (BOMB.encode(), "has a DTD"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "has a DTD"),
        (BOMB.encode("utf-16"), "no XML"),
        (f'<?xml version="1.0" encoding="UTF-7"?>{BOMB}'.encode("utf-7"), "no XML|has a DTD"),
        (b"<a>&b;</a>", "no XML"),
        (b"<s:a/>", "no XML"),
    ],
)
def test_what_is_no_bounded_xml_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(data)


def test_names_in_other_encodings_do_not_spoil_an_answer() -> None:
    root = parse('<?xml version="1.0" encoding="GB2312"?><a><n>前门</n><b>7</b></a>'.encode("gb2312"))
    assert number_of(root, "b") == 7
    assert "\N{REPLACEMENT CHARACTER}" in text_of(root, "n")


def test_deep_nesting_is_read() -> None:
    depth = 20_000
    root = parse(b"<a>" * depth + b"</a>" * depth)
    assert sum(1 for _ in elements(root, "a")) == depth


@given(st.binary(max_size=300) | st.text("<>/&;!a:='\" []DOCTYPE", max_size=120).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        root = parse(data)
    except InputError:
        return
    fault_of(root)
    clock_of(root)
    profiles_of(root)
    media_services(root, "http://10.0.0.1/onvif/device_service")
    assert stream_url(root, "http://10.0.0.1/") is None


@given(st.text(max_size=60), st.integers(1, 65_535))
def test_whatever_a_camera_names_is_at_its_own_host(address: str, port: int) -> None:
    service = f"http://10.0.0.1:{port}/onvif/device_service"
    for written in (address, f"http://{address}", f"/{address}"):
        found = at_host(written, service)
        assert found is None or re.match(r"https?://10\.0\.0\.1(:\d+)?/", found)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://10.0.0.1/onvif/media", "http://10.0.0.1/onvif/media"),
        ("https://10.0.0.1:8443/m?x=1#y", "https://10.0.0.1:8443/m?x=1"),
        ("http://user:secret@10.0.0.1:81/m", "http://10.0.0.1:81/m"),
        ("/onvif/media", "http://10.0.0.1:8080/onvif/media"),
        ("http://0.0.0.0/onvif/media", "http://10.0.0.1:8080/onvif/media"),
        ("https://camera.example.org:99/m", "http://10.0.0.1:8080/m"),
        ("http://[fe80::1]/m", "http://10.0.0.1:8080/m"),
        ("ftp://10.0.0.1/m", None),
        ("http://10.0.0.1", None),
        ("http://10.0.0.1:port/m", None),
        ("", None),
    ],
)
def test_the_address_of_another_service(address: str, expected: str | None) -> None:
    assert at_host(address, "http://10.0.0.1:8080/onvif/device_service") == expected


def test_a_fault_says_why_and_whether_a_login_may_help() -> None:
    assert fault_of(parse(fault("ter:NotAuthorized", "Sender not\n Authorized"))) == Fault(
        "Sender not Authorized", True
    )
    assert fault_of(parse(fault("ter:OperationProhibited", "no"))) == Fault("no", False)
    old = b"<E><Body><Fault><faultcode>SOAP-ENV:Client</faultcode><faultstring>bad</faultstring></Fault></Body></E>"
    assert fault_of(parse(old)) == Fault("bad", False)
    assert fault_of(parse(envelope("<a/>"))) is None


def test_the_clock_of_a_camera_may_be_impossible() -> None:
    time = "<Time><Hour>{}</Hour><Minute>2</Minute><Second>3</Second></Time>"
    date = "<Date><Year>1970</Year><Month>1</Month><Day>{}</Day></Date>"
    good = f"<a><UTCDateTime>{time.format(1)}{date.format(1)}</UTCDateTime></a>"
    assert clock_of(parse(good.encode())) == datetime(1970, 1, 1, 1, 2, 3, tzinfo=timezone.utc)
    for hour, day in (("25", "1"), ("1", "0"), ("1", "x"), ("", "1"), ("9" * 30, "1")):
        bad = f"<a><UTCDateTime>{time.format(hour)}{date.format(day)}</UTCDateTime></a>"
        assert clock_of(parse(bad.encode())) is None
    assert clock_of(parse(b"<a/>")) is None


def test_a_token_digests_the_password_as_the_profile_says() -> None:
    created = datetime(2026, 11, 30, 4, 5, 6, tzinfo=timezone.utc)
    token = username_token('a"<b>&', "secret", created, b"nonce")
    root = parse(envelope("<a/>", token))
    expected = base64.b64encode(hashlib.sha1(b"nonce2026-11-30T04:05:06.000Zsecret").digest()).decode()
    assert text_of(root, "Password") == expected
    assert text_of(root, "Username") == 'a"<b>&'
    assert text_of(root, "Nonce") == base64.b64encode(b"nonce").decode()
    assert "secret" not in token
