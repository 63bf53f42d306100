"""Credentials are removed from every text that is shown, and nothing else is."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.text import hours_text, redact, redact_url

SECRET = st.text(st.characters(exclude_characters="@/?#", exclude_categories=("Z", "C")), min_size=1)
WORD = st.text(string.ascii_letters + string.digits + "-_.~", min_size=1)

# a password that should be written with %2F, %20 and %40, after a first letter that no port begins with
ODD_SECRETS = [st.text(string.ascii_letters + string.digits + odd, min_size=1) for odd in ("/?#@'\"&", "/?# ")]
ODD_SECRET = st.one_of(ODD_SECRETS).map("x{}".format)

CREDENTIALS = [
    ("rtsp://u:p@host/x", "rtsp://***@host/x"),
    ("rtsp://u:p@192.168.1.20:554/x: refused", "rtsp://***@192.168.1.20:554/x: refused"),
    ("rtsp://u:p@[2001:db8::5]:554/x", "rtsp://***@[2001:db8::5]:554/x"),
    ("rtsp://u:p@a.example and rtsp://u:p@b.example", "rtsp://***@a.example and rtsp://***@b.example"),
    ("rtsp://u:p@cam.example/a@b/c", "rtsp://***@cam.example/a@b/c"),
    ("rtsp://u:p/a@s@cam.example/x", "rtsp://***@cam.example/x"),
    ("rtsp://sam.smith:p@cam/x", "rtsp://***@cam/x"),
    ("'https://token@models.example/'", "'https://***@models.example/'"),
    ("http://user:1234@nas:8000: 2 bundles; digits@0.5.0", "http://***@nas:8000: 2 bundles; digits@0.5.0"),
    ("http://cam.example/a?user=u&password=a/b_c&x=1", "http://cam.example/a?user=u&password=***&x=1"),
    ("http://cam.example/a?access_token=a.b-c", "http://cam.example/a?access_token=***"),
    ("rtsp://10.0.0.9:554/user=u_password=tlJ_channel=1_x=0", "rtsp://10.0.0.9:554/user=u_password=***_channel=1_x=0"),
    ("sent Authorization: Basic dTpw to it", "sent Authorization: Basic ***"),
    ("401 for Bearer eyJhbGciOiJIUzI1NiJ9.e30", "401 for Bearer ***"),
]

HARMLESS = [
    "write to a@b.org about rtsp://host/path",
    "rtsp://host/path of a@b.org",
    "rtsp://cam.example: cannot be opened; ask a@b.org",
    "https://models.example.org: 2 bundles; 1 left out: digits@0.5.0: no signature",
    "http://nas:8000: 2 bundles; the newest is digits@0.5.0",
    "http://nas:8000/a/@b",
    "http://cam.example:8080/@main?mail=a@b.org",
    "rtsp://[2001:db8::5]:554/a@b",
    "mqtt://2001:db8::5",
    "git@github.com:owner/project",
    "/home/sam@work/config.yaml:3: mqtt.password_file = secret.txt: cannot be read",
    "scp user@host:/tmp/x",
    "the token is missing; the password: see mqtt.password",
    "basic authentication is refused; digest authorization: see RFC 7616",
    "no connection to the MQTT broker at [::1]:1883: Connection refused",
]


@pytest.mark.parametrize(("text", "shown"), CREDENTIALS)
def test_credentials_are_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_credential_survives(text: str) -> None:
    assert redact(text) == text


@given(SECRET, SECRET)
def test_user_and_password_of_a_url_are_removed(user: str, password: str) -> None:
    shown = redact(f"cannot open rtsp://u{user}:{password}@camera.local/stream: refused")
    assert shown == "cannot open rtsp://***@camera.local/stream: refused"


@given(ODD_SECRET)
def test_a_password_with_delimiters_is_removed(password: str) -> None:
    shown = redact(f"cannot open rtsp://admin:{password}@camera.local/stream: refused")
    assert shown == "cannot open rtsp://***@camera.local/stream: refused"


@given(st.lists(WORD), st.lists(WORD), st.integers(1, 65_535), WORD, WORD)
def test_hosts_paths_addresses_and_bundles_survive(
    before: list[str], path: list[str], port: int, user: str, version: str
) -> None:
    url = f"https://{version[0]}.example:{port}/{'/'.join(path)}"
    text = f"{' '.join(before)} {url}: {user}@{version} and {user}@host.example:{'/'.join(path)}"
    assert redact(text) == text


@pytest.mark.parametrize("password", ["12/34", "12 34", "a@b.c/d", "'\""])
def test_of_a_url_that_stands_alone_everything_before_the_last_at_sign_is_hidden(password: str) -> None:
    assert redact_url(f"rtsp://admin:{password}@cam/x?token=1") == "rtsp://***@cam/x?token=***"
    assert redact_url("rtsp://cam.example/x") == "rtsp://cam.example/x"


@pytest.mark.parametrize(
    ("hours", "text"),
    [(0.001, "1 min"), (0.014, "1 min"), (0.09, "5 min"), (1.0, "1 h"), (2.34, "2.3 h"), (168, "168 h")],
)
def test_a_time_is_told_in_minutes_and_hours(hours: float, text: str) -> None:
    assert hours_text(hours) == text
