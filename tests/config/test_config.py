"""A mistake in config.yaml is reported with file, line, key, value and what was expected."""

import json
from pathlib import Path

import pytest

from daemon.config.command_line import override_devices
from daemon.config.node import Config, load_config
from daemon.core.document import StrictModel
from daemon.core.errors import DocumentError

ROOT = Path(__file__).resolve().parents[2]
NOT_OFF = "expected 'every', 'rate', 'change' or 'none'; YAML reads off and no as false: write none"
SHIPPED = (ROOT / "config.yaml").read_text()


def problems_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(DocumentError) as caught:
        load_config(path)
    return [problem.replace(str(path), "config.yaml") for problem in caught.value.problems]


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(SHIPPED.splitlines(), start=1) if text in line)


@pytest.mark.parametrize(
    ("found", "written", "expected"),
    [
        ("pace: realtime", "pase: realtime", "streams.demo.replay.pase: unknown key; did you mean 'pace'?"),
        ("port: 1883", "port: many", "mqtt.port = 'many': expected a valid integer"),
        ("port: 1883", "port: 99999", "mqtt.port = 99999: expected less than or equal to 65535"),
        ("rotate: 0", "rotate: 45", "streams.demo.replay.rotate = 45: expected 0, 90, 180 or 270"),
        ("loop: true", "loop: yess", "streams.demo.replay.loop = 'yess': expected a valid boolean"),
        (
            "publish: rate",
            "publish: often",
            "mqtt.recognitions.publish = 'often': expected 'every', 'rate', 'change' or 'none'",
        ),
        ("node: demo", "node: no", "node = False: expected a valid string; put it in quotes"),
        (
            "host: 127.0.0.1",
            "host: 127.0.0.1:1883",
            "mqtt.host = '127.0.0.1:1883': expected only the name or address of a host; mqtt.port takes the port",
        ),
        (
            "thresholds: {}",
            "thresholds: {7: {start: 0.5, end: 0.4}}",
            "streams.demo.events.thresholds.7: a name must be a text; put a number, yes or no in quotes",
        ),
        ("  port: 1883", "\tport: 1883", "found a tab; YAML is indented with spaces"),
        (
            "language: null",
            "language: no",
            "mqtt.home_assistant.language = False: found the language false; put no, the",
        ),
        (
            "language: null",
            "language: German",
            "mqtt.home_assistant.language = 'German': expected the code of a language such as de or pt-BR",
        ),
        ("devices: null", "devices: streams", "mqtt.home_assistant.devices = 'streams': expected 'node' or 'stream'"),
        ("    name: null", "    name: ''", "streams.demo.name = '': string should have at least 1 character"),
        ("    name: null", '    name: "A\\adoor"', "streams.demo.name = 'A\\x07door': expected printable text"),
        (
            "area: null",
            "area: ' Garden'",
            "streams.demo.area = ' Garden': expected printable text without spaces around it",
        ),
        ("port: 1883", "host: other", f"key 'host' appears twice (first on line {line_of('host: 127.0.0.1')})"),
        ("username: null", "username: *name", "aliases (*) are not allowed"),
        ("max_rate_hz: 5.0", "max_rate_hz: 1.0e-310", "mqtt.recognitions.max_rate_hz = 1e-310: expected greater than"),
        ("publish: rate", "publish: off", f"mqtt.recognitions.publish = False: {NOT_OFF}"),
        ("publish: rate", "publish: no", f"mqtt.recognitions.publish = False: {NOT_OFF}"),
        ("host: 127.0.0.1", "host: mqtt://me:s3cret@h", "mqtt.host = 'mqtt://***@h': expected only the name"),
        ("motion: null", "motion: {open: 0.001}", "streams.demo.gates.motion: close must not exceed open"),
        ("sound: null", "sound: {close_db: 12.0}", "streams.demo.gates.sound: close_db must not exceed open_db"),
        ("sound: null", "sound: {open: 9.0}", "streams.demo.gates.sound.open: unknown key; did you mean 'open_db'?"),
        ("update_every_s: 5.0", "update_every_s: 0.000001", "streams.demo.events.update_every_s = 1e-06: expected"),
    ],
)
def test_one_mistake_is_reported_with_its_line(tmp_path: Path, found: str, written: str, expected: str) -> None:
    problems = problems_of(tmp_path, SHIPPED.replace(found, written, 1))
    assert len(problems) == 1
    assert problems[0].startswith(f"config.yaml:{line_of(found)}: {expected}")


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = SHIPPED.replace("node: demo ", "nod: demo ").replace("every_s: 30.0", "every_s: 0")
    assert problems_of(tmp_path, text) == [
        "config.yaml:1: node: is missing",
        f"config.yaml:{line_of('every_s: 30.0')}: health.every_s = 0: expected greater than or equal to 1",
        "config.yaml:4: nod: unknown key; did you mean 'node'?",
    ]


