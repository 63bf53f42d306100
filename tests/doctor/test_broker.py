"""Real brokers that let doctor in, and those that do not: each is told in plain words, and without secrets."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from daemon.config.mqtt import MqttConfig, TlsConfig
from daemon.doctor.finding import Finding
from daemon.doctor.node import broker_finding
from daemon.mqtt import requests as trial
from tests.helpers.certificates import Authority
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.ports import free_port
from tests.mqtt.test_credentials import Old, tls_lines

SECRET, WRONG = "correct horse", "battery staple"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def settings(broker: Mosquitto, authority: Authority, password: str = SECRET) -> MqttConfig:
    tls = TlsConfig(ca_file=str(authority.ca_file))
    return MqttConfig(port=broker.port, tls=tls, username="device", password=SecretStr(password))


def told(config: MqttConfig) -> Finding:
    finding = broker_finding(config)
    assert finding.check == "broker"
    assert SECRET not in finding.line() and WRONG not in finding.line()
    assert "trying again" not in finding.line()
    return finding


def test_one_with_tls_and_a_login_that_is_good_and_one_that_is_not(authority: Authority) -> None:
    with Mosquitto(("device", SECRET), more=tls_lines(authority)) as broker:
        good = told(settings(broker, authority))
        assert (good.level, good.remedy) == ("good", None)
        assert good.found == f"127.0.0.1:{broker.port} answers, TLS verified, accepts the connection"
        refused = told(settings(broker, authority, WRONG))
    assert refused.level == "failure"
    assert "refused the login" in refused.found
    assert "check mqtt.username and mqtt.password" in refused.found


def test_one_whose_authority_is_unknown(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    with Mosquitto(("device", SECRET), more=tls_lines(authority)) as broker:
        finding = told(settings(broker, stranger))
    assert finding.level == "failure"
    assert "its certificate is not to be trusted" in finding.found


def test_nobody_at_the_port() -> None:
    finding = told(MqttConfig(port=free_port()))
    assert finding.level == "failure"
    assert "Connection refused" in finding.found
    assert "check that the broker runs there" in (finding.remedy or "")


def test_one_that_takes_connections_and_says_nothing(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "ANSWER_S", 1.0)
    broker.freeze()
    assert told(MqttConfig(port=broker.port)).found.endswith("has not answered for 1 s")


def test_one_that_speaks_3_1_1_alone(broker: Mosquitto) -> None:
    with Old(broker.port) as old:
        assert told(MqttConfig(port=old.port)).level == "good"


def test_a_password_file_that_is_none(tmp_path: Path) -> None:
    finding = told(MqttConfig(password_file=str(tmp_path / "none")))
    assert finding.level == "failure"
    assert "mqtt.password_file" in finding.found


def test_nobody_else_hears_of_it(broker: Mosquitto) -> None:
    with Subscriber(broker) as subscriber:
        assert told(MqttConfig(port=broker.port)).level == "good"
        broker.publish("end", b"end")
        wait_until(lambda: subscriber.heard, "the end")
        assert [message.topic for message in subscriber.heard] == ["end"]
