"""What doctor finds in the health that a broker retains of the node."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.doctor.node import NodeChecks, health_finding
from daemon.mqtt.health_report import HealthReport
from daemon.mqtt.requests import retained_health
from tests.helpers.mosquitto import Mosquitto


def report(status: str, **more: object) -> HealthReport:
    return HealthReport.model_validate({"schema": 1, "status": status, "time": "2026-11-29T10:00:00.000000Z", **more})


def stream(state: str, reason: str | None, *, paused: bool = False) -> dict[str, object]:
    return {"door": {"paused": paused, "sources": {"camera": {"state": state, "reason": reason}}}}


@pytest.mark.parametrize(
    ("health", "level", "found"),
    [
        (report("ok"), "good", "node hall runs, with status ok"),
        (report("ok", streams=stream("paused", None, paused=True)), "good", "status ok: door is paused"),
        (report("ok", bundle_changed="/b differs from b@1"), "warning", "status ok: /b differs from b@1"),
        (report("ok", reload_problem="a.yaml:3: x"), "warning", "ok: the config was not reloaded: a.yaml:3: x"),
        (report("ok", state_problem="set aside: history.version-2"), "warning", "ok: set aside: history.version-2"),
        (report("failed", trouble="encode-image hangs"), "warning", "status failed: encode-image hangs"),
        (
            report("degraded", streams=stream("backing_off", "no such camera")),
            "warning",
            "status degraded: door/camera is backing off: no such camera",
        ),
    ],
)
def test_what_a_running_node_says_of_itself(health: HealthReport, level: str, found: str) -> None:
    finding = health_finding("hall", health, runs=True)
    assert finding.level == level
    assert finding.found.endswith(found)
    assert (finding.remedy is None) == (level == "good")


def test_the_health_of_a_node_that_does_not_run_is_no_warning() -> None:
    finding = health_finding("hall", report("failed", trouble="x"), runs=False)
    assert (finding.level, finding.found) == (
        "good",
        "node hall does not run; it published health last at 2026-11-29T10:00:00.000000Z",
    )


@pytest.mark.parametrize(
    ("age_s", "status", "found"),
    [(20, "ok", "runs, with status ok"), (100, "ok", "does not run"), (1, "stopped", "does not run")],
)
def test_doctor_reads_the_health_with_the_account_of_the_node(
    age_s: float, status: str, found: str, tmp_path: Path, broker: Mosquitto
) -> None:
    at = datetime.now(timezone.utc) - timedelta(seconds=age_s)
    health = {"schema": 1, "status": status, "time": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    broker.publish("perceptd/hall/health", json.dumps(health).encode(), retain=True)
    config = tmp_path / "config.yaml"
    config.write_text(f"node: hall\nbundle: none\nmqtt: {{port: {broker.port}}}\nstreams: {{door: {{camera: 0}}}}\n")
    first, second = NodeChecks(config).broker()
    assert (first.level, second.level, second.check) == ("good", "good", "health")
    assert found in second.found


def test_no_health_and_one_that_is_no_health_are_no_finding(broker: Mosquitto) -> None:
    config = MqttConfig(port=broker.port)
    assert retained_health(config, "hall") is None
    broker.publish("perceptd/hall/health", b"[]", retain=True)
    assert retained_health(config, "hall") is None
