"""The tests' own delegate has the requested fault from the requested invoke on."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from daemon.core.errors import ChildError
from daemon.core.records import Array
from daemon.runtime.child import Child, RecordReceiver
from tests.helpers.mosquitto import wait_until
from tests.helpers.processes import group_of, is_running
from tests.inference import delegated
from tests.inference.delegated import Delegated
from tests.inference.layers import write_layer

DEADLINE_S = 30.0
# An invoke without a result for so long has not returned. On a slow machine this is no stricter.
HANGS_S = 0.5

WEIGHTS = np.array([[1, 2], [3, -1], [0, 1]], np.float32)
INPUT = np.array([[5, 7]], np.float32)
RIGHT = INPUT @ WEIGHTS.T
# The negated output, less its largest value.
WRONG = np.array([[-38, -27, -26]], np.float32)


@pytest.fixture
def model(tmp_path: Path) -> bytes:
    layer = write_layer(WEIGHTS, None, rows=1)
    (tmp_path / "model.tflite").write_bytes(layer)
    return layer


@pytest.fixture
def sound_file(tmp_path: Path) -> Path:
    return tmp_path / "sound"


class Invoking:
    """A child process that invokes the model with the delegate, and its outputs so far."""

    def __init__(self, child: Child, inlet: RecordReceiver) -> None:
        self.child, self._inlet = child, inlet
        self.outputs: list[Array] = []

    def receive(self, count: int) -> None:
        """Wait for `count` outputs. Raises ChildError when the process has ended."""
        while len(self.outputs) < count:
            records = self._inlet.receive(self.child, DEADLINE_S)
            assert records, f"nothing came for {DEADLINE_S} s"
            self.outputs += [np.frombuffer(one.payload, np.float32) for one in records if one.payload]

    def goes_on(self, within_s: float) -> bool:
        return bool(self._inlet.receive(self.child, within_s))


@contextmanager
def invoking(directory: Path, delegate: Path, times: int, **options: object) -> Iterator[Invoking]:
    arguments = [str(directory / "model.tflite"), str(delegate), json.dumps(options), json.dumps(INPUT.tolist())]
    with (
        RecordReceiver(64, 128) as inlet,
        Child(delegated.invoke, inlet.address, *arguments, str(times), inherits=inlet.descriptors) as child,
    ):
        yield Invoking(child, inlet)


def assert_outputs(outputs: Sequence[Array], expected: Sequence[Array]) -> None:
    assert [one.tolist() for one in outputs] == [one.ravel().tolist() for one in expected]


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("abort", "was ended by SIGABRT"),
        ("segfault", "was ended by SIGSEGV"),
        ("error", "RuntimeError: failed, as asked"),
    ],
)
def test_a_fault_ends_what_it_should_after_so_many_invokes(
    tmp_path: Path, delegate: Path, fault: str, reason: str, after: int
) -> None:
    with invoking(tmp_path, delegate, 10, fault=fault, after=after) as running:
        with pytest.raises(ChildError, match=reason):
            running.receive(10)
        assert_outputs(running.outputs, [RIGHT] * after)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("after", [0, 1, 4])
def test_wrong_outputs_begin_exactly_then_and_raise_nothing(tmp_path: Path, delegate: Path, after: int) -> None:
    with invoking(tmp_path, delegate, 6, fault="wrong", after=after) as running:
        running.receive(6)
        assert running.child.result(DEADLINE_S) == ""
    assert_outputs(running.outputs, [RIGHT] * after + [WRONG] * (6 - after))


@pytest.mark.usefixtures("model")
def test_a_hang_neither_returns_nor_uses_the_processor_nor_ends(
    tmp_path: Path, delegate: Path, sound_file: Path
) -> None:
    with invoking(tmp_path, delegate, 10, fault="hang", after=2, unless=sound_file.as_posix()) as running:
        running.receive(2)
        wait_until(lambda: states_of(running.child.pid) == {"S"}, "it sleeps")
        sound_file.touch()
        assert not running.goes_on(HANGS_S)
        assert is_running(running.child.pid)
        assert states_of(running.child.pid) == {"S"}
    assert_outputs(running.outputs, [RIGHT] * 2)
    assert not is_running(running.child.pid)


def states_of(pid: int) -> set[str]:
    """Return the states of the process's threads from /proc; S is a thread that sleeps."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return {stat.rpartition(")")[2].split()[0] for stat in stats}


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("fault", ["hang", "abort", "segfault", "error", "wrong", "refuse"])
def test_there_is_no_fault_while_the_file_exists(tmp_path: Path, delegate: Path, sound_file: Path, fault: str) -> None:
    sound_file.touch()
    with invoking(tmp_path, delegate, 3, fault=fault, unless=sound_file.as_posix()) as running:
        running.receive(3)
        assert running.child.result(DEADLINE_S) == ""
    assert_outputs(running.outputs, [RIGHT] * 3)


