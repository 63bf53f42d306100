"""The metrics of a node as text for a Prometheus server. The one door to prometheus_client.

Names and units follow Prometheus' conventions: seconds, bytes and ratios; what only grows ends in `_total`.
Labels are bounded: streams, sources and accelerators of the config, encoders of the active bundle, and reasons.
"""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from daemon.core.histogram import BOUNDS_S, Durations
from daemon.core.records import UPDATE_STAGES
from daemon.mqtt.update_payloads import ModelsPayload
from daemon.node.accelerator_health import fails
from daemon.node.health import Health, is_faulty
from daemon.node.metrics_input import Observed

STATUSES = ("ok", "degraded", "stopped", "failed")

# So many reasons of one stream or part have a series of their own, in the order in which they came. The others share
# the last one.
MAX_REASONS = 64
OTHER = "other"

PPM = 1e-6

# how the counters of lost messages of events begin, see docs/mqtt.md
LOST = "event_"

Row = tuple[tuple[str, ...], float]


def render(observed: Observed, accept: str) -> tuple[str, bytes]:
    """Return the type and the text of metrics: OpenMetrics where the header `accept` asks for it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_NodeCollector(observed))
    ProcessCollector(registry=registry)
    if "application/openmetrics-text" in accept:
        text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return openmetrics.CONTENT_TYPE_LATEST, text
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)


class _NodeCollector(Collector):
    """Gives one snapshot to a registry."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def collect(self) -> Iterable[Metric]:
        """Return every metric of the node."""
        observed = self._observed
        yield from _node(observed.health)
        yield from _streams(observed.health)
        yield from _encoders(observed.health)
        yield from _mqtt(observed.health)
        yield from _teaching(observed.health)
        yield from _history(observed.health)
        yield from _models(observed.models)
        yield _histogram(
            "invoke_duration", "Time that the model of an encoder takes.", "encoder", observed.invokes.items()
        )
        yield _histogram(
            "publish_latency",
            "Time from capture until the recognition reaches the MQTT client.",
            "stream",
            observed.publishes.items(),
        )


def _node(health: Health) -> Iterator[Metric]:
    info = InfoMetricFamily("perceptd_node", "The node, its version and its active bundle.")
    info.add_metric([], {"node": health.node, "version": health.version, "bundle": health.bundle})
    yield info
    yield _gauge("status", "Which status the node has: 1.", _one_of(STATUSES, health.status), "status")
    problems = {
        "loop": health.trouble,
        "reload": health.reload_problem,
        "bundle": health.bundle_changed,
        "outbox": health.mqtt.outbox.trouble,
        "teaching": health.teaching.problem,
        "history": health.history.problem,
        "state": health.state_problem,
    }
    rows = [((part,), float(problem is not None)) for part, problem in problems.items()]
    yield _gauge("problem", "Whether a part of the node has a problem, which health tells in words.", rows, "part")
    process = health.process
    yield _gauge("uptime_seconds", "Time since the node was started.", [((), process.uptime_s)])
    yield _counter(
        "children_killed", "Child processes that were killed while they ran.", [((), process.children_killed)]
    )
    left = [((), float(process.children_left_behind))]
    yield _counter("children_left_behind", "Child processes that the system did not end in time.", left)
    yield _counter("system_errors", "Errors of the system that a loop has survived.", [((), process.system_errors)])


