"""The way out: publishes recognitions, events and health to an MQTT broker, takes texts, and shows what arrives."""

from daemon.mqtt.gate import RecognitionGate
from daemon.mqtt.payloads import (
    EventPayload,
    RecognitionPayload,
    StatePayload,
    event_payload,
    recognition_payload,
    state_payload,
)
from daemon.mqtt.session import Session, SessionStatus

__all__ = [
    "EventPayload",
    "RecognitionGate",
    "RecognitionPayload",
    "Session",
    "SessionStatus",
    "StatePayload",
    "event_payload",
    "recognition_payload",
    "state_payload",
]
