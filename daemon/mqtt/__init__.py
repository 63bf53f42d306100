"""The way out: publishes recognitions, events and health to an MQTT broker, takes texts, and shows what arrives."""

from daemon.mqtt.ask import ask
from daemon.mqtt.commands import (
    AnswerPayload,
    OfDevice,
    OfInstall,
    OfLogLevel,
    OfPin,
    OfStream,
    Order,
    Request,
    Unfit,
    read_order,
)
from daemon.mqtt.discovery import StreamEntities, discovery_payload, discovery_topic, platforms
from daemon.mqtt.follow import ModelsFollower, NotHeard
from daemon.mqtt.gate import RecognitionGate
from daemon.mqtt.models_payload import (
    MAX_REASON,
    BundlePart,
    CandidatePart,
    CheckPart,
    ModelsPayload,
    ResultPart,
    without_updates,
)
from daemon.mqtt.models_words import active_words, check_words, listing, progress_words, result_words, stage_words
from daemon.mqtt.payloads import (
    EventPayload,
    RecognitionPayload,
    StatePayload,
    event_payload,
    recognition_json,
    state_payload,
)
from daemon.mqtt.received import Malformed, Received, parse
from daemon.mqtt.render import Narrator, render
from daemon.mqtt.session import Session, SessionStatus
from daemon.mqtt.trial import try_broker
from daemon.mqtt.watch import watch

__all__ = [
    "MAX_REASON",
    "AnswerPayload",
    "BundlePart",
    "CandidatePart",
    "CheckPart",
    "EventPayload",
    "Malformed",
    "ModelsFollower",
    "ModelsPayload",
    "Narrator",
    "NotHeard",
    "OfDevice",
    "OfInstall",
    "OfLogLevel",
    "OfPin",
    "OfStream",
    "Order",
    "Received",
    "RecognitionGate",
    "RecognitionPayload",
    "Request",
    "ResultPart",
    "Session",
    "SessionStatus",
    "StatePayload",
    "StreamEntities",
    "Unfit",
    "active_words",
    "ask",
    "check_words",
    "discovery_payload",
    "discovery_topic",
    "event_payload",
    "listing",
    "parse",
    "platforms",
    "progress_words",
    "read_order",
    "recognition_json",
    "render",
    "result_words",
    "stage_words",
    "state_payload",
    "try_broker",
    "watch",
    "without_updates",
]
