"""Findings of real brokers, with and without a problem; none contains a secret."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from daemon.config.mqtt import MqttConfig, TlsConfig
from daemon.doctor.finding import Finding
from daemon.doctor.node import broker_finding, broker_findings
from daemon.mqtt import requests
from daemon.mqtt.broker import peer
from tests.helpers.certificates import Authority
from tests.helpers.mosquitto import WAIT_S, Mosquitto, Subscriber, wait_until
from tests.helpers.ports import free_port
from tests.mqtt.broker.test_credentials import Old, tls_lines

SECRET, WRONG = "correct horse", "battery staple"


@pytest.fixture(autouse=True)
def _second_attempt_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "SECOND_ATTEMPT_S", 0.0)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def settings(broker: Mosquitto, authority: Authority, password: str = SECRET) -> MqttConfig:
    tls = TlsConfig(ca_file=str(authority.ca_file))
    return MqttConfig(port=broker.port, tls=tls, username="device", password=SecretStr(password))


def checked(config: MqttConfig) -> Finding:
    finding = broker_finding(config)
    assert finding.check == "broker"
    assert SECRET not in finding.line() and WRONG not in finding.line()
    assert "trying again" not in finding.line()
    return finding


def test_a_correct_and_a_wrong_login_over_tls(authority: Authority) -> None:
    with Mosquitto(("device", SECRET), more=tls_lines(authority)) as broker:
        good = checked(settings(broker, authority))
        assert (good.level, good.remedy) == ("good", None)
        assert good.found == f"127.0.0.1:{broker.port} answers, TLS verified, accepts the connection"
        refused = checked(settings(broker, authority, WRONG))
    assert refused.level == "failure"
    assert "refused the login" in refused.found
    assert "check mqtt.username and mqtt.password" in (refused.remedy or "")


def test_an_unknown_authority(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    with Mosquitto(("device", SECRET), more=tls_lines(authority)) as broker:
        finding = checked(settings(broker, stranger))
    assert finding.level == "failure"
    assert "its certificate cannot be trusted" in finding.found


def test_no_broker_at_the_port() -> None:
    finding = checked(MqttConfig(port=free_port()))
    assert finding.level == "failure"
    assert "Connection refused" in finding.found
    assert "check that the broker runs there" in (finding.remedy or "")


def test_a_broker_that_accepts_connections_and_never_answers(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "LOGIN_S", 1.0)
    monkeypatch.setattr(peer, "ANSWER_S", 0.2)
    broker.freeze()
    assert checked(MqttConfig(port=broker.port)).found.endswith("has not answered for 1 s")


def test_a_broker_with_only_mqtt_3_1_1(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "SECOND_ATTEMPT_S", WAIT_S)
    with Old(broker.port) as old:
        assert checked(MqttConfig(port=old.port)).level == "good"


def test_a_missing_password_file(tmp_path: Path) -> None:
    finding = checked(MqttConfig(password_file=str(tmp_path / "none")))
    assert finding.level == "failure"
    assert "mqtt.password_file" in finding.found


def test_each_broker_is_checked_and_one_that_answers_is_enough(broker: Mosquitto) -> None:
    hosts = ["127.0.0.2", "127.0.0.1"]
    away, there = broker_findings(MqttConfig(host=hosts, port=broker.port))
    assert (away.level, there.level) == ("warning", "good")
    assert f"127.0.0.2:{broker.port}: Connection refused" in away.found
    assert there.found == f"127.0.0.1:{broker.port} answers, without TLS, accepts the connection"
    broker.kill()
    findings = broker_findings(MqttConfig(host=hosts, port=broker.port))
    assert [finding.level for finding in findings] == ["failure", "failure"]


def test_the_check_publishes_nothing(broker: Mosquitto) -> None:
    with Subscriber(broker) as subscriber:
        assert checked(MqttConfig(port=broker.port)).level == "good"
        broker.publish("end", b"end")
        wait_until(lambda: subscriber.heard, "the end")
        assert [message.topic for message in subscriber.heard] == ["end"]
