"""The topic `status`: what it says of a node, and that no counter and no time is in it."""

import pytest

from daemon.mqtt.status_payload import MAX_REASON, one_line
from daemon.node.health import Health
from daemon.node.status import status_payload
from tests.node.healths import accelerator, health, source, stream

CAMERA = "there is no /dev/video0"
FAILING = {"door": stream({"camera": source("backing_off", CAMERA, failures=3)}, available=False)}


def test_a_node_that_is_well_has_no_reason() -> None:
    found = status_payload(health(streams={"door": stream({"camera": source("healthy", "an old fault")})}), None)
    assert found.to_json().decode() == (
        '{"schema":1,"node":"hall","status":"ok","reason":null,"version":"1.0.0","bundle":"digits@0.1.0",'
        '"models_problem":null,"streams":{"door":{"available":true,"paused":false,"reason":null,'
        '"camera":true,"microphone":null}}}'
    )


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (health("degraded", streams=FAILING), f"door/camera: {CAMERA}"),
        (health("degraded", streams={"door": stream({"camera": source("recovering", failures=1)})}),
         "door/camera: recovering"),
        (health(streams={"door": stream({"camera": source("recovering")})}), None),
        (health(streams={"door": stream({"camera": source("paused")}, paused=True)}), None),
        (health("degraded", accelerators={"edgetpu:usb:0": accelerator("failed", "it hangs")}),
         "edgetpu:usb:0: it hangs; on the CPU"),
        (health("degraded", refused=["perceptd/hall/+/text", "perceptd/hall/command/+"]),
         "the MQTT broker refuses subscriptions to perceptd/hall/+/text, perceptd/hall/command/+"),
        (health(outbox_trouble="the outbox is full"), "the outbox is full"),
        (health(reload_problem="line 3"), "the config was not reloaded: line 3"),
        (health(state_problem="set aside: switches.json.version-2"), "set aside: switches.json.version-2"),
        (health(bundle_changed="head.tflite has changed"), "head.tflite has changed"),
        (health(teaching_problem="the disk is full"), "teaching: the disk is full"),
        (health(metrics_problem="the address is in use"), "the address is in use"),
        (health("failed", trouble="fusion has hung for 5 s", streams=FAILING, refused=["a"], reload_problem="b"),
         f"fusion has hung for 5 s; door/camera: {CAMERA}; the MQTT broker refuses subscriptions to a; "
         "the config was not reloaded: b"),
    ],
)  # fmt: skip
def test_the_reason_names_all_faults_the_most_important_first(report: Health, reason: str | None) -> None:
    assert status_payload(report, None).reason == reason


def test_a_stream_says_what_is_wrong_with_its_own_sources() -> None:
    streams = FAILING | {"yard": stream({"camera": source("healthy")}, paused=False)}
    found = status_payload(health("degraded", streams=streams), None).streams
    assert (found["door"].reason, found["door"].available) == (f"camera: {CAMERA}", False)
    assert (found["yard"].reason, found["yard"].available) == (None, True)


def test_the_failing_source_of_bundles_is_named() -> None:
    assert status_payload(health(), "no route to host").models_problem == "no route to host"


@pytest.mark.parametrize(
    ("texts", "line"),
    [
        ([], None),
        (["one"], "one"),
        (["one\ntwo", "three"], "one two; three"),
        (["rtsp://user:word@camera/1 is gone"], "rtsp://***@camera/1 is gone"),
        (["\x1b[31mred"], "\N{REPLACEMENT CHARACTER}[31mred"),
        (["x" * 400, "y"], "x" * (MAX_REASON - 1) + "…"),
        (["x" * MAX_REASON], "x" * (MAX_REASON - 1) + "…"),
    ],
)
def test_reasons_are_one_bounded_line(texts: list[str], line: str | None) -> None:
    assert one_line(texts) == line
