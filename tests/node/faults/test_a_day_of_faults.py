"""A day of faults in minutes: sources are killed, frozen and restarted in a seeded order, under load.

Nothing may leak: in the end the daemon holds what it held after the warm-up, and every source is healthy.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median_low

import pytest

from tests.helpers.campaign import chance, repetitions
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.processes import children_of
from tests.helpers.pulse import PulseServer
from tests.node.faults.restartable import FaultyRtsp, RestartableMjpeg
from tests.node.faults.watched_node import WatchedNode

FAULTS = repetitions(60, campaign=1000)
# after so many of them the daemon holds all resources that it needs
WARM_UP = repetitions(20, campaign=100)

# the duration of a fault, and of the rest after it; some faults last ten times as long, so that they are noticed
HOLD_S = (0.0, 0.5)

# what the allocator does not return after a thousand decoders
GROWN_MB = 8.0

# one function begins the fault, the other ends it
Fault = tuple[Callable[[], object], Callable[[], object]]


def holdings(pid: int) -> dict[str, float]:
    """Return what a process holds: threads, children, descriptors, those of shared memory, and private memory in MB."""
    descriptors = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        "threads": int(status["Threads"]),
        "children": len(children_of(pid, "")),
        "descriptors": len(descriptors),
        "shared memory": sum("memfd:" in descriptor for descriptor in descriptors),
        "memory_mb": int(status["RssAnon"].split()[0]) / 1024,
    }


# A source that delivers nothing is noticed after a second, and health says so up to a second later.
NOTICED_S = 4.0


def lasting_holdings(looks: list[dict[str, float]]) -> dict[str, float]:
    """Return what was held most of the time: neither a connection that is being closed, nor without a late source."""
    return {key: median_low(look[key] for look in looks) for key in looks[0]}


def suffer(name: str, faults: list[Fault], count: int, failures: list[str]) -> None:
    """Let one source have `count` faults, in an order that the seed and its name decide."""
    rng = chance(f"day of faults {name}")
    try:
        for _ in range(count):
            begin, end = rng.choice(faults)
            begin()
            time.sleep(rng.uniform(*HOLD_S) * (10 if rng.random() < 0.05 else 1))
            end()
            time.sleep(rng.uniform(*HOLD_S))
    except Exception as error:
        failures.append(f"{name}: {error!r}")
        raise


def signal_child(daemon: DaemonProcess, of: str, number: signal.Signals) -> None:
    """Send a signal to the child that captures a source, if it runs now."""
    for pid in children_of(daemon.process.pid, of):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.campaign("day-of-faults")
@pytest.mark.xdist_group("sound")
def test_a_day_of_faults_leaks_nothing_and_every_source_recovers(tmp_path: Path) -> None:
    rtsp, other_rtsp, mjpeg, sound = (
        FaultyRtsp("aac"),
        FaultyRtsp("pcmu"),
        RestartableMjpeg(None),
        PulseServer(tmp_path),
    )
    clip = ROOT / "models/digits/demo/clip.mp4"
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto())
        for server in (rtsp, other_rtsp, mjpeg, sound):
            server.start()
            stack.callback(server.kill)

        def camera(url: str) -> dict:
            return {"camera": {"device": url, "stall_after_s": 1, "fps": 2}}

        config = {
            "node": "n",
            "bundle": str(ROOT / "models/digits"),
            "mqtt": {"port": broker.port},
            "health": {"every_s": 1},
            "streams": {
                "load": {"replay": {"file": str(clip), "loop": True}},
                "front": {**camera(rtsp.url()), "microphone": "camera"},
                "back": {**camera(other_rtsp.url()), "microphone": "camera"},
                "yard": camera(f"http://127.0.0.1:{mjpeg.port}/"),
                "room": {"microphone": {"device": "default", "stall_after_s": 1}},
            },
        }
        subscriber = stack.enter_context(Subscriber(broker, "perceptd/n/health"))
        daemon = stack.enter_context(DaemonProcess(config, tmp_path, environment=sound.environment))
        node = WatchedNode(subscriber, "n")
        sources = {"load/replay", "front/camera", "back/camera", "yard/camera", "room/microphone"}

        looks: list[tuple[float, dict[str, float]]] = []

        def all_are_healthy() -> bool:
            """Return whether every source has been healthy for so long that the latest fault is noticed and over."""
            if any(node.source(path)["state"] != "healthy" for path in sources):
                looks.clear()
            looks.append((time.monotonic(), holdings(daemon.process.pid)))
            return looks[-1][0] - looks[0][0] >= NOTICED_S

        def rtsp_faults(camera: FaultyRtsp) -> list[Fault]:
            return [
                (camera.kill, camera.start),
                (lambda: camera.send(signal.SIGSTOP), lambda: camera.send(signal.SIGCONT)),
                (lambda: camera.send(signal.SIGUSR1), lambda: None),
            ]

        def mode(name: str) -> Fault:
            return (lambda: setattr(mjpeg.camera, "mode", name), lambda: setattr(mjpeg.camera, "mode", "ok"))

        faults_by_stream: dict[str, list[Fault]] = {
            "front": rtsp_faults(rtsp),
            "back": rtsp_faults(other_rtsp),
            "yard": [(mjpeg.kill, mjpeg.start), mode("stall"), mode("half"), mode("still")],
            "room": [
                (sound.kill, sound.start),
                (lambda: sound.send(signal.SIGSTOP), lambda: sound.send(signal.SIGCONT)),
                (lambda: signal_child(daemon, "microphone", signal.SIGKILL), lambda: None),
                (lambda: signal_child(daemon, "microphone", signal.SIGSTOP), lambda: None),
            ],
        }

        def holdings_after(count: int) -> dict[str, float]:
            """Return what the daemon holds after `count` faults, while every source is healthy."""
            failures: list[str] = []
            threads = [
                threading.Thread(target=suffer, args=(name, faults, count // len(faults_by_stream), failures))
                for name, faults in faults_by_stream.items()
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not failures
            # without a tone a healthy microphone would be reported as digital silence, and opened again
            with sound.playing(440):
                looks.clear()
                wait_until(all_are_healthy, "every source is healthy")
                return lasting_holdings([look for _, look in looks])

        wait_until(lambda: subscriber.payloads("perceptd/n/health"), "health")
        before = holdings_after(WARM_UP)
        after = holdings_after(FAULTS - WARM_UP)
        health = node.health()
        grown_mb = after.pop("memory_mb") - before.pop("memory_mb")
        # a connection that is closed only after the first count makes fewer of them
        assert after.pop("descriptors") <= before.pop("descriptors")
        assert after == before
        assert grown_mb < GROWN_MB
        replay = node.source("load/replay")
        assert (replay["failures"], replay["reopened"]) == (0, 0)
        counts = [source for stream in health["streams"].values() for source in stream["sources"].values()]
        assert sum(source["recoveries"] for source in counts) > FAULTS / 10, "many faults were noticed"
        children = children_of(daemon.process.pid, "microphone")
        assert len(children) == 1
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log
        with pytest.raises(ProcessLookupError):
            os.kill(children[0], 0)
