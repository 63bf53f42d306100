"""What setup writes is read back as it was chosen, and all else of a config stays."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.account import Account
from daemon.config.node import Config
from daemon.core.document import parse_document
from daemon.setup.choices import Choices, choices_of, is_demo, lost_keys, merged, values_of
from daemon.setup.config_text import COMMENT_COLUMN, config_text
from daemon.setup.login import with_login
from tests.helpers.daemon import ROOT

PATH = Path("config.yaml")
ALL_KEYS = "/opt/perceptd/config.yaml"

# whatever UTF-8 can hold, and what means something in YAML, in a URL or on a terminal
HOSTILE = st.sampled_from(
    list("'\"#:%@/\\{}[]&*!|>-?`, \t\n\r\0\x1b\x85\u2028\ufeff$~\N{GRINNING FACE}é")
) | st.characters(exclude_categories=["Cs"])
TEXTS = st.text(HOSTILE, min_size=1, max_size=40)
NAMES = st.text(HOSTILE, min_size=1, max_size=64).filter(
    lambda name: name.isprintable() and not any(c in "+#/$" or c.isspace() for c in name) and name != "command"
) | st.sampled_from(["no", "null", "7", "1e3", "0x10", "~", "_", "-", "2026-11-30", "<<", "=", "yes"])
HOSTS = st.from_regex(r"\A[a-z0-9-]{1,20}(\.[a-z]{1,8}){0,2}\Z") | st.sampled_from(["::1", "2001:db8::5", "127.0.0.1"])
CAMERAS = (
    st.none()
    | st.integers(0, 20)
    | st.builds(with_login, st.sampled_from(["rtsp://192.168.1.20/cam", "http://cam:81/a?b=c&d=#x"]), TEXTS, TEXTS)
    | TEXTS.filter(lambda path: "://" not in path and not path.startswith("stream:"))
)


def chosen(**changes: object) -> Choices:
    return Choices(**{"node": "hall", "camera": 0, "bundle": "/b", **changes})


CHOICES = st.builds(
    Choices,
    node=NAMES,
    stream=NAMES,
    camera=CAMERAS,
    microphone=st.none() | st.integers(0, 5) | TEXTS.filter(lambda name: name != "camera"),
    hosts=HOSTS.map(lambda host: (host,)) | st.lists(HOSTS, min_size=2, max_size=3).map(tuple),
    port=st.integers(1, 65_535),
    tls=st.just(True),
    ca_file=st.none() | TEXTS,
    username=st.none() | TEXTS,
    password=st.just(None),
    bundle=TEXTS,
)


def read(text: str) -> Config:
    return parse_document(PATH, text.encode(), Config).document


@given(CHOICES)
def test_what_was_chosen_is_read_back(choices: Choices) -> None:
    config = read(config_text(merged({}, choices), ALL_KEYS))
    assert choices_of(config, chosen(), choices.stream) == choices


RICH = """
node: hall
bundle: ../models/mine
log_level: debug
history: {quota_mb: 50.0, except: ["7", speech]}
metrics: {}
devices: {image: {library: libx.so, options: {a: "1"}}}
mqtt:
  host: [a.example, b.example]
  tls: {ca_file: ca.pem, certificate_file: me.pem}
  username: hall
  password: "se'cret # : \\u2028"
  recognitions: {publish: none}
streams:
  door:
    name: Front door
    camera: {device: "rtsp://a:b@cam/x", rotate: 90, masks: [[[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]]]}
    microphone: {device: camera, channel: 2}
    gates: {motion: {}}
    events: {thresholds: {"7": {start: 0.8, end: 0.5}}}
  text: {}
  "1e3": {camera: {device: 3, fps: 5.0}}
"""


def test_a_second_setup_without_a_change_keeps_each_value() -> None:
    before = read(RICH)
    values = values_of(before)
    after = merged(values, choices_of(before, chosen()))
    text = config_text(after, ALL_KEYS)
    assert read(text) == before
    assert lost_keys(values, after) == []
    # and a third one has nothing to write
    assert config_text(merged(values_of(read(text)), choices_of(read(text), chosen())), ALL_KEYS) == text


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({"camera": "rtsp://other/x"}, ["streams.door.camera.rotate", "streams.door.camera.masks"]),
        ({"camera": None, "microphone": 1}, ["streams.door.camera", "streams.door.microphone.channel"]),
        ({"microphone": None}, ["streams.door.microphone"]),
        ({"tls": False}, ["mqtt.tls"]),
        ({"ca_file": None}, ["mqtt.tls.ca_file"]),
        ({"username": "other"}, ["mqtt.password"]),
        ({"password": "new"}, ["mqtt.password"]),
        ({"stream": "garden", "camera": 1, "microphone": None}, []),
        ({"hosts": ("c.example",), "port": 1, "node": "x", "bundle": "/x"}, []),
    ],
)
def test_what_a_choice_removes_is_listed_and_nothing_else_goes(changes: dict[str, object], lost: list[str]) -> None:
    before = read(RICH)
    old = choices_of(before, chosen())
    choices = Choices(**{**{name: getattr(old, name) for name in Choices.__slots__}, **changes})
    after = merged(values_of(before), choices)
    assert sorted(lost_keys(values_of(before), after)) == sorted(lost)
    config = read(config_text(after, ALL_KEYS))
    assert config.streams["door"].name == "Front door"
    assert config.history is not None and config.history.excluded == ["7", "speech"]


def test_a_recording_makes_way_for_devices_and_stays_without_them() -> None:
    before = {"streams": {"film": {"replay": {"file": "x.mp4"}}}}
    assert merged(before, chosen(stream="film"))["streams"]["film"] == {"camera": {"device": 0}}
    assert merged(before, chosen(stream="film", camera=None))["streams"]["film"] == {"replay": {"file": "x.mp4"}}


def test_the_shipped_config_is_a_demo_and_a_changed_one_is_not() -> None:
    shipped = (ROOT / "config.yaml").read_bytes()
    installed = shipped.replace(b" models/", b" /opt/perceptd/models/")
    changed = shipped.replace(b"node: demo", b"node: hall")
    quiet = shipped.replace(b"history: null", b"history: {}")
    values = [values_of(parse_document(PATH, text, Account).document) for text in (shipped, installed, changed, quiet)]
    assert [is_demo(each) for each in values] == [True, True, False, False]
    assert not is_demo({})


def test_a_config_has_a_comment_for_each_key_that_was_asked_for() -> None:
    choices = chosen(camera="rtsp://u:p@h/x", microphone="camera", tls=True, username="hall", password="x")
    text = config_text(merged({}, choices), ALL_KEYS)
    assert "x" not in yaml.safe_load(text)["mqtt"].values()
    lines = text.splitlines()
    keys = {line.strip().partition(":")[0]: number for number, line in enumerate(lines) if not line.startswith("#")}
    commented = {
        "node",
        "bundle",
        "mqtt",
        "port",
        "tls",
        "username",
        "password_file",
        "streams",
        "camera",
        "microphone",
    }
    for number in (keys[key] for key in commented):
        above = lines[number - 1].strip()
        assert lines[number].find("#") == COMMENT_COLUMN or above.startswith("#"), lines[number]
