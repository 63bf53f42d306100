"""The way out: publishes recognitions, events and health to an MQTT broker, takes texts, and shows what arrives."""

from daemon.mqtt.ask import ask
from daemon.mqtt.commands import AnswerPayload, OfDevice, OfLogLevel, OfStream, Order, Request, Unfit, read_order
from daemon.mqtt.discovery import StreamEntities, discovery_payload, discovery_topic, platforms
from daemon.mqtt.gate import RecognitionGate
from daemon.mqtt.payloads import (
    EventPayload,
    RecognitionPayload,
    StatePayload,
    event_payload,
    recognition_payload,
    state_payload,
)
from daemon.mqtt.received import Malformed, Received, parse
from daemon.mqtt.render import Narrator, render
from daemon.mqtt.session import Session, SessionStatus
from daemon.mqtt.trial import try_broker
from daemon.mqtt.watch import watch

__all__ = [
    "AnswerPayload",
    "EventPayload",
    "Malformed",
    "Narrator",
    "OfDevice",
    "OfLogLevel",
    "OfStream",
    "Order",
    "Received",
    "RecognitionGate",
    "RecognitionPayload",
    "Request",
    "Session",
    "SessionStatus",
    "StatePayload",
    "StreamEntities",
    "Unfit",
    "ask",
    "discovery_payload",
    "discovery_topic",
    "event_payload",
    "parse",
    "platforms",
    "read_order",
    "recognition_payload",
    "render",
    "state_payload",
    "try_broker",
    "watch",
]
