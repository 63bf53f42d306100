"""Microphones of a real sound server: capture, and every fault of such a server."""

import contextlib
import mmap
import os
import re
import signal
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from daemon.core.errors import SourceError
from daemon.core.records import Block, Captured, Counters
from daemon.core.timing import monotonic_ns
from daemon.sources.microphone import Microphone, list_microphones
from tests.helpers.mosquitto import wait_until
from tests.helpers.processes import children_of, open_descriptors
from tests.helpers.pulse import PulseServer, pulse_server

# what one of them locks in JACK's library is locked for all
pytestmark = [pytest.mark.xdist_group("sound"), pytest.mark.campaign("source-faults", part=12)]

RATE_HZ = 16_000
BLOCKS = 100
# How long any fault may take to become an error.
DETECTED_S = 3.5
STOPPED_S = 1.0
JACKS_LOCK = "left a lock in JACK's library"

# The first bytes of a pthread_mutex_t that processes share, in glibc on 64 bits (struct_mutex.h).
FREE_MUTEX = struct.pack("5i", 0, 0, 0, 0, 128)
LOCKED_WITH_WAITERS = struct.pack("i", 2)


class Listener:
    """Runs a microphone in a thread, as the supervisor does, until it fails or is stopped.

    It `gets_past` a lock of JACK's library by another try: a program outside these tests may have left one.
    """

    def __init__(self, device: int | str = "default", channel: int | None = None, gets_past: bool = True) -> None:
        self.blocks: list[Block] = []
        self.ages_ns: list[int] = []
        self.error: str | None = None
        self.counters = Counters()
        self._new_microphone = lambda: Microphone(device, channel, RATE_HZ, {"audio": self.counters})
        self._gets_past = gets_past
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._new_microphone().run(self._take, self._stop)
        except SourceError as error:
            if self._gets_past and JACKS_LOCK in str(error):
                self._gets_past = False
                self._run()
            else:
                self.error = str(error)

    def _take(self, block: Captured) -> None:
        assert isinstance(block, Block)
        self.blocks.append(block)
        self.ages_ns.append(monotonic_ns() - block.end_ns)

    def hears(self, count: int = 10) -> None:
        """Wait for `count` more blocks."""
        target = len(self.blocks) + count
        wait_until(lambda: len(self.blocks) >= target or self.error, "sound")
        assert self.error is None

    def fails(self, within_s: float = DETECTED_S) -> str:
        """Wait for the error and return its message."""
        wait_until(lambda: self.error, "an error", within_s)
        assert self.error
        return self.error

    def falls_silent(self) -> None:
        """Wait until no block has come for a while. The supervisor, not the microphone, reports a stall."""
        counts = [0]

        def nothing_new() -> bool:
            counts.append(len(self.blocks))
            return len(counts) > 100 and counts[-1] == counts[-100]

        wait_until(nothing_new, "silence")
        assert self.error is None

    def stop(self) -> bool:
        """Stop, and return whether that took at most STOPPED_S."""
        self._stop.set()
        self._thread.join(STOPPED_S)
        return not self._thread.is_alive()


@contextmanager
def listening(device: int | str = "default", channel: int | None = None, gets_past: bool = True) -> Iterator[Listener]:
    listener = Listener(device, channel, gets_past)
    try:
        yield listener
    finally:
        assert listener.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulseServer]:
    with pulse_server(tmp_path_factory.mktemp("pulse")) as server:
        yield server


@pytest.fixture
def server(running: PulseServer, monkeypatch: pytest.MonkeyPatch) -> PulseServer:
    use(running, monkeypatch)
    return running