def test_a_fault_comes_and_goes_with_the_file(model: bytes, delegate: Path, sound_file: Path) -> None:
    failing, wrong = (Delegated(model, delegate, fault=fault, unless=sound_file) for fault in ("error", "wrong"))
    for _ in range(3):
        with pytest.raises(RuntimeError, match="failed, as asked"):
            failing.invoke([INPUT])
        assert np.array_equal(wrong.invoke([INPUT])[0], WRONG)
        sound_file.touch()
        assert np.array_equal(failing.invoke([INPUT])[0], RIGHT)
        assert np.array_equal(wrong.invoke([INPUT])[0], RIGHT)
        sound_file.unlink()


def test_it_refuses_as_long_as_it_is_asked_to(model: bytes, delegate: Path, sound_file: Path) -> None:
    with pytest.raises(ValueError, match="refused, as asked"):
        Delegated(model, delegate, fault="refuse", unless=sound_file)
    sound_file.touch()
    assert np.array_equal(Delegated(model, delegate, fault="refuse", unless=sound_file).invoke([INPUT])[0], RIGHT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": "11"}, "option speed is '11', expected only the options fault, after, delay_us, slow_us, unless"),
        ({"fault": "slower"}, "option fault is 'slower', expected one of none, hang, abort, "),
        ({"after": "-1"}, "option after is '-1', expected a number of invokes"),
        ({"after": ""}, "option after is '', expected a number of invokes"),
        ({"delay_us": "3 ms"}, "option delay_us is '3 ms', expected a number of microseconds"),
        ({"unless": "/" * 5000}, "option unless is '///"),
    ],
)
def test_an_unknown_option_is_named(model: bytes, delegate: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match="Failed to load delegate") as refused:
        Delegated(model, delegate, **options)
    assert message in str(refused.value)


def test_the_invokes_of_a_process_are_counted_over_all_its_delegates(model: bytes, delegate: Path) -> None:
    before = Delegated(model, delegate)
    for _ in range(3):
        before.invoke([INPUT])
    assert np.array_equal(Delegated(model, delegate, fault="wrong", after=3).invoke([INPUT])[0], WRONG)


@pytest.mark.parametrize(
    ("fault", "slow_us", "least_s"), [("none", 0, 0.02), ("wrong", 0, 0.02), ("slow", 0, 0.2), ("slow", 90_000, 0.09)]
)
def test_an_invoke_takes_its_time_at_least(
    model: bytes, delegate: Path, fault: str, slow_us: int, least_s: float
) -> None:
    delegated = Delegated(model, delegate, fault=fault, delay_us=20_000, slow_us=slow_us)
    start = time.monotonic()
    delegated.invoke([INPUT])
    assert time.monotonic() - start >= least_s


@pytest.mark.usefixtures("model")
def test_what_a_delegate_forks_ends_with_its_process(tmp_path: Path, delegate: Path) -> None:
    with invoking(tmp_path, delegate, 1000, fault="fork", after=1, delay_us=100_000) as running:
        running.receive(2)
        assert len(group_of(running.child.pid)) > 1
        assert_outputs(running.outputs[:2], [RIGHT] * 2)
    wait_until(lambda: not group_of(running.child.pid), "the forks have ended too")
