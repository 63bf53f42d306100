"""The daemon's status for systemd, and its watchdog."""

import socket
import threading
from pathlib import Path

import pytest

from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.inference.accelerator_status import AcceleratorState as AcceleratorState
from daemon.node.accelerator_health import AcceleratorHealth, WorkloadHealth
from daemon.node.health import SourceHealth, overall
from daemon.node.switches import Switch, closed_by
from daemon.node.systemd import Notifier, Service, status_text
from daemon.runtime.heartbeat import Heartbeat, HeartbeatStatus, hung_loops
from daemon.runtime.processor import ProcessorShare
from tests.helpers.mosquitto import wait_until

OPEN, PAUSED = Switch(), Switch(paused=True)

WORK = WorkloadHealth(ran=3, on_cpu=1, p50_ms=2.5, p99_ms=4.0)


def round_of(loop: str, *, alive: bool = True, began_s: int = 10, due_s: int = 14) -> HeartbeatStatus:
    return HeartbeatStatus(loop, alive, began_s * NS_PER_S, due_s * NS_PER_S)


@pytest.mark.parametrize(
    ("rounds", "now_s", "expected"),
    [
        ([], 20, None),
        ([round_of("fusion")], 14, None),
        ([round_of("fusion")], 15, "fusion has hung for 5 s"),
        ([round_of("mqtt", due_s=130)], 129, None),
        ([round_of("mqtt", alive=False)], 11, "mqtt has ended"),
        ([round_of("fusion", due_s=12), round_of("mqtt"), round_of("encode-text", alive=False)], 13,
         "fusion has hung for 3 s, encode-text has ended"),
    ],
)  # fmt: skip
def test_hung_loops_names_the_loops_that_hang_or_have_ended(
    rounds: list[HeartbeatStatus], now_s: int, expected: str | None
) -> None:
    assert hung_loops(rounds, now_s * NS_PER_S) == expected


def source(state: str, reason: str | None = None, failures: int = 0) -> SourceHealth:
    return SourceHealth.model_construct(state=state, since="", reason=reason, failures=failures, reopened=0)


@pytest.mark.parametrize(
    ("sources", "streams", "connected", "trouble", "expected"),
    [
        ({}, 1, True, None, "recognising: 1 stream"),
        ({"a/camera": source("healthy")}, 2, True, None, "recognising: 2 streams"),
        ({"a/camera": source("recovering")}, 1, True, None, "starting: nothing yet from a/camera"),
        ({"a/camera": source("backing_off", "no picture for 3 s", 1)}, 1, True, None,
         "recognising: 1 stream; a/camera: no picture for 3 s"),
        ({"a/camera": source("healthy", "an old reason", 1)}, 1, False, None,
         "recognising: 1 stream; no MQTT broker"),
        ({}, 1, True, "fusion has ended", "recognising: 1 stream; fusion has ended"),
    ],
)  # fmt: skip
def test_the_status_text_names_faulty_sources_and_missing_connections(
    sources: dict[str, SourceHealth], streams: int, connected: bool, trouble: str | None, expected: str
) -> None:
    assert status_text(sources, {}, streams=streams, connected=connected, trouble=trouble) == expected


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({"a": OPEN, "b": OPEN}, "recognising: 2 streams"),
        ({"a": PAUSED, "b": OPEN}, "recognising: 1 stream; paused: a"),
        ({"a": PAUSED, "b": PAUSED}, "paused: a, b"),
        ({"a": Switch(muted=True), "b": Switch(blind=True, muted=True)},
         "recognising: 2 streams; closed: a/microphone, b/camera"),
        ({"a": Switch(paused=True, muted=True), "b": OPEN}, "recognising: 1 stream; paused: a"),
    ],
)  # fmt: skip
def test_the_status_text_names_what_is_closed_on_request(switches: dict[str, Switch], expected: str) -> None:
    closed = closed_by(switches, {"a": {"camera", "microphone"}, "b": {"camera"}})
    sources = {f"{name}/camera": source("paused", "an old reason", 1) for name in closed.streams}
    assert status_text(sources, {}, closed, streams=2, connected=True, trouble=None) == expected


def test_the_status_text_names_faulty_accelerators() -> None:
    def accelerator(state: AcceleratorState, reason: str | None) -> AcceleratorHealth:
        return AcceleratorHealth(
            state=state, since="", reason=reason, starts=1, failures={}, encoders={"image": WORK}, history=[]
        )

    accelerators = {
        "gpu": accelerator("failed", "refused"),
        "a": accelerator("in_use", None),
        "b": accelerator("starting", None),
        "edgetpu:usb:0": accelerator("absent", "there is none"),
    }
    status = status_text({}, accelerators, streams=1, connected=True, trouble=None)
    assert status == "recognising: 1 stream; gpu: refused; on the CPU; edgetpu:usb:0: there is none; on the CPU"
    assert overall({}, accelerators, []) == "degraded"
    assert overall({}, {"a": accelerators["a"], "b": accelerators["b"]}, []) == "ok"
    assert overall({}, {}, ["perceptd/n/+/text"]) == "degraded"