def test_rules_between_keys_are_checked(tmp_path: Path) -> None:
    text = SHIPPED.replace("pace: realtime", "pace: fast")
    assert problems_of(tmp_path, text) == [
        f"config.yaml:{line_of('replay:')}: streams.demo.replay: pace: fast needs loop: false, or it would never end"
    ]


@pytest.mark.parametrize(
    "device", ["rtsq://user:s3cret@host/path", "rtsp//user:s3cret@host", 'rtsq://user:"/s3cret@host']
)
def test_credentials_never_appear(tmp_path: Path, device: str) -> None:
    text = f"node: n\nbundle: b\nstreams:\n  s:\n    camera: {{device: '{device}', rotate: 45}}\n"
    assert "s3cret" not in "".join(problems_of(tmp_path, text.replace("rtsp//", "x://")))
    password = "node: n\nbundle: b\nmqtt: {password: [s3cret]}\nstreams: {s: {}}\n"
    assert "s3cret" not in "".join(problems_of(tmp_path, password))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtsp://u:s3#cret@host/cam", "expected / ? # @ in user, password and path to be written as"),
        ("rtsp://u:s3/cret@host/cam", "expected / ? # @ in user, password and path to be written as"),
        ("rtsp://host:port/cam", "expected a host, and a number as its port"),
        ("rtsp:///cam", "expected a host"),
        ("ftp://host/cam", "expected a URL of rtsp, rtsps, http, https"),
    ],
)
def test_urls_that_would_be_misread_are_refused_and_keep_their_secrets(tmp_path: Path, url: str, expected: str) -> None:
    problems = problems_of(tmp_path, f"node: n\nbundle: b\nstreams:\n  s:\n    camera: '{url}'\n")
    assert len(problems) == 1
    assert problems[0].startswith("config.yaml:5: streams.s.camera")
    assert expected in problems[0]
    assert "cret" not in problems[0].replace("***", "")


@pytest.mark.parametrize(
    ("written", "device"),
    [
        ("RTSP://Me:Secret@Host/Path", "rtsp://Me:Secret@Host/Path"),
        ("  HttpS://host/video  ", "https://host/video"),
        ("\trtsp://host/a\n", "rtsp://host/a"),
    ],
)
def test_blanks_around_a_url_and_capitals_in_its_scheme_are_accepted(tmp_path: Path, written: str, device: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"node: n\nbundle: b\nstreams: {{s: {{camera: {json.dumps(written)}}}}}\n")
    config = load_config(path).document
    for each in (config, override_devices(config, written, None)):
        camera = each.streams["s"].camera
        assert camera is not None
        assert (camera.device, camera.is_file) == (device, False)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("front door", "this name contains a space: write front_door, for example"),
        (" a  b ", "this name contains a space: write a_b, for example"),
        ("a/b", "expected 1 to 64 characters without spaces and none of + # / $"),
        ("command", "expected another name: perceptd/<node>/command/... is the topic of commands"),
    ],
)
def test_a_name_that_cannot_be_part_of_a_topic_says_why(tmp_path: Path, name: str, problem: str) -> None:
    (found,) = problems_of(tmp_path, f"node: n\nbundle: b\nstreams:\n  '{name}': {{camera: 0}}\n")
    assert found.startswith(f"config.yaml:4: streams.{name}: expected ")
    assert found.endswith(problem)


def test_a_node_whose_name_contains_a_blank_says_so(tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, "node: my node\nbundle: b\nstreams: {s: {}}\n")
    assert found.endswith("this name contains a space: write my_node, for example")


def test_a_device_alone_means_the_same_as_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("node: n\nbundle: b\nstreams: {s: {camera: 'rtsp://h/p', microphone: camera}}\n")
    stream = load_config(path).document.streams["s"]
    assert stream.camera is not None
    assert stream.microphone is not None
    assert (stream.camera.device, stream.microphone.device) == ("rtsp://h/p", "camera")


def test_the_shipped_config_contains_every_key() -> None:
    def keys(model: type[StrictModel]) -> set[str]:
        found = {field.alias or name for name, field in model.model_fields.items()}
        for field in model.model_fields.values():
            for part in [field.annotation, *getattr(field.annotation, "__args__", ())]:
                if isinstance(part, type) and issubclass(part, StrictModel):
                    found |= keys(part)
        return found

    missing = [key for key in keys(Config) if f"{key}:" not in SHIPPED]
    assert missing == []
