"""The metrics of a node: their names, units and labels, as promtool and a parser of OpenMetrics read them."""

import re
import subprocess
import sys

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from daemon.core.histogram import Histogram
from daemon.core.timing import NS_PER_MS
from daemon.mqtt.update_payloads import CandidatePart, CheckPart, ModelsPayload, ResultPart, without_updates
from daemon.node.accelerator_health import EncoderHealth, WorkloadHealth
from daemon.node.health import Health
from daemon.node.input_health import InputHealth
from daemon.node.kept_health import HistoryHealth
from daemon.node.metrics import MAX_REASONS, render
from daemon.node.metrics_input import Observed
from tests.node.healths import TIME, accelerator, health, source, stream

OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"

# what a label may be named: everything that it tells is bounded by the config or the bundle
LABELS = {"accelerator", "device", "encoder", "kind", "part", "reason", "sense", "source", "status", "stage", "stream"}


def a_health() -> Health:
    """The health of a node in which every metric has a sample."""
    used = accelerator("failed", "it hangs")
    used = used.model_copy(
        update={
            "failures": {"hung": 2},
            "encoders": {"scene": WorkloadHealth(ran=7, on_cpu=3, p50_ms=None, p99_ms=None)},
        }
    )
    camera = source("backing_off", "there is no /dev/video0", failures=3).model_copy(update={"drift_ppm": 20.0})
    door = stream({"camera": camera}, available=False, recognitions=11)
    door = door.model_copy(update={"inputs": {"image": InputHealth(captured=9, encoded=8, dropped={"busy": 1})}})
    found = health("degraded", streams={"door": door}, accelerators={"edgetpu:usb:0": used}, published=57)
    encoders = {"scene": EncoderHealth(wanted="auto", device="cpu", reason="it hangs", absent_outputs=[])}
    mqtt = found.mqtt.model_copy(update={"dropped": {"event_refused": 4}})
    teaching = found.teaching.model_copy(update={"dropped": {"peak": 1}})
    kept = HistoryHealth(
        enabled=True, events=5, bytes=1000, quota_bytes=2000, ring_bytes=100, dropped={"disk": 1}, problem=None
    )
    changed = {"encoders": encoders, "mqtt": mqtt, "teaching": teaching, "history": kept}
    return found.model_copy(update=changed)


def some_models() -> ModelsPayload:
    """The payload of a node whose latest bundle was rolled back, and which downloads the next."""
    failed = ResultPart(bundle="digits@0.2.0", ok=False, stage="probation", reason="slow", time=TIME)
    candidate = CandidatePart(
        id="digits@0.3.0", name="digits", version="0.3.0", stage="download", since=TIME, bytes_done=1, bytes_total=2
    )
    changed = {
        "candidate": candidate,
        "last_check": CheckPart(ok=False, reason="no route to host", time=TIME),
        "last_result": failed,
        "refused": [failed],
    }
    return without_updates("hall", "digits", "0.1.0", TIME).model_copy(update=changed)


def observed(found: Health, models: ModelsPayload | None = None) -> Observed:
    durations = Histogram()
    durations.add(3 * NS_PER_MS)
    return Observed(found, models, {"scene": durations.read()}, {"door": durations.read()})


def samples(found: Observed) -> dict[str, float]:
    """Return the value of each series, by its name and the values of its labels in the order of their names."""
    _, text = render(found, OPEN_METRICS)
    return {
        " ".join([sample.name, *(value for _, value in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_promtool_finds_nothing_to_improve() -> None:
    media_type, text = render(observed(a_health(), some_models()), "*/*")
    assert media_type.startswith("text/plain; version=0.0.4")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_open_metrics_is_given_to_whom_asks_for_it() -> None:
    media_type, text = render(observed(a_health()), OPEN_METRICS)
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")


def test_health_is_told_in_base_units() -> None:
    found = samples(observed(a_health(), some_models()))
    expected = {
        "perceptd_node_info digits@0.1.0 hall 1.0.0": 1,
        "perceptd_status degraded": 1,
        "perceptd_status ok": 0,
        "perceptd_stream_available door": 0,
        "perceptd_recognitions_total door": 11,
        "perceptd_source_faulty camera door": 1,
        "perceptd_source_failures_total camera door": 3,
        "perceptd_source_drift_ratio camera door": pytest.approx(20e-6),
        "perceptd_dropped_total busy image door": 1,
        "perceptd_encoder_device cpu scene": 1,
        "perceptd_accelerator_cpu_fallback edgetpu:usb:0": 1,
        "perceptd_accelerator_failures_total edgetpu:usb:0 hung": 2,
        "perceptd_accelerator_cpu_invokes_total edgetpu:usb:0 scene": 3,
        "perceptd_mqtt_connected": 1,
        "perceptd_mqtt_dropped_total event_refused": 4,
        "perceptd_events_lost_total": 4,
        "perceptd_outbox_stored_events": 57,
        "perceptd_model_update_stage download": 1,
        "perceptd_model_update_stage probation": 0,
        "perceptd_model_last_failure probation": 1,
        "perceptd_model_problem source": 1,
        "perceptd_problem outbox": 0,
        "perceptd_history_quota_bytes": 2000,
        "perceptd_history_dropped_total disk": 1,
        "perceptd_invoke_duration_seconds_bucket scene 0.0025": 0,
        "perceptd_invoke_duration_seconds_bucket scene 0.005": 1,
        "perceptd_publish_latency_seconds_sum door": pytest.approx(0.003),
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["process_resident_memory_bytes"] > 1e6


@pytest.mark.parametrize(
    ("report", "part"),
    [
        (health("failed", trouble="fusion hangs"), "loop"),
        (health(reload_problem="line 3"), "reload"),
        (health(bundle_changed="head.tflite has changed"), "bundle"),
        (health(outbox_trouble="the outbox is full"), "outbox"),
        (health(teaching_problem="the disk is full"), "teaching"),
        (health(history_problem="the disk is full"), "history"),
        (health(state_problem="set aside: switches.json.version-2"), "state"),
    ],
)
def test_each_problem_of_the_node_has_its_part(report: Health, part: str) -> None:
    found = samples(observed(report))
    assert [name for name, value in found.items() if name.startswith("perceptd_problem") and value == 1] == [
        f"perceptd_problem {part}"
    ]


def test_labels_are_bounded() -> None:
    """Streams, encoders and reasons are few; a reason beyond the first ones adds no series."""
    _, text = render(observed(a_health(), some_models()), OPEN_METRICS)
    own = [line for line in text.decode().splitlines() if line.startswith("perceptd_") and "_info{" not in line]
    assert {label for line in own for label in re.findall(r'[{,](\w+)="', line)} - {"le"} == LABELS
    report = a_health()
    many = {f"reason{number}": 1 for number in range(MAX_REASONS + 10)}
    found = samples(observed(report.model_copy(update={"mqtt": report.mqtt.model_copy(update={"dropped": many})})))
    dropped = {name: value for name, value in found.items() if name.startswith("perceptd_mqtt_dropped_total")}
    assert len(dropped) == MAX_REASONS + 1
    assert dropped["perceptd_mqtt_dropped_total other"] == 10


def test_a_node_without_metrics_loads_no_library_for_them() -> None:
    code = (
        "import sys; import daemon.cli.run, daemon.node.wiring\n"
        "print([name for name in ('prometheus_client', 'http.server', 'socketserver') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