def test_it_is_ready_once_every_source_delivers_and_feeds_the_watchdog(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "6000000", "WATCHDOG_PID": "1"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(60)
        loop = Heartbeat("loop")
        service = Service(Notifier.from_environment(environment), lambda: [loop])
        assert environment == {}
        service.look({"a/camera": source("recovering")}, {}, ProcessorShare(), streams=1, connected=True)
        assert manager.recv(1000) == b"STATUS=starting: nothing yet from a/camera"
        assert manager.recv(1000) == b"WATCHDOG=1"
        service.look({"a/camera": source("healthy")}, {}, ProcessorShare(), streams=1, connected=True)
        assert manager.recv(1000) == b"STATUS=recognising: 1 stream"
        assert manager.recv(1000) == b"READY=1"


@pytest.mark.parametrize("value", ["abc", "-1", "0", "", "1.5", "6000000 ", "²", "9" * 30, "18446744073709551615"])
def test_a_watchdog_interval_that_is_no_number_of_microseconds_is_ignored(
    value: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert Notifier.from_environment({"WATCHDOG_USEC": value}).watchdog_s is None
    assert f"WATCHDOG_USEC={value} is ignored: expected microseconds" in caplog.text


def test_an_address_that_is_no_socket_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    for address in ("", "nonsense", "vsock:2:1234", "../notify"):
        assert Notifier.from_environment({"NOTIFY_SOCKET": address}).send(READY="1")
        assert f"NOTIFY_SOCKET={address} is ignored: expected a path" in caplog.text
    for address in ("@", "/nonsense", "/" + "x" * 200):
        assert not Notifier.from_environment({"NOTIFY_SOCKET": address}).send(READY="1")
    assert "systemd could not be notified of READY" in caplog.text


def test_a_reload_is_reported_and_the_service_is_ready_again_once_its_config_is_refused(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(60)
        service = Service(Notifier(address), list)
        service.look({}, {}, ProcessorShare(), streams=1, connected=True)
        assert [manager.recv(1000) for _ in range(2)] == [b"STATUS=recognising: 1 stream", b"READY=1"]
        before_us = monotonic_ns() // 1000
        service.begin_reload()
        reloading, stamp = manager.recv(1000).split(b"\n")
        assert reloading == b"RELOADING=1"
        assert before_us <= int(stamp.removeprefix(b"MONOTONIC_USEC=")) <= monotonic_ns() // 1000
        service.look({}, {}, ProcessorShare(), streams=1, connected=True, is_reloading=True)
        service.look({}, {}, ProcessorShare(), streams=1, connected=True, problems=["line 7", "the disk is full"])
        assert manager.recv(1000) == b"STATUS=recognising: 1 stream; line 7; the disk is full"
        assert manager.recv(1000) == b"READY=1"


def test_a_loop_that_has_ended_triggers_the_watchdog(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    loop = Heartbeat("outbox")
    thread = threading.Thread(target=loop.begin)
    thread.start()
    thread.join()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(60)
        service = Service(Notifier(address, 6.0), lambda: [loop])
        processor = ProcessorShare(runnable=lambda: 0)

        def trouble() -> str | None:
            processor.look()
            return service.look({}, {}, processor, streams=1, connected=True)

        wait_until(trouble, "it is certain")
        assert trouble() == "outbox has ended"
        received = {manager.recv(1000) for _ in range(5)}
    assert b"WATCHDOG=trigger" in received
    assert b"STATUS=recognising: 1 stream; outbox has ended" in received


def test_without_a_service_manager_send_does_nothing() -> None:
    assert Notifier.from_environment({}).send(READY="1")


def test_the_watchdog_interval_is_lengthened_and_restored(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(60)
        notifier = Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "6000000"})
        notifier.wait_as_usual()
        notifier.wait_longer(90)
        notifier.wait_as_usual()
        assert [manager.recv(1000) for _ in range(2)] == [b"WATCHDOG_USEC=90000000", b"WATCHDOG_USEC=6000000"]
        unwatched = Notifier.from_environment({"NOTIFY_SOCKET": address})
        unwatched.wait_longer(90)
        unwatched.send(STATUS="last")
        assert manager.recv(1000) == b"STATUS=last"
