"""Says over MQTT what one stream has recognised."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.clock import monotonic_ns, wall_time
from daemon.errors import InputError
from daemon.fusion.stream import Fused
from daemon.mqtt import RecognitionGate, Session, event_payload, recognition_json, state_payload
from daemon.mqtt_config import RecognitionsConfig
from daemon.records import Event, Recognition
from daemon.status.latency import Latencies
from daemon.vitals import VitalSigns

log = logging.getLogger(__name__)

WAIT_IN_ORDER_S = 10.0
"""How long replay as fast as possible waits for the broker before it gives a message up."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What every payload of a stream says of where it comes from."""

    node: str
    stream: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A bundle as payloads show it: its id, the names of its labels; and where its vital signs are kept."""

    id: str
    labels: Sequence[str]
    signs: VitalSigns


class StreamPublisher:
    """Publishes recognitions, events and the state of one stream; used by the thread that fuses it.

    With `in_order` it waits for the broker rather than dropping.
    """

    def __init__(
        self,
        identity: Identity,
        session: Session,
        config: RecognitionsConfig,
        latencies: Latencies,
        *,
        in_order: bool,
    ) -> None:
        self._identity = identity
        self._session = session
        self._gate = RecognitionGate(config)
        self._top = config.labels
        self._latencies = latencies
        self._in_order = in_order
        self._is_patient = False
        self._open: dict[str, Event] = {}
        self.recognitions = 0
        self.events = 0

    def begin(self) -> None:
        """Say that nothing is recognised yet."""
        self._publish_state(None, monotonic_ns())
        self._is_patient = self._in_order

    def publish(self, bundle: Shown, fused: Fused) -> None:
        """Publish what came of one step of fusion under a bundle."""
        if fused.not_finite:
            self.recognitions += fused.not_finite
            self._session.counters.drop("recognition_not_finite", fused.not_finite)
        for recognition in fused.recognitions:
            self._publish_recognition(bundle, recognition)
        for event in fused.events:
            self._publish_event(bundle, event)

    def _publish_recognition(self, bundle: Shown, recognition: Recognition) -> None:
        self.recognitions += 1
        best = int(recognition.scores.argmax())
        label = bundle.labels[best]
        bundle.signs.take(monotonic_ns() - recognition.moment.time_ns, float(recognition.scores[best]))
        if not self._gate.passes(recognition, label):
            return
        try:
            payload = recognition_json(
                recognition,
                labels=bundle.labels,
                node=self._identity.node,
                stream=self._identity.stream,
                bundle_id=bundle.id,
                top=self._top,
                time=wall_time(recognition.moment.time_ns),
            )
        except InputError as error:
            self._session.counters.drop("recognition_not_finite")
            log.warning("%s: %s", self._identity.stream, error)
            return
        self._send("recognition", payload)
        if not self._in_order:
            self._latencies.add(monotonic_ns() - recognition.moment.time_ns)

    def _publish_event(self, bundle: Shown, event: Event) -> None:
        self.events += 1
        payload = event_payload(
            event,
            node=self._identity.node,
            stream=self._identity.stream,
            bundle_id=bundle.id,
            time=wall_time(event.time_ns),
            started=wall_time(event.started_ns),
        )
        wait_s = self._wait_s()
        is_sent = self._session.publish_event(f"{self._identity.stream}/event", payload, wait_s=wait_s)
        self._is_patient = is_sent and wait_s > 0
        if event.phase == "end":
            self._open.pop(event.label, None)
        else:
            self._open[event.label] = event
        strongest = max(self._open.values(), key=lambda open_event: open_event.score, default=None)
        self._publish_state(strongest, event.time_ns if strongest is None else strongest.started_ns)

    def _publish_state(self, event: Event | None, since_ns: int) -> None:
        label, score = (event.label, event.score) if event else (None, None)
        payload = state_payload(label=label, score=score, since=wall_time(since_ns), open_labels=list(self._open))
        self._send("state", payload.to_json(), qos=1, retain=True)

    def _send(self, kind: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        wait_s, topic = self._wait_s(), f"{self._identity.stream}/{kind}"
        self._is_patient = self._session.publish(topic, payload, qos=qos, retain=retain, wait_s=wait_s) and wait_s > 0

    def _wait_s(self) -> float:
        """How long to wait for the broker. Without one only the first message waits: else a replay would never end."""
        self._is_patient = self._is_patient or (self._in_order and self._session.connected)
        return WAIT_IN_ORDER_S if self._is_patient else 0.0
