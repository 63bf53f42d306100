import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.pulse import PulseServer, pulse_server

PROCESS = Path(__file__).with_name("microphone_process.py")
ROOT = Path(__file__).resolve().parents[2]
BLOCKS = 100
DEADLINE_S = 40.0


class Listener:
    """A microphone in a process of its own, because the sound server is named by the environment."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the process has ended"
        return json.loads(line)

    def run(self, kind: str) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(f"{kind}\n")
        self._process.stdin.flush()
        return self.hear()


@contextmanager
def listener(server: PulseServer, device: str = "default", channel: int = 0) -> Iterator[Listener]:
    process = subprocess.Popen(
        [sys.executable, PROCESS, device, str(channel), str(BLOCKS)],
        env={**server.environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    watchdog = threading.Timer(DEADLINE_S, process.kill)
    watchdog.start()
    try:
        yield Listener(process)
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulseServer]:
    with pulse_server(tmp_path_factory.mktemp("pulse")) as running:
        yield running


def test_a_tone_is_heard_in_blocks_without_a_gap(server: PulseServer) -> None:
    with server.playing(440), listener(server) as microphone:
        assert "default" in microphone.hear()["microphones"]
        assert microphone.run("some") == {"delivers": True}
        heard = microphone.hear()
    assert heard["blocks"] == BLOCKS
    assert heard["sizes"] == [320]
    assert heard["gaps"] == [0]
    assert heard["loudest_hz"] == pytest.approx(440, abs=3)
    assert heard["youngest_ms"] >= 0, "nothing is stamped in the future"


@pytest.mark.parametrize(
    ("device", "channel", "problem"),
    [
        ("no such thing", 0, "microphone no such thing: not there; microphones here: .*default"),
        ("default", 99, "channel 100 is asked for; it has"),
    ],
)
def test_a_missing_microphone_is_named(server: PulseServer, device: str, channel: int, problem: str) -> None:
    with listener(server, device, channel) as microphone:
        microphone.hear()
        assert re.search(problem, microphone.run("some")["error"])


def test_a_server_that_dies_is_an_error_and_one_that_comes_back_is_found(server: PulseServer) -> None:
    with listener(server) as microphone:
        microphone.hear()
        assert microphone.run("on") == {"delivers": True}
        server.kill()
        assert "ended" in microphone.hear()["error"]
        assert "microphone default" in microphone.run("on")["error"]
        server.start()
        assert microphone.run("some") == {"delivers": True}
        assert microphone.hear()["blocks"] == BLOCKS


def test_a_frozen_server_is_an_error(server: PulseServer) -> None:
    with listener(server) as microphone:
        microphone.hear()
        assert microphone.run("on") == {"delivers": True}
        with server.frozen():
            assert "no sound for 3 s" in microphone.hear()["error"]
        assert microphone.run("some") == {"delivers": True}
        assert microphone.hear()["blocks"] == BLOCKS
