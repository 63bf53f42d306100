"""The commands that only show something: check-config, devices, watch."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli.main import main
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mosquitto import Mosquitto, wait_until
from tests.node.test_shipped import shipped


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


def test_check_config_accepts_the_shipped_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", str(ROOT / "config.yaml")]) == 0
    assert capsys.readouterr().out.endswith("config.yaml: good; bundle digits@0.4.0, streams: demo\n")


def test_run_without_a_config_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--bundle", "digits"]) == 78
    assert capsys.readouterr().err == "no config: there is no config.yaml; name one by --config FILE\n"


def test_check_config_warns_of_a_missing_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    text = (ROOT / "config.yaml").read_text().replace("clip.mp4", "clop.mp4")
    config.write_text(text.replace("models/digits", str(ROOT / "models/digits")))
    assert main(["check-config", str(config)]) == 0
    warning = capsys.readouterr().err
    assert "streams.demo.replay.file: no such file: " in warning
    assert "clop.mp4" in warning


def test_check_config_warns_of_an_unusable_root_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, root = tmp_path / "config.yaml", tmp_path / "root.json"
    models = "models:\n  source: https://models.example.org\n  root: root.json\n"
    streams = "streams:\n  s:\n    text:\n      enabled: true\n"
    config.write_text(f"node: n\nbundle: {ROOT / 'models/digits'}\n{models}{streams}")
    warnings = []
    for content in (None, "{", '{"signed": {}}', '{"signed": {"_type": "root"}, "signatures": [{"sig": "00"}]}'):
        if content is not None:
            root.write_text(content)
        assert main(["check-config", str(config)]) == 0
        warnings.append(capsys.readouterr().err)
    where, expected = (
        f"{config}:5: models.root: {root}: ",
        "expected the root.json of the publisher whose bundles are trust",
    )
    assert warnings[0].startswith(f"{where}cannot be read: No such file or directory; {expected}")
    assert warnings[1].startswith(f"{where}is not JSON; {expected}")
    assert warnings[2].startswith(f"{where}is not signed root metadata; {expected}")
    assert warnings[3] == ""


@pytest.mark.xdist_group("sound")
def test_devices_lists_devices_as_json_and_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"cameras", "microphones"}
    assert main(["devices"]) == 0
    text = capsys.readouterr().out
    for kind, devices in found.items():
        assert f"{kind}:" in text
        assert all(device["device"] in text for device in devices)


def says_none(line: str) -> bool:
    """Whether it shows a recognition of nothing, and how old it is."""
    return "  demo  none  0." in line and line.endswith(" ms")


@pytest.mark.parametrize("as_json", [False, True])
def test_watch_prints_messages_until_it_is_stopped(tmp_path: Path, broker: Mosquitto, as_json: bool) -> None:
    node = f"watched-{as_json}"
    with DaemonProcess(shipped(node, broker), tmp_path) as daemon:
        command = [sys.executable, "-m", "daemon", "watch", "--config", str(daemon.config_path)]
        output = (tmp_path / "output").open("w")
        watcher = subprocess.Popen([*command, *(["--json"] if as_json else [])], cwd=ROOT, stdout=output)

        def lines() -> list[str]:
            return Path(output.name).read_text().splitlines()

        def says_all() -> bool:
            # a busy machine may begin with recognitions of a digit
            return len(lines()) > 20 and (as_json or any(map(says_none, lines())))

        try:
            wait_until(says_all, "some lines")
            watcher.send_signal(signal.SIGTERM)
            assert watcher.wait(60) == 0
        finally:
            watcher.kill()
            watcher.wait()
            output.close()
        if as_json:
            messages = [json.loads(line) for line in lines()]
            assert {"availability", "health", "recognition"} <= {message["kind"] for message in messages}
            assert {message["node"] for message in messages} == {node}
            latencies = [message["latency_ms"] for message in messages if message["kind"] == "recognition"]
            assert all(latency > 0 for latency in latencies)
        else:
            assert any(line.endswith(f"node {node}  is online") for line in lines())
            assert any(map(says_none, lines()))
            assert all(line.isprintable() for line in lines())
        assert daemon.stop() == 0
