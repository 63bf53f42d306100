"""What scripts/install asks: whether a broker answers, and to remove what the broker retains of the node."""

from pathlib import Path

import pytest
import yaml

from daemon.cli.service import main
from daemon.mqtt.home_assistant.ledger import Ledger
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.ports import free_port


def write_config(directory: Path, **mqtt: object) -> str:
    """Write the config of node hall, with a state directory beside it."""
    path = directory / "config.yaml"
    config = {"node": "hall", "bundle": "b", "state_directory": "state", "mqtt": mqtt, "streams": {"door": {}}}
    path.write_text(yaml.safe_dump(config))
    return str(path)


def test_a_missing_broker_is_said_with_the_way_to_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, port=(port := free_port()))
    assert main(["broker", config]) == 1
    assert capsys.readouterr().err == (
        f"no MQTT broker answers at 127.0.0.1:{port}: Connection refused. Nothing is published without one: "
        f"install one on this device: apt-get install mosquitto; or correct mqtt.host in {config}. "
        "docs/getting-started.md tells how to set up a broker with a login\n"
    )


def test_a_broker_that_answers_at_one_of_its_addresses_is_enough(
    tmp_path: Path, broker: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["broker", write_config(tmp_path, host=["127.0.0.9", "127.0.0.1"], port=broker.port)]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_config_that_cannot_be_used_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, prt=1883)
    assert main(["broker", config]) == 78
    assert "mqtt.prt: unknown key; did you mean 'port'?" in capsys.readouterr().err


def test_what_the_broker_retains_is_removed(
    tmp_path: Path, broker: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    single = "homeassistant/sensor/perceptd_hall/door_label/config"
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "announced.json").write_bytes(Ledger(node="hall", retained=(single,)).to_json())
    topics = ["perceptd/hall/status", "perceptd/hall/door/state", "homeassistant/device/perceptd_hall/config", single]
    for topic in topics:
        broker.publish(topic, b"x", retain=True)
    with Subscriber(broker) as subscriber:
        wait_until(lambda: len(subscriber.heard) == len(topics), "the retained messages")
        assert main(["withdraw", write_config(tmp_path, port=broker.port)]) == 0
        for topic in topics:
            assert subscriber.wait_for(topic, 2) == [b"x", b""]
    assert capsys.readouterr().out == f"removed what the MQTT broker at 127.0.0.1:{broker.port} retained of node hall\n"


def test_what_remains_at_a_broker_that_is_away_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["withdraw", write_config(tmp_path, port=free_port())], remove_s=0.3) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "  perceptd/hall/health" in lines
    assert "  homeassistant/device/perceptd_hall/config" in lines
    assert any(line.startswith("no connection to the MQTT broker at 127.0.0.1:") for line in lines)
