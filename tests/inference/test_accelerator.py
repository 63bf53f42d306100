"""An accelerator may do what it likes: every input gets its right output, and what it did is told."""

import json
import mmap
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from daemon.bundles.load import load_bundle
from daemon.errors import AcceleratorError, ModelError
from daemon.inference.accelerator import Upkeep
from daemon.inference.device import PROCESSOR, Device
from daemon.inference.model import TfliteModel
from daemon.inference.process import AcceleratorProcess, Served
from daemon.inference.questions import Questions
from daemon.manifest import TensorSpec
from daemon.records import Tensor
from daemon.runtime.backoff import Backoff
from daemon.runtime.child import Child
from tests.helpers.accelerators import EXAMINED, INPUT, OUTPUT, SmallAccelerator, delegate_device
from tests.helpers.daemon import ROOT
from tests.helpers.mosquitto import wait_until
from tests.helpers.processes import is_running
from tests.shared import SHARED, needs_shared

SLOWLY = Backoff(60.0, 60.0)
"""It fails once, and is not tried again while a test looks at it."""


def test_it_computes_once_it_has_been_examined(tmp_path: Path, delegate: Path) -> None:
    with SmallAccelerator(tmp_path, delegate_device(delegate)) as small:
        small.wait_for("in_use")
        assert {small.ask() for _ in range(50)} == {"test"}
        share = small.accelerator.examiners[0].share
        assert (share.ran, share.on_cpu) == (50, 0)
        assert small.accelerator.examiners[0].pace.p50_ns is not None
    assert small.accelerator.status.state == "stopped"
    assert small.ask() == "cpu", "when it has been stopped the CPU still computes"


def test_until_then_the_cpu_computes(tmp_path: Path, delegate: Path) -> None:
    small = SmallAccelerator(tmp_path, delegate_device(delegate))
    assert small.ask() == "cpu"
    with small:
        small.wait_for("in_use")


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        ("abort", "died", "its process was ended by SIGABRT"),
        ("segfault", "died", "its process was ended by SIGSEGV"),
        ("error", "died", "its invoke failed: failed, as asked"),
        ("hang", "hung", "gave no answer within"),
        ("wrong", "wrong", "image: computes wrongly: an output of a known input is off by"),
    ],
)
def test_a_fault_is_told_and_costs_no_answer(
    tmp_path: Path, delegate: Path, fault: str, kind: str, reason: str
) -> None:
    device = delegate_device(delegate, fault=fault, after=EXAMINED + 7)
    with SmallAccelerator(tmp_path, device, check_every_s=0, backoff=SLOWLY) as small:
        small.wait_for("in_use")
        devices = [small.ask() for _ in range(20)]
        assert devices == sorted(devices, reverse=True), "the accelerator's first, then the CPU's"
        assert {"test", "cpu"} == set(devices)
        small.wait_for("failed")
        status = small.accelerator.status
        assert status.failures == {kind: 1}
        assert status.reason is not None and status.reason.startswith(reason)
        assert [(change.state, change.kind) for change in status.history] == [("in_use", None), ("failed", kind)]


def test_silent_wrong_numbers_are_noticed_within_the_checks_interval(tmp_path: Path, delegate: Path) -> None:
    device = delegate_device(delegate, fault="wrong", after=EXAMINED)
    with SmallAccelerator(tmp_path, device, check_every_s=0.3, backoff=SLOWLY) as small:
        small.wait_for("in_use")
        question = np.ones((1, 6), np.float32)
        small.model.input[...] = question

        def is_noticed() -> bool:
            small.model.invoke()
            return small.accelerator.status.failures == {"wrong": 1}

        wait_until(is_noticed, "it is noticed")
        assert small.ask() == "cpu"


def test_what_becomes_slow_is_used_no_more(tmp_path: Path, delegate: Path) -> None:
    device = delegate_device(delegate, fault="slow", after=EXAMINED + 60, slow_us=19_000)
    with SmallAccelerator(tmp_path, device, backoff=SLOWLY) as small:
        small.wait_for("in_use")
        while small.accelerator.status.state == "in_use":
            small.ask()
        status = small.accelerator.status
        assert sum(status.failures.values()) == 1
        # 19 ms is slow, and on a machine that is busy besides it may be too late for the deadline
        assert set(status.failures) <= {"slow", "hung"}


