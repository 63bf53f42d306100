"""The text of a config as it is shown: no secret of it, all else in its line."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.node import Config
from daemon.config.redacted import redacted, redacted_problem
from daemon.core.document import parse_document
from daemon.core.scalars import Scalar, scalars
from tests.helpers.daemon import ROOT

# what a password may be made of, and what no other part of a config has
SECRETS = st.from_regex(r"\A[a-zA-Z0-9!$&+=@#:/?.,-]{0,12}hunter2[a-zA-Z0-9!$&+=@#:/?.,-]{0,12}\Z")
STYLES = st.sampled_from([None, "'", '"', "|", ">"])
NAMES = ("host", "bundle", "device")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("mqtt: {password: hunter2, username: me}", "mqtt: {password: '***', username: me}"),
        ("mqtt:\n  password: 'hunter2'  # of the broker\n", "mqtt:\n  password: '***'  # of the broker\n"),
        ("mqtt:\n  password: |\n    hunter2\n    more\n  port: 1\n", "mqtt:\n  password: '***'\n\n\n  port: 1\n"),
        ("mqtt: {pasword: [hunter2, {a: hunter2}]}", "mqtt: {pasword: ['***', {a: '***'}]}"),
        ("mqtt: {password: null, password_file: a/b}", "mqtt: {password: null, password_file: a/b}"),
        ("metrics: {token_file: a/token}", "metrics: {token_file: a/token}"),
        ("c: rtsp://me:hunter2@cam:554/live?x=hunter2", "c: 'rtsp://cam:554/***'"),
        ("c: http://cam/login/hunter2", "c: 'http://cam/***'"),
        ("c: http://cam/me@hunter2", "c: 'http://***'"),
        ("c: http://me:hun/ter2@cam/x", "c: 'http://***'"),
        ("c: http://[::1]:80/", "c: 'http://[::1]:80'"),
        ("c: see http://cam/hunter2", "c: '***'"),
        ("c: user=admin&password=hunter2", "c: '***'"),
        ("mqtt:\n  username: me\n    password hunter2\n", "mqtt:\n  username: '***'\n\n"),
        ("a: 1\n# password: hunter2\n#   token = hunter2\n", "a: 1\n# password: ***\n#   token = ***\n"),
        ("a: 1  # rtsp://me:hun ter2@cam/x", "a: 1  # rtsp://***"),
        ("a: 1  # seconds: 5, or none", "a: 1  # seconds: 5, or none"),
        # no YAML
        ("mqtt:\n\tpassword: hunter2\nhunter2\n", "mqtt:\n\tpassword: ***\n***\n"),
        ("just hunter2", "***"),
        ("a: &x hunter2\nb: *y\n", "a: ***\nb: ***\n"),
        ("", ""),
    ],
)
def test_secrets_are_stars(written: str, shown: str) -> None:
    assert redacted(written) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "streams.a.camera = 'rtsp://me:x@cam:554/hunter2?a=hunter2': expected / ? # @ in user, password and path",
            "streams.a.camera = 'rtsp://cam:554/***': expected / ? # @ in user, password and path",
        ),
        ("streams.a.camera = 'http://cam/my hunter2': expected", "streams.a.camera = 'http://cam/***': expected"),
        ("streams.a.camera = 'http://cam/abc hunter2...: expected", "streams.a.camera = 'http://cam/***': expected"),
        ("mqtt = 'password hunter2': expected keys and values", "mqtt = '***': expected keys and values"),
        ('mqtt = "it\'s token: hunter2": expected keys', 'mqtt = "***": expected keys'),
        ("models.source http://a.b/hunter2: cannot be used", "models.source http://a.b/***: cannot be used"),
        # nothing of these is a secret
        ("mqtt.port = 'nine': expected a valid integer", "mqtt.port = 'nine': expected a valid integer"),
        ("mask: unknown key; did you mean 'masks'?", "mask: unknown key; did you mean 'masks'?"),
        ("give password or password_file, not both", "give password or password_file, not both"),
    ],
)
def test_problems_of_a_config_quote_no_secret(text: str, shown: str) -> None:
    assert redacted_problem(text) == shown


def test_a_config_without_secrets_stays_as_it_is() -> None:
    text = (ROOT / "config.yaml").read_text()
    without_links = re.sub(r"(# .*?://).*", r"\1***", text)
    shown = redacted(without_links)
    differing = [
        (line, other) for line, other in zip(without_links.split("\n"), shown.split("\n"), strict=True) if line != other
    ]
    assert all(re.search(r"password|token|websocket_path", line) for line, _ in differing), differing


def written_scalar(value: str, style: str | None) -> str:
    return yaml.dump({"k": value}, default_style=style, allow_unicode=True, width=60).partition(":")[2].strip()


@given(secret=SECRETS, style=STYLES, key=st.sampled_from(["password", "Password", "passwort", "api_key", "token"]))
def test_no_password_is_shown_however_it_is_written(secret: str, style: str | None, key: str) -> None:
    text = f"node: n\nmqtt:\n  {key}: {written_scalar(secret, style).replace(chr(10), chr(10) + '  ')}\n  port: 1\n"
    shown = redacted(text)
    assert "hunter2" not in shown
    assert shown.count("\n") == text.count("\n")
    assert shown.startswith(f"node: n\nmqtt:\n  {key}: '***'")
    assert shown.rstrip("\n").endswith("  port: 1")


@given(
    secret=SECRETS,
    style=STYLES,
    where=st.sampled_from(
        [
            "rtsp://me:{}@cam/live",
            "rtsp://{}@cam/live",
            "http://cam/{}",
            "http://cam/x?y={}",
            "http://cam/x#{}",
            "https://me:{}@cam.example.org:8443/a@b",
        ]
    ),
)
def test_no_secret_of_a_url_is_shown_however_it_is_written(secret: str, style: str | None, where: str) -> None:
    url = where.format(secret)
    shown = redacted(f"a: {written_scalar(url, style)}\nb: 1\n")
    assert "hunter2" not in shown
    assert shown.startswith(f"a: '{url.partition('://')[0]}://")


@given(
    secret=SECRETS, text=st.sampled_from(["# password: {}", "a: 1 # http://me:{}@cam", "a: [ # token={}", "\ta: {}"])
)
def test_no_secret_of_a_comment_or_of_a_broken_text_is_shown(secret: str, text: str) -> None:
    assert "hunter2" not in redacted("node: n\n" + text.format(secret) + "\n")


@given(st.text(max_size=200))
def test_any_text_keeps_its_lines(text: str) -> None:
    assert redacted(text).count("\n") == text.count("\n")


def test_scalars_have_their_keys_and_places() -> None:
    text = "a: 1\nb:\n  - c: two\n  - {d: [3]}\n"
    found = scalars(text)
    assert found is not None
    assert [(each.keys, each.value, text[each.start : each.end]) for each in found] == [
        (("a",), "1", "1"),
        (("b", "c"), "two", "two"),
        (("b", "d"), "3", "3"),
    ]
    assert scalars("a: [") is None
    assert scalars("text") is None
    assert scalars("- text") is None
    assert scalars("") == []
    assert isinstance(found[0], Scalar)


def test_what_is_shown_of_a_good_config_can_be_read() -> None:
    raw = b"node: n\nbundle: b\nmqtt: {password: x}\nstreams: {s: {camera: 'rtsp://me:x@cam/y'}}\n"
    path = ROOT / "config.yaml"
    assert parse_document(path, redacted(raw.decode()).encode(), Config).document.node == "n"