def use(server: PulseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make microphones that are opened from now on use this server."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


def processes() -> list[int]:
    return children_of(os.getpid(), "daemon.sources.capture.microphone")


@pytest.mark.alone  # a busy machine loses sound
@pytest.mark.parametrize("channel", [0, 1])
def test_a_tone_is_heard_in_blocks_without_a_gap(server: PulseServer, channel: int) -> None:
    with server.playing(440), listening("default", channel) as listener:
        listener.hears(BLOCKS)
    blocks = listener.blocks[:BLOCKS]
    assert {len(block.samples) for block in blocks} == {320}
    assert [number for number, block in enumerate(blocks) if block.gap] == [0]
    assert frequency_hz(blocks) == pytest.approx(440, abs=3)
    assert min(listener.ages_ns) >= 0, "nothing is stamped in the future"
    assert max(abs(b.start_ns - a.end_ns) for a, b in pairwise(blocks)) < 50_000_000
    assert listener.counters.dropped == {}


def test_microphones_are_listed(server: PulseServer) -> None:
    assert "default" in [microphone.device for microphone in list_microphones()]


def test_a_frozen_server_lists_no_microphones(server: PulseServer) -> None:
    with server.frozen(), pytest.raises(SourceError, match=r"microphones: the system has not answered for 5 s"):
        list_microphones()
    assert processes() == []


@pytest.mark.parametrize(
    ("device", "channel", "problem"),
    [
        ("no such thing", 0, "microphone no such thing: not found; microphones here: .*default"),
        ("default", 99, "channel 100 is configured, but the device has"),
    ],
)
def test_a_missing_microphone_is_named(server: PulseServer, device: str, channel: int, problem: str) -> None:
    with listening(device, channel) as listener:
        assert re.search(problem, listener.fails())


def test_a_server_that_dies_is_an_error_and_is_found_when_it_is_back(server: PulseServer) -> None:
    with listening() as listener:
        listener.hears()
        server.kill()
        assert "ended the stream" in listener.fails()
    with listening() as listener:
        assert "microphone default: " in listener.fails()
    server.start()
    with listening() as listener:
        listener.hears(BLOCKS)


def test_a_server_that_is_restarted_at_once_is_found_again(server: PulseServer) -> None:
    with listening() as listener:
        listener.hears()
        server.kill()
        server.start()
        assert "ended the stream" in listener.fails()
    with listening() as listener:
        listener.hears()


def test_locks_that_a_killed_process_leaves_in_jacks_library_are_removed(server: PulseServer) -> None:
    list_microphones()  # creates JACK's database, if PortAudio is linked with JACK
    with locked_for_ever(Path(f"/dev/shm/jack_db-{os.getuid()}")):
        with listening(gets_past=False) as listener:
            assert JACKS_LOCK in listener.fails(within_s=10)
        with listening() as listener:
            listener.hears()


@contextmanager
def locked_for_ever(database: Path) -> Iterator[None]:
    """Lock all mutexes of the database, as a process does that is killed at the wrong moment."""
    regions = list(database.glob("__db.*"))
    if not regions:
        pytest.skip("this PortAudio has no database of JACK")
    if any(str(database) in maps for maps in memory_maps()):
        pytest.skip("a program of this user uses JACK, and would hang too")
    try:
        assert sum(map(lock_all, regions)) > 0
        yield
    finally:
        for region in database.glob("__db.*"):
            region.unlink(missing_ok=True)


def lock_all(region: Path) -> int:
    """Lock every mutex in a file, and return their number."""
    with region.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        count, found = 0, memory.find(FREE_MUTEX)
        while found >= 0:
            memory[found : found + 4] = LOCKED_WITH_WAITERS
            count, found = count + 1, memory.find(FREE_MUTEX, found + len(FREE_MUTEX))
    return count


def memory_maps() -> Iterator[str]:
    """Yield the memory maps of every process of this user."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            yield maps.read_text()


def test_a_frozen_server_is_silent_until_it_continues(server: PulseServer) -> None:
    with listening() as listener:
        listener.hears()
        with server.frozen():
            listener.falls_silent()
            with listening() as another:
                another.falls_silent()
            assert another.blocks == []
        listener.hears(BLOCKS)


def test_a_frozen_server_does_not_delay_stopping(server: PulseServer) -> None:
    with listening() as listener:
        listener.hears()
        with server.frozen():
            assert listener.stop()
    assert listener.error is None
    assert processes() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
def test_a_process_that_dies_is_an_error_with_its_signal(server: PulseServer, number: signal.Signals) -> None:
    with listening() as listener:
        listener.hears()
        os.kill(processes()[0], number)
        assert listener.fails() == f"microphone default: its process was ended by {number.name}"


def test_a_process_that_hangs_is_silent_and_killed(server: PulseServer) -> None:
    with listening() as listener:
        listener.hears()
        os.kill(processes()[0], signal.SIGSTOP)
        listener.falls_silent()
    assert processes() == []


def test_a_source_that_is_removed_is_an_error(server: PulseServer) -> None:
    with server.microphone("spare") as spare, listening("pulse:spare") as listener:
        listener.hears()
        server.unload(spare)
        assert re.search("the sound server has (replaced spare by .*|removed spare)", listener.fails())
    with listening("pulse:spare") as listener:
        assert "not found; sources of the sound server: " in listener.fails()
    with server.microphone("spare"), listening("pulse:spare") as listener:
        assert "pulse:spare" in [microphone.device for microphone in list_microphones()]
        listener.hears()


def test_the_sound_that_the_machine_plays_is_no_microphone(server: PulseServer) -> None:
    server.pactl("set-default-source", "speaker.monitor")
    try:
        with listening() as listener:
            assert "only the sound that this machine plays (speaker.monitor)" in listener.fails()
        assert listener.blocks == [], "no block may come before the check of the source"
        with server.playing(440), listening("pulse:speaker.monitor") as listener:
            listener.hears()
    finally:
        server.pactl("set-default-source", "microphone")


@pytest.mark.alone  # a busy machine loses sound
@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_other_rates_and_channels(server: PulseServer, rate_hz: int, channels: int) -> None:
    with (
        server.microphone("other", rate_hz, channels),
        server.playing(440, speaker="other_speaker"),
        listening("pulse:other") as listener,
    ):
        listener.hears(BLOCKS)
    assert frequency_hz(listener.blocks[-BLOCKS // 2 :]) == pytest.approx(440, abs=3)
    assert max(listener.ages_ns) < 500_000_000


@pytest.mark.alone  # a busy machine loses sound
@pytest.mark.parametrize("dead", [0, 1])
def test_the_channel_with_sound_is_used_if_the_other_is_silent(server: PulseServer, dead: int) -> None:
    levels = [0.0 if channel == dead else 0.5 for channel in range(2)]
    with (
        server.microphone("pair", RATE_HZ, 2),
        server.playing(440, speaker="pair_speaker", levels=levels),
        listening("pulse:pair") as listener,
    ):
        wait_until(lambda: len(listener.blocks) > 20 and listener.blocks[-1].samples.any(), "sound")
        listener.hears(30)
    assert frequency_hz(listener.blocks[-25:]) == pytest.approx(440, abs=6)
    assert np.abs(listener.blocks[-1].samples).max() == pytest.approx(0.5, abs=0.05), "the channels are not mixed"


def test_a_configured_channel_is_never_changed(server: PulseServer) -> None:
    with (
        server.microphone("pair", RATE_HZ, 2),
        server.playing(440, speaker="pair_speaker", levels=(0.0, 0.5)),
        listening("pulse:pair", 1) as second,
    ):
        wait_until(lambda: second.blocks and second.blocks[-1].samples.any(), "sound")
        with listening("pulse:pair", 0) as first:
            first.hears(2 * BLOCKS)
    assert not any(block.samples.any() for block in first.blocks)


def test_a_named_source_that_the_server_replaces_by_a_new_default_is_an_error(server: PulseServer) -> None:
    with server.microphone("new_default"), listening("pulse:microphone") as listener:
        listener.hears()
        server.pactl("set-default-source", "new_default")
        assert "has replaced microphone by new_default" in listener.fails()
        with listening("pulse:microphone") as again:
            again.hears()
        server.pactl("set-default-source", "microphone")


@pytest.mark.parametrize("who", ["server", "process"])
def test_sound_that_arrives_late_in_one_burst_is_complete_and_correctly_stamped(server: PulseServer, who: str) -> None:
    with server.playing(440), listening() as listener:
        listener.hears(BLOCKS)
        assert server.process
        pid = processes()[0] if who == "process" else server.process.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(pid, signal.SIGCONT)
        listener.hears(BLOCKS)
    assert max(listener.ages_ns) > 200_000_000, "it was late"
    assert [number for number, block in enumerate(listener.blocks) if block.gap] == [0]
    assert max(abs(b.start_ns - a.end_ns) for a, b in pairwise(listener.blocks)) < 20_000_000
    assert listener.counters.dropped == {}


def frequency_hz(blocks: list[Block]) -> float:
    """Return the loudest frequency."""
    sound = np.concatenate([block.samples for block in blocks])
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(spectrum.argmax() * RATE_HZ / len(sound))


def test_a_frozen_microphone_does_not_affect_another(
    server: PulseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pulse_server(tmp_path) as other, listening() as frozen:
        frozen.hears()
        use(other, monkeypatch)
        with listening() as going_on:
            going_on.hears()
            with server.frozen():
                frozen.falls_silent()
                going_on.hears()
            assert [number for number, block in enumerate(going_on.blocks) if block.gap] == [0]


def test_twenty_runs_leak_no_resources(server: PulseServer) -> None:
    def one() -> None:
        with listening() as listener:
            listener.hears(1)

    one()
    before = resources()
    for _ in range(20):
        one()
    assert resources() == before
    assert processes() == []


def resources() -> tuple[set[str], int, int]:
    """Return the descriptors of this process, and its numbers of threads and of shared memories."""
    return open_descriptors(), threading.active_count(), Path("/proc/self/maps").read_text().count("memfd:perceptd")