def _streams(health: Health) -> Iterator[Metric]:
    streams = health.streams.items()
    available = [((name,), float(one.available)) for name, one in streams]
    yield _gauge("stream_available", "Whether anything can be recognised in the stream now.", available, "stream")
    paused = [((name,), float(one.paused)) for name, one in streams]
    yield _gauge("stream_paused", "Whether the stream is paused on request.", paused, "stream")
    recognitions = [((name,), float(one.recognitions)) for name, one in streams]
    yield _counter("recognitions", "Recognitions made.", recognitions, "stream")
    yield _counter("events", "Messages of events made.", [((name,), one.events) for name, one in streams], "stream")
    sources = [((name, source), one) for name, each in streams for source, one in each.sources.items()]
    labels = "stream", "source"
    faulty = [(key, float(is_faulty(one))) for key, one in sources]
    yield _gauge("source_faulty", "Whether the source does not deliver as it should.", faulty, *labels)
    yield _counter("source_failures", "Failures of the source.", [(key, one.failures) for key, one in sources], *labels)
    yield _counter(
        "source_stalls", "Times at which the source fell silent.", [(k, one.stalls) for k, one in sources], *labels
    )
    reopened = [(key, float(one.reopened)) for key, one in sources]
    yield _counter("source_reopened", "Times at which the source was opened again.", reopened, *labels)
    drifts = [(key, one.drift_ppm * PPM) for key, one in sources if one.drift_ppm is not None]
    yield _gauge("source_drift_ratio", "Drift of the source's clock against this machine's.", drifts, *labels)
    inputs = [((name, sense), one) for name, each in streams for sense, one in each.inputs.items()]
    captured = [(key, float(one.captured)) for key, one in inputs]
    yield _counter("captured", "Frames, blocks and lines captured.", captured, "stream", "sense")
    encoded = [(key, float(one.encoded)) for key, one in inputs]
    yield _counter("encoded", "Embeddings made.", encoded, "stream", "sense")
    dropped = [row for key, one in inputs for row in _by_reason(key, one.dropped)]
    yield _counter("dropped", "Inputs dropped, by reason.", dropped, "stream", "sense", "reason")


def _encoders(health: Health) -> Iterator[Metric]:
    devices = [((name, one.device), 1.0) for name, one in health.encoders.items()]
    yield _gauge("encoder_device", "Which device runs the encoder now: 1.", devices, "encoder", "device")
    accelerators = health.accelerators.items()
    used = [((name,), float(one.state == "in_use")) for name, one in accelerators]
    yield _gauge("accelerator_in_use", "Whether the accelerator computes.", used, "accelerator")
    fallback = [((name,), float(fails(one))) for name, one in accelerators]
    yield _gauge(
        "accelerator_cpu_fallback", "Whether the CPU computes because the accelerator cannot.", fallback, "accelerator"
    )
    starts = [((name,), float(one.starts)) for name, one in accelerators]
    yield _counter("accelerator_starts", "Starts of the accelerator's process.", starts, "accelerator")
    failures = [((name, kind), float(count)) for name, one in accelerators for kind, count in one.failures.items()]
    yield _counter("accelerator_failures", "Failures of the accelerator, by kind.", failures, "accelerator", "kind")
    work = [((name, encoder), each) for name, one in accelerators for encoder, each in one.encoders.items()]
    labels = "accelerator", "encoder"
    yield _counter("accelerator_invokes", "Inputs that it computed.", [(key, one.ran) for key, one in work], *labels)
    on_cpu = [(key, float(one.on_cpu)) for key, one in work]
    yield _counter("accelerator_cpu_invokes", "Inputs that the CPU computed in its place.", on_cpu, *labels)


def _mqtt(health: Health) -> Iterator[Metric]:
    mqtt, outbox = health.mqtt, health.mqtt.outbox
    yield _gauge("mqtt_connected", "Whether the broker is connected.", [((), float(mqtt.connected))])
    yield _counter("mqtt_reconnects", "Times at which the connection was made again.", [((), mqtt.reconnects)])
    refused = [((), float(len(mqtt.refused_subscriptions)))]
    yield _gauge("mqtt_refused_subscriptions", "Subscriptions that the broker refuses now.", refused)
    yield _counter("mqtt_published", "Messages given to the MQTT client.", [((), mqtt.published)])
    dropped = _by_reason((), mqtt.dropped)
    yield _counter("mqtt_dropped", "Messages dropped, by their kind and the reason.", dropped, "reason")
    # of its own: a series that begins with the first loss shows no increase
    lost = sum(count for reason, count in mqtt.dropped.items() if reason.startswith(LOST))
    yield _counter("events_lost", "Messages of events that were dropped, for any reason.", [((), float(lost))])
    yield _gauge("outbox_waiting_events", "Events that wait to be written to disk.", [((), outbox.waiting)])
    stored = [((), float(outbox.stored))]
    yield _gauge("outbox_stored_events", "Events on disk that the broker has not acknowledged.", stored)
    yield _gauge("outbox_stored_bytes", "Bytes of these events.", [((), outbox.stored_bytes)])
    coalesced = [((), float(outbox.coalesced))]
    yield _counter("outbox_coalesced", "Updates that a later message of the same event has replaced.", coalesced)