def test_one_that_refuses_is_tried_again_until_it_loads(tmp_path: Path, delegate: Path) -> None:
    cure = tmp_path / "cured"
    with SmallAccelerator(tmp_path, delegate_device(delegate, fault="refuse", unless=cure)) as small:
        wait_until(lambda: small.failures("refused") >= 3, "refused three times")
        assert small.ask() == "cpu"
        assert small.accelerator.status.reason == f"{delegate} refuses: refused, as asked"
        cure.touch()
        small.wait_for("in_use")
        assert small.ask() == "test"
        assert small.accelerator.status.reason is None


def test_one_that_dies_while_nothing_is_asked_is_replaced(tmp_path: Path, delegate: Path) -> None:
    with SmallAccelerator(tmp_path, delegate_device(delegate)) as small:
        small.wait_for("in_use")
        process = small.accelerator._process
        assert process is not None
        os.kill(process.child.pid, signal.SIGKILL)
        wait_until(lambda: small.failures("died") == 1, "it is noticed")
        small.wait_for("in_use")
        assert small.ask() == "test"
        assert not is_running(process.child.pid)


def test_one_that_is_not_there_is_not_started_and_taken_once_it_is(tmp_path: Path, delegate: Path) -> None:
    plug = tmp_path / "plugged-in"
    revived: list[bool] = []
    upkeep = Upkeep(lambda: None if plug.exists() else "there is none", lambda: revived.append(True))
    with SmallAccelerator(tmp_path, delegate_device(delegate), upkeep=upkeep) as small:
        small.wait_for("absent")
        assert (small.accelerator.status.reason, small.accelerator.status.starts) == ("there is none", 0)
        assert small.ask() == "cpu"
        plug.touch()
        small.wait_for("in_use")
        assert small.accelerator.status.failures == {}
        assert revived == [], "it had not failed"


def test_one_that_has_failed_is_revived_first(tmp_path: Path, delegate: Path) -> None:
    revived: list[bool] = []
    device = delegate_device(delegate, fault="error", after=EXAMINED)
    with SmallAccelerator(tmp_path, device, upkeep=Upkeep(revive=lambda: revived.append(True))) as small:
        small.wait_for("in_use")
        assert revived == []
        small.ask()
        wait_until(lambda: small.accelerator.status.starts == 2, "a second start")
        assert revived == [True]


def test_another_way_to_the_device_is_taken_where_the_first_does_not_load(tmp_path: Path, delegate: Path) -> None:
    way = delegate_device(delegate)
    device = Device("gpu", "delegate", "/nowhere/libgone.so", instead=Device("gpu", way.kind, way.library, way.options))
    with SmallAccelerator(tmp_path, device, backoff=SLOWLY) as small:
        small.wait_for("in_use")
        assert small.ask() == "gpu"
        status = small.accelerator.status
        assert status.failures == {"refused": 1}
        assert "/nowhere/libgone.so cannot be loaded" in (status.history[0].reason or "")


def test_another_way_is_taken_where_the_first_loads_and_fails_when_it_is_examined(
    tmp_path: Path, delegate: Path
) -> None:
    way = delegate_device(delegate)
    bad = delegate_device(delegate, fault="abort", after=3)
    device = Device("gpu", bad.kind, bad.library, bad.options, Device("gpu", way.kind, way.library, way.options))
    with SmallAccelerator(tmp_path, device, backoff=SLOWLY) as small:
        small.wait_for("in_use")
        assert small.ask() == "gpu"
        assert small.accelerator.status.failures == {"died": 1}


class Late:
    """Implements `Asked`: its answer comes too late."""

    def ask(self, region: int, deadline_ns: int) -> Tensor:
        raise AcceleratorError("hung", "gave no answer in time")


