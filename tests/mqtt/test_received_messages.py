import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.mqtt.health_report import HealthReport
from daemon.mqtt.payloads import EventPayload, RecognitionPayload, StatePayload, state_payload
from daemon.mqtt.subscriber import MAX_PAYLOAD_BYTES, Malformed, parse
from daemon.mqtt.teaching_payloads import TeachingPayload
from daemon.mqtt.update_payloads import ModelsPayload
from tests.fakes.teaching import question, taught, teaching
from tests.fakes.updates import models
from tests.mqtt.records import recognition
from tests.mqtt.test_payloads import TIME, build

GOOD = build(recognition()).to_json()


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(GOOD), **fields}).encode()


def of_bytes(value: object) -> str | None:
    """The name of a parameter; without what differs from run to run, which the workers must agree on."""
    return "payload" if isinstance(value, bytes) else None


@pytest.mark.parametrize(
    ("topic", "payload", "kind"),
    [
        ("perceptd/n/s/recognition", GOOD, RecognitionPayload),
        ("perceptd/n/s/recognition", changed(new_field=[1, 2]), RecognitionPayload),
        ("perceptd/n/s/state", state_payload(label=None, score=None, since=TIME).to_json(), StatePayload),
        ("perceptd/n/health", b'{"schema": 1, "status": "ok", "streams": {}, "more": 1}', HealthReport),
        ("perceptd/n/models", models().to_json(), ModelsPayload),
        ("perceptd/n/teaching", teaching(taught(), question=question()).to_json(), TeachingPayload),
        ("perceptd/n/availability", b"online", str),
    ],
    ids=of_bytes,
)
def test_payloads_of_the_daemon_are_parsed(topic, payload, kind):
    received = parse(topic, payload, False, 1)
    assert received is not None
    assert isinstance(received.content, kind)
    assert (received.node, received.payload) == ("n", payload)


@pytest.mark.parametrize(
    "topic", ["perceptd/n/s/text", "perceptd/n/s/models", "perceptd/n", "x/n/s/event", "perceptd/n/s/event/x", ""]
)
def test_other_topics_are_ignored(topic):
    assert parse(topic, b"{}", False, 1) is None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "Invalid JSON"),
        (b"\xff", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b" " * (MAX_PAYLOAD_BYTES + 1), "bytes, more than"),
        (b"[]", "object"),
        (changed(schema=2), "schema"),
        (changed(time="yesterday"), "time: Value error, expected a time like"),
        (changed(time="2026-13-31T12:00:00.000001Z"), "time"),
        (changed(time="9999-12-31T12:00:00.000001Z"), "time"),
        (changed(score=2), "score"),
        (changed(labels=[]), "labels"),
        (changed(labels=[{"label": "7"}]), "labels.0.score"),
        (changed(modalities={"smell": {"age_ms": 1}}), "modalities.smell"),
        (changed(label="x" * 257), "label"),
        (changed(score=float("nan")), "score"),
    ],
    ids=of_bytes,
)
def test_the_reason_names_the_fault(payload, reason):
    received = parse("perceptd/n/s/recognition", payload, False, 1)
    assert received is not None
    assert isinstance(received.content, Malformed)
    assert reason in received.content.reason


def test_availability_is_online_or_offline():
    received = parse("perceptd/n/availability", b"perhaps", False, 1)
    assert received is not None
    assert received.content == Malformed("neither online nor offline")


@given(st.sampled_from(["recognition", "event", "state"]), st.binary() | st.text().map(str.encode))
def test_hostile_bytes_are_only_ever_malformed(kind, payload):
    received = parse(f"perceptd/n/s/{kind}", payload, False, 1)
    assert received is not None
    assert isinstance(received.content, Malformed)


def test_latency_is_from_the_payloads_time_to_the_receivers_clock():
    micros = 1_769_860_800 * 10**6 + 1
    received = parse("perceptd/n/s/recognition", GOOD, False, micros * 1000 + 23_400_000)
    assert received is not None
    assert received.latency_ms == pytest.approx(23.4)
    retained = parse("perceptd/n/s/recognition", GOOD, True, micros * 1000)
    assert retained is not None
    assert retained.latency_ms is None


def test_events_are_checked_too():
    event = EventPayload(
        id="a", phase="start", label="7", score=1, peak=1, time=TIME, started=TIME, duration_s=0, ended_by=None,
        node="n", stream="s", bundle="b",
    )  # fmt: skip
    received = parse("perceptd/n/s/event", event.to_json(), False, 1)
    assert received is not None
    assert received.content == event
