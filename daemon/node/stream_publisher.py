"""Says over MQTT what one stream has recognised."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon.config.mqtt import RecognitionsConfig
from daemon.core.errors import InputError
from daemon.core.logs import rate_limited_logger
from daemon.core.records import Event, Modality, Recognition
from daemon.core.timing import NS_PER_MS, NS_PER_S, monotonic_ns, wall_time
from daemon.fusion.fuse import Fused
from daemon.mqtt.payloads import event_payload, recognition_json, state_payload
from daemon.mqtt.session import Session
from daemon.updates.state import BundleMetrics


class RecognitionGate:
    """Decides, moment by moment, for one stream. Depends on moment times alone, so a replay repeats it.

    `rate` keeps a schedule: a recognition passes up to half a period before it is due, and one that comes up to half
    a period late does not push the next one back. So 20 a second of 30 frames a second are 20, not the 15 that a
    shortest distance would leave. In any T seconds at most `max_rate_hz` * T + 2 pass.
    """

    def __init__(self, config: RecognitionsConfig) -> None:
        self._publish = config.publish
        self._period_ns = round(NS_PER_S / config.max_rate_hz)
        self._due_ns: int | None = None
        self._last: tuple[str, frozenset[Modality]] | None = None

    def passes(self, recognition: Recognition, label: str) -> bool:
        """Whether to publish; `label` is the top one. An empty moment never passes."""
        present = frozenset(recognition.moment.embeddings)
        changed = (label, present) != self._last
        self._last = (label, present)
        if not present:
            return False
        if self._publish == "rate":
            return self._is_due(recognition.moment.time_ns)
        return changed or self._publish == "every"

    def _is_due(self, time_ns: int) -> bool:
        half_ns = self._period_ns // 2
        if self._due_ns is None:
            self._due_ns = time_ns
        early_ns = self._due_ns - time_ns
        if early_ns > half_ns:
            return False
        on_schedule = early_ns >= -half_ns
        self._due_ns = (self._due_ns if on_schedule else time_ns) + self._period_ns
        return True


LATEST_MOMENTS = 500
"""Enough for a p99 that rests on five of them."""


class VitalSigns:
    """Of one bundle; the thread that fuses takes them, another reads.

    `errors` counts what has failed since the daemon started, under whichever bundle.
    """

    def __init__(self, errors: Callable[[], int]) -> None:
        self._errors = errors
        self._errors_before = errors()
        self._latest: deque[tuple[int, float]] = deque(maxlen=LATEST_MOMENTS)
        self._moments = 0

    def begin(self) -> None:
        """The bundle takes over: what failed until now was another's."""
        self._errors_before = self._errors()

    def take(self, latency_ns: int, top_score: float) -> None:
        """Note one moment: how long after its capture it was recognised, and the score of its best label."""
        self._latest.append((latency_ns, top_score))
        self._moments += 1

    def read(self) -> BundleMetrics:
        """Moments and errors since it took over, latencies and scores of the latest moments."""
        latest, errors = self._latest.copy(), self._errors() - self._errors_before
        if not latest:
            return BundleMetrics(moments=0, errors=errors, p99_ms=None, mean_top_score=None)
        latencies_ns = sorted(latency_ns for latency_ns, _ in latest)
        return BundleMetrics(
            moments=self._moments,
            errors=errors,
            p99_ms=latencies_ns[min(len(latest) - 1, len(latest) * 99 // 100)] / NS_PER_MS,
            mean_top_score=sum(score for _, score in latest) / len(latest),
        )


KEPT = 512
"""Enough for a p99 that rests on five samples; the last quarter of a minute at 30 a second."""


class Latencies:
    """The latest `KEPT` durations; one thread adds while another reads."""

    def __init__(self) -> None:
        self._durations_ns: deque[int] = deque(maxlen=KEPT)

    def add(self, duration_ns: int) -> None:
        """Note one duration."""
        self._durations_ns.append(duration_ns)

    def percentile_ms(self, percent: float) -> float | None:
        """The given percentile in milliseconds, or None when there are none yet."""
        ordered = sorted(self._durations_ns.copy())
        if not ordered:
            return None
        index = min(len(ordered) - 1, int(len(ordered) * percent / 100))
        return round(ordered[index] / NS_PER_MS, 3)


log = rate_limited_logger(__name__)

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