def _teaching(health: Health) -> Iterator[Metric]:
    teaching = health.teaching
    yield _gauge("teaching_labels", "Labels that were taught.", [((), teaching.labels)])
    yield _gauge("teaching_examples", "Examples of taught labels.", [((), teaching.examples)])
    yield _gauge("teaching_background_moments", "Moments of background of live streams.", [((), teaching.background)])
    dropped = _by_reason((), teaching.dropped)
    yield _counter("teaching_dropped", "What could not be stored or answered, by reason.", dropped, "reason")


def _history(health: Health) -> Iterator[Metric]:
    history = health.history
    if not history.enabled:
        return
    yield _gauge("history_events", "Events that are kept on the device.", [((), history.events)])
    yield _gauge("history_bytes", "Bytes of their pictures and clips.", [((), history.bytes)])
    yield _gauge("history_quota_bytes", "The most bytes that these may have.", [((), history.quota_bytes)])
    yield _gauge("history_ring_bytes", "Memory for what comes before an event.", [((), history.ring_bytes)])
    dropped = _by_reason((), history.dropped)
    yield _counter("history_dropped", "What was not kept, by reason.", dropped, "reason")


def _models(models: ModelsPayload | None) -> Iterator[Metric]:
    if models is None:
        return
    stage = None if models.candidate is None else models.candidate.stage
    rows = _one_of(UPDATE_STAGES, stage)
    yield _gauge("model_update_stage", "At which stage a bundle is being installed: 1.", rows, "stage")
    problems = {
        "source": models.last_check is not None and not models.last_check.ok,
        "state": models.trouble is not None,
    }
    broken = [((part,), float(problem)) for part, problem in problems.items()]
    yield _gauge("model_problem", "Whether the source of bundles, or the state on disk, has a problem.", broken, "part")
    result = models.last_result
    failed = None if result is None or result.ok else result.stage
    rows = _one_of(UPDATE_STAGES, failed)
    # at the stage `probation` the node has gone back to the bundle before
    yield _gauge("model_last_failure", "At which stage the latest bundle was given up: 1.", rows, "stage")
    yield _gauge("model_refused_bundles", "Bundles that are not tried again.", [((), len(models.refused))])


def _one_of(names: Iterable[str], chosen: str | None) -> list[Row]:
    return [((name,), float(name == chosen)) for name in names]


def _by_reason(key: tuple[str, ...], counts: Mapping[str, int]) -> list[Row]:
    """Return one row for each of the first reasons, and one for all others."""
    found = list(counts.items())
    rows: list[Row] = [((*key, reason), float(count)) for reason, count in found[:MAX_REASONS]]
    rest = sum(count for _, count in found[MAX_REASONS:])
    return [*rows, ((*key, OTHER), float(rest))] if rest else rows


def _gauge(name: str, text: str, rows: Iterable[tuple[tuple[str, ...], float]], *labels: str) -> Metric:
    family = GaugeMetricFamily(f"perceptd_{name}", text, labels=labels)
    for key, value in rows:
        family.add_metric(key, value)
    return family


def _counter(name: str, text: str, rows: Iterable[tuple[tuple[str, ...], float]], *labels: str) -> Metric:
    family = CounterMetricFamily(f"perceptd_{name}", text, labels=labels)
    for key, value in rows:
        family.add_metric(key, value)
    return family


def _histogram(name: str, text: str, label: str, rows: Iterable[tuple[str, Durations]]) -> Metric:
    family = HistogramMetricFamily(f"perceptd_{name}_seconds", text, labels=[label])
    for key, found in rows:
        buckets = [(str(bound), float(count)) for bound, count in zip(BOUNDS_S, found.at_most, strict=True)]
        family.add_metric([key], [*buckets, ("+Inf", float(found.count))], found.sum_s)
    return family