def test_a_late_answer_to_a_known_question_is_no_answer_to_another(tmp_path: Path, delegate: Path) -> None:
    """A check that fails while nothing is asked ends the use of the process while it is still the check's turn."""
    with SmallAccelerator(tmp_path, delegate_device(delegate)) as small:
        small.wait_for("in_use")
        accelerator = small.accelerator
        (examiner,) = accelerator.examiners
        examiner._checked_ns = -(10**15)
        with accelerator._turn:
            with pytest.raises(AcceleratorError):
                accelerator._check_idle(Late(), examiner)
            assert accelerator._process is None
        assert small.ask() == "cpu"


def test_the_runtimes_own_gpu_accelerator_says_so_where_it_does_not_work(tmp_path: Path) -> None:
    with SmallAccelerator(tmp_path, Device("gpu", "gpu"), backoff=SLOWLY) as small:
        small.wait_for("failed")
        assert "GPU accelerator does not work here" in (small.accelerator.status.reason or "")
        assert small.ask() == "cpu"


def refusal(served: Served) -> str:
    """What a process says that cannot load the model."""
    questions = Questions([np.zeros(served.input.shape, served.input.dtype)], [[]])
    try:
        raises = pytest.raises(AcceleratorError)
        with AcceleratorProcess(PROCESSOR, [served], questions) as process, raises as caught:
            process.wait_until_loaded(20, threading.Event())
        assert caught.value.kind == "refused"
        return str(caught.value)
    finally:
        questions.close()


def test_a_model_that_is_not_like_its_twin_is_refused(tmp_path: Path, delegate: Path) -> None:
    SmallAccelerator(tmp_path, delegate_device(delegate))
    other = TensorSpec(shape=[1, 4], dtype="float32")
    said = refusal(Served(tmp_path / "small.tflite", other, OUTPUT))
    assert "its input is float32 [1, 6], not like the CPU model's float32 [1, 4]" in said


def test_a_process_cannot_write_what_it_is_asked(tmp_path: Path) -> None:
    questions = Questions([np.zeros((1, 6), np.float32)], [[]])
    size = os.fstat(questions.descriptor).st_size
    with pytest.raises(PermissionError):
        mmap.mmap(questions.descriptor, size)
    questions.live[0][...] = 7
    with mmap.mmap(questions.descriptor, size, access=mmap.ACCESS_READ) as seen:
        assert np.frombuffer(seen[:24], np.float32).tolist() == [7.0] * 6
    questions.close()


@needs_shared
def test_a_model_for_an_edge_tpu_alone_is_refused_in_plain_words(tmp_path: Path) -> None:
    path = SHARED / "models" / "yamnet_spectra_in_edgetpu.tflite"
    with pytest.raises(ModelError, match=r"compiled for an Edge TPU .*edgetpu-custom-op.* model .* is missing"):
        TfliteModel(path, INPUT, [OUTPUT])


@needs_shared
def test_a_model_for_an_edge_tpu_does_not_load_without_one() -> None:
    """The operator is found by libedgetpu's delegate alone."""
    spec = TensorSpec(shape=[1, 96, 64], dtype="float32")
    scores = TensorSpec(shape=[1, 521], dtype="float32")
    served = Served(SHARED / "models" / "yamnet_spectra_in_edgetpu.tflite", spec, scores)
    assert "edgetpu-custom-op" in refusal(served)


def test_the_runtimes_own_accelerator_computes_what_the_interpreter_does() -> None:
    """With the CPU in the place of a GPU; int8 goes in and comes out as it is."""
    bundle = load_bundle(ROOT / "models" / "digits")
    spec = bundle.manifest.modalities.audio
    assert spec is not None
    model = TfliteModel(bundle.file(spec.model), spec.input, [spec.output])
    model.input[...] = np.random.default_rng(3).integers(-128, 128, spec.input.shape)
    told = {
        "path": str(bundle.file(spec.model)),
        "input": spec.input.model_dump(),
        "output": spec.output.model_dump(),
    }
    with Child("tests.inference.compiled:compute", json.dumps(told), json.dumps(model.input.tolist())) as child:
        answer = np.array(json.loads(child.result(60)), np.int8)
    np.testing.assert_allclose(answer, model.invoke()[0], atol=1)
