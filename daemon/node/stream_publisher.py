"""Publishes the recognitions, events and state of one stream over MQTT."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from daemon.bundle.taught import Taught
from daemon.config.mqtt import RecognitionsConfig
from daemon.core.errors import InputError
from daemon.core.histogram import Histogram
from daemon.core.logs import rate_limited_logger
from daemon.core.records import Event, Recognition
from daemon.core.timing import monotonic_ns, wall_time
from daemon.fusion.fuse import Fused
from daemon.mqtt.payloads import event_payload, state_payload
from daemon.mqtt.recognition_json import BundleView, recognition_json
from daemon.mqtt.session import Session
from daemon.node.latency import NOT_FINITE, BundleMonitor, Latencies
from daemon.node.recognition_gate import RecognitionGate
from daemon.node.taught_states import TaughtStates

log = rate_limited_logger(__name__)

# a replay as fast as possible waits so long for the broker before it drops a message
WAIT_IN_ORDER_S = 10.0


@dataclass(frozen=True, slots=True)
class Identity:
    """The node and stream that every payload names."""

    node: str
    stream: str


@dataclass(frozen=True, slots=True)
class PublishedBundle:
    """What payloads tell of a bundle, the monitor of its metrics, and the labels that it was taught.

    `fingerprints` has that of each encoder. `background` are the labels that say that nothing happens.
    """

    view: BundleView
    monitor: BundleMonitor
    taught: Taught | None
    fingerprints: Mapping[str, str]
    background: Sequence[str] = ()

    def with_labels(self, labels: Sequence[str]) -> "PublishedBundle":
        """Return the bundle as a stream shows it, in which only these labels apply."""
        return replace(self, view=replace(self.view, labels=labels))


class StreamPublisher:
    """Publishes recognitions, events and the state of one stream. Used by the thread that fuses the stream.

    With `in_order` it waits for the broker and drops nothing.
    `delay_ns` is how long after their capture the camera's pictures are used. It is taken out of the published times.
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
        self._states = TaughtStates()
        self._taught: Taught | None = None
        self.delay_ns = 0
        self.recognitions = 0
        self.events = 0
        # from capture until the recognition reaches the MQTT client
        self.durations = Histogram()

    def begin(self) -> None:
        """Publish the state of a stream in which nothing is recognised yet."""
        self._publish_state(None, monotonic_ns())
        self._publish_states()
        self._is_patient = self._in_order

    def publish(self, bundle: PublishedBundle, fused: Fused) -> None:
        """Publish the result of one step of fusion under a bundle."""
        if fused.not_finite:
            self.recognitions += fused.not_finite
            self._session.counters.drop(NOT_FINITE, fused.not_finite)
        for recognition in fused.recognitions:
            self._publish_recognition(bundle, recognition)
        for event in fused.events:
            self._publish_event(bundle, event)
        if self._follow(bundle.taught) | self._states.take(fused.states):
            self._publish_states()

    def _publish_recognition(self, bundle: PublishedBundle, recognition: Recognition) -> None:
        self.recognitions += 1
        best = int(recognition.scores.argmax())
        label = bundle.view.labels[best]
        senses = frozenset(bundle.view.encoders[name] for name in recognition.moment.embeddings)
        bundle.monitor.record(monotonic_ns() - recognition.moment.time_ns, float(recognition.scores[best]))
        if not self._gate.passes(recognition.moment.time_ns, label, senses):
            return
        try:
            payload = recognition_json(
                recognition,
                bundle=bundle.view,
                node=self._identity.node,
                stream=self._identity.stream,
                top=self._top,
                time=wall_time(recognition.moment.time_ns - self.delay_ns),
            )
        except InputError as error:
            self._session.counters.drop(NOT_FINITE)
            log.warning("%s: %s", self._identity.stream, error)
            return
        self._send("recognition", payload)
        if not self._in_order:
            duration_ns = monotonic_ns() - recognition.moment.time_ns
            self._latencies.add(duration_ns)
            self.durations.add(duration_ns)

    def _publish_event(self, bundle: PublishedBundle, event: Event) -> None:
        self.events += 1
        payload = event_payload(
            event,
            node=self._identity.node,
            stream=self._identity.stream,
            bundle_id=bundle.view.id,
            time=wall_time(event.time_ns - self.delay_ns),
            started=wall_time(event.started_ns - self.delay_ns),
        )
        wait_s = self._wait_s()
        is_sent = self._session.publish_event(f"{self._identity.stream}/event", payload, wait_s=wait_s)
        self._is_patient = is_sent and wait_s > 0
        if event.phase == "end":
            self._open.pop(event.label, None)
        else:
            self._open[event.label] = event
        strongest = max(self._open.values(), key=attrgetter("score"), default=None)
        self._publish_state(strongest, event.time_ns if strongest is None else strongest.started_ns)

    def _publish_state(self, event: Event | None, since_ns: int) -> None:
        label, score = (event.label, event.score) if event else (None, None)
        payload = state_payload(
            label=label, score=score, since=wall_time(since_ns - self.delay_ns), open_labels=list(self._open)
        )
        self._send("state", payload.to_json(), qos=1, retain=True)

    def _follow(self, taught: Taught | None) -> bool:
        """Take the groups of states of another bundle; return whether there are others than before."""
        if taught is self._taught:
            return False
        self._taught = taught
        return self._states.follow({} if taught is None else taught.groups(self._identity.stream), monotonic_ns())

    def _publish_states(self) -> None:
        self._send("states", self._states.payload(self.delay_ns).to_json(), qos=1, retain=True)

    def _send(self, kind: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        wait_s, topic = self._wait_s(), f"{self._identity.stream}/{kind}"
        self._is_patient = self._session.publish(topic, payload, qos=qos, retain=retain, wait_s=wait_s) and wait_s > 0

    def _wait_s(self) -> float:
        """Return how long to wait for the broker: 0 after a wait in vain, until it connects, so that a replay ends."""
        self._is_patient = self._is_patient or (self._in_order and self._session.connected)
        return WAIT_IN_ORDER_S if self._is_patient else 0.0
