"""Whatever an accelerator does, every input gets its right output, and every failure is reported."""

import json
import mmap
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.errors import AcceleratorError, ModelError
from daemon.core.records import Tensor
from daemon.core.sealed import SealedFile
from daemon.core.timing import Backoff
from daemon.inference.accelerator_process import AcceleratorModel, AcceleratorProcess, SharedInputs
from daemon.inference.interpreter import TfliteModel
from daemon.inference.placement import CPU_DEVICE, Device
from daemon.runtime.child import Child
from tests.helpers.accelerators import INPUT, OUTPUT, VERIFIED, SmallAccelerator, delegate_device
from tests.helpers.daemon import ROOT
from tests.helpers.mosquitto import wait_until
from tests.helpers.processes import is_running
from tests.inference import compiled
from tests.shared import SHARED, needs_shared

# After a failure there is no retry while a test runs.
SLOWLY = Backoff(60.0, 60.0)


def test_it_computes_once_it_has_been_verified(tmp_path: Path, delegate: Path) -> None:
    with SmallAccelerator(tmp_path, delegate_device(delegate)) as small:
        small.wait_for("in_use")
        assert {small.compute() for _ in range(50)} == {"test"}
        (verifier,) = small.accelerator.verifiers
        assert (verifier.counts.ran, verifier.counts.on_cpu) == (50, 0)
        assert verifier.latency.p50_ns is not None
    assert small.accelerator.status.state == "stopped"
    assert small.compute() == "cpu", "when it has been stopped the CPU still computes"


def test_until_then_the_cpu_computes(tmp_path: Path, delegate: Path) -> None:
    small = SmallAccelerator(tmp_path, delegate_device(delegate))
    assert small.compute() == "cpu"
    with small:
        small.wait_for("in_use")


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        ("abort", "died", "its process was ended by SIGABRT"),
        ("segfault", "died", "its process was ended by SIGSEGV"),
        ("error", "died", "its invoke failed: failed, as asked"),
        ("hang", "hung", "gave no answer within"),
        ("wrong", "wrong", "image: computes wrongly: the output of a test input differs by"),
    ],
)
def test_a_fault_is_reported_and_costs_no_output(
    tmp_path: Path, delegate: Path, fault: str, kind: str, reason: str
) -> None:
    device = delegate_device(delegate, fault=fault, after=VERIFIED + 7)
    with SmallAccelerator(tmp_path, device, check_every_s=0, backoff=SLOWLY) as small:
        small.wait_for("in_use")
        devices = [small.compute() for _ in range(20)]
        assert devices == sorted(devices, reverse=True), "the accelerator's first, then the CPU's"
        assert {"test", "cpu"} == set(devices)
        small.wait_for("failed")
        status = small.accelerator.status
        assert status.failures == {kind: 1}
        assert status.reason is not None and status.reason.startswith(reason)
        assert [(change.state, change.kind) for change in status.history] == [("in_use", None), ("failed", kind)]
        assert status.history[-1].signal_name == (reason.rpartition(" ")[2] if "SIG" in reason else None)


def test_wrong_outputs_are_detected_within_the_interval_of_checks(tmp_path: Path, delegate: Path) -> None:
    device = delegate_device(delegate, fault="wrong", after=VERIFIED)
    with SmallAccelerator(tmp_path, device, check_every_s=0.3, backoff=SLOWLY) as small:
        small.wait_for("in_use")
        small.model.input[...] = np.ones((1, 6), np.float32)

        def is_detected() -> bool:
            small.model.invoke()
            return small.accelerator.status.failures == {"wrong": 1}

        wait_until(is_detected, "it is detected")
        assert small.compute() == "cpu"


def test_a_slow_accelerator_is_no_longer_used(tmp_path: Path, delegate: Path) -> None:
    device = delegate_device(delegate, fault="slow", after=VERIFIED + 60, slow_us=19_000)
    with SmallAccelerator(tmp_path, device, backoff=SLOWLY) as small:
        small.wait_for("in_use")
        while small.accelerator.status.state == "in_use":
            small.compute()
        status = small.accelerator.status
        assert sum(status.failures.values()) == 1
        # 19 ms is slow, and on a machine that is busy besides it may be too late for the deadline
        assert set(status.failures) <= {"slow", "hung"}


def test_one_that_refuses_is_tried_again_until_it_loads(tmp_path: Path, delegate: Path) -> None:
    cure = tmp_path / "cured"
    with SmallAccelerator(tmp_path, delegate_device(delegate, fault="refuse", unless=cure)) as small:
        wait_until(lambda: small.failures("refused") >= 3, "refused three times")
        assert small.compute() == "cpu"
        assert small.accelerator.status.reason == f"{delegate} refuses: refused, as asked"
        cure.touch()
        small.wait_for("in_use")
        assert small.compute() == "test"
        assert small.accelerator.status.reason is None


def test_one_that_dies_while_idle_is_replaced(tmp_path: Path, delegate: Path) -> None:
    with SmallAccelerator(tmp_path, delegate_device(delegate)) as small:
        small.wait_for("in_use")
        process = small.accelerator._process
        assert process is not None
        os.kill(process.child.pid, signal.SIGKILL)
        wait_until(lambda: small.failures("died") == 1, "it is detected")
        small.wait_for("in_use")
        assert small.compute() == "test"
        assert not is_running(process.child.pid)


class PluggedIn:
    """Implements `Upkeep`: the device is there while a file exists."""

    def __init__(self, plug: Path) -> None:
        self._plug = plug
        self.resets = 0

    def absence(self) -> str | None:
        return None if self._plug.exists() else "there is none"

    def reset(self) -> None:
        self.resets += 1


def test_one_that_is_absent_is_not_started_before_it_is_there(tmp_path: Path, delegate: Path) -> None:
    plug = tmp_path / "plugged-in"
    upkeep = PluggedIn(plug)
    with SmallAccelerator(tmp_path, delegate_device(delegate), upkeep=upkeep) as small:
        small.wait_for("absent")
        assert (small.accelerator.status.reason, small.accelerator.status.starts) == ("there is none", 0)
        assert small.compute() == "cpu"
        plug.touch()
        small.wait_for("in_use")
        assert small.accelerator.status.failures == {}
        assert upkeep.resets == 0, "it had not failed"


class Exhausted(PluggedIn):
    """Cannot look for the device at the first time: there are no descriptors."""

    looks = 0

    def absence(self) -> str | None:
        self.looks += 1
        if self.looks == 1:
            raise OSError(24, "Too many open files")
        return super().absence()


def test_a_lack_of_descriptors_is_a_failure_after_which_it_is_tried_again(tmp_path: Path, delegate: Path) -> None:
    upkeep = Exhausted(delegate)
    with SmallAccelerator(tmp_path, delegate_device(delegate), upkeep=upkeep) as small:
        small.wait_for("in_use")
        assert small.accelerator.status.failures == {"died": 1}
        assert "Too many open files" in (small.accelerator.status.history[0].reason or "")


def test_one_that_has_failed_is_reset_first(tmp_path: Path, delegate: Path) -> None:
    upkeep = PluggedIn(delegate)
    device = delegate_device(delegate, fault="error", after=VERIFIED)
    with SmallAccelerator(tmp_path, device, upkeep=upkeep) as small:
        small.wait_for("in_use")
        assert upkeep.resets == 0
        small.compute()
        wait_until(lambda: small.accelerator.status.starts == 2, "a second start")
        assert upkeep.resets == 1


def test_the_alternative_is_used_when_the_device_does_not_load(tmp_path: Path, delegate: Path) -> None:
    good = delegate_device(delegate)
    alternative = Device("gpu", good.kind, good.library, good.options)
    device = Device("gpu", "delegate", "/nowhere/libgone.so", alternative=alternative)
    with SmallAccelerator(tmp_path, device, backoff=SLOWLY) as small:
        small.wait_for("in_use")
        assert small.compute() == "gpu"
        status = small.accelerator.status
        assert status.failures == {"refused": 1}
        assert "/nowhere/libgone.so cannot be loaded" in (status.history[0].reason or "")


def test_the_alternative_is_used_when_the_device_loads_and_fails_its_verification(
    tmp_path: Path, delegate: Path
) -> None:
    good = delegate_device(delegate)
    bad = delegate_device(delegate, fault="abort", after=3)
    device = Device("gpu", bad.kind, bad.library, bad.options, Device("gpu", good.kind, good.library, good.options))
    with SmallAccelerator(tmp_path, device, backoff=SLOWLY) as small:
        small.wait_for("in_use")
        assert small.compute() == "gpu"
        assert small.accelerator.status.failures == {"died": 1}


class Late:
    """Implements `Invoker`: its output comes too late."""

    def invoke(self, region: int, deadline_ns: int) -> Tensor:
        raise AcceleratorError("hung", "gave no answer in time")


def test_the_late_output_of_a_check_is_not_taken_for_another_output(tmp_path: Path, delegate: Path) -> None:
    """A check of an idle accelerator that fails withdraws the process before its turn ends."""
    with SmallAccelerator(tmp_path, delegate_device(delegate)) as small:
        small.wait_for("in_use")
        accelerator = small.accelerator
        (verifier,) = accelerator.verifiers
        verifier._checked_ns = -(10**15)
        with accelerator._turn:
            with pytest.raises(AcceleratorError):
                accelerator._check_idle(Late(), verifier)
            assert accelerator._process is None
        assert small.compute() == "cpu"


def test_the_runtimes_own_gpu_accelerator_reports_that_it_does_not_work(tmp_path: Path) -> None:
    with SmallAccelerator(tmp_path, Device("gpu", "gpu"), backoff=SLOWLY) as small:
        small.wait_for("failed")
        assert "GPU accelerator does not work here" in (small.accelerator.status.reason or "")
        assert small.compute() == "cpu"


def refusal(model: AcceleratorModel) -> str:
    """The reason of a process that cannot load the model."""
    inputs = SharedInputs([np.zeros(model.input.shape, model.input.dtype)], [[]])
    try:
        raises = pytest.raises(AcceleratorError)
        with AcceleratorProcess(CPU_DEVICE, [model], inputs) as process, raises as caught:
            process.wait_until_loaded(20, threading.Event())
        assert caught.value.kind == "refused"
        return str(caught.value)
    finally:
        inputs.close()


def test_a_model_that_differs_from_the_cpu_fallback_is_refused(tmp_path: Path, delegate: Path) -> None:
    SmallAccelerator(tmp_path, delegate_device(delegate))
    other = TensorSpec(shape=[1, 4], dtype="float32")
    reason = refusal(AcceleratorModel(SealedFile(tmp_path / "small.tflite"), other, {"output": OUTPUT}))
    assert "its input is float32 [1, 6], expected float32 [1, 4] and the CPU model's quantization" in reason


def test_a_process_cannot_write_its_inputs(tmp_path: Path) -> None:
    inputs = SharedInputs([np.zeros((1, 6), np.float32)], [[]])
    size = os.fstat(inputs.descriptor).st_size
    with pytest.raises(PermissionError):
        mmap.mmap(inputs.descriptor, size)
    inputs.live[0][...] = 7
    with mmap.mmap(inputs.descriptor, size, access=mmap.ACCESS_READ) as memory:
        assert np.frombuffer(memory[:24], np.float32).tolist() == [7.0] * 6
    inputs.close()


@needs_shared
def test_a_model_for_an_edge_tpu_alone_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = SHARED / "models" / "yamnet_spectra_in_edgetpu.tflite"
    with pytest.raises(ModelError, match=r"compiled for an Edge TPU .*edgetpu-custom-op.* model .* is missing"):
        TfliteModel(SealedFile(path), INPUT, [OUTPUT])


@needs_shared
def test_a_model_for_an_edge_tpu_does_not_load_without_one() -> None:
    """Only libedgetpu's delegate has the operator."""
    spec = TensorSpec(shape=[1, 96, 64], dtype="float32")
    scores = TensorSpec(shape=[1, 521], dtype="float32")
    file = SealedFile(SHARED / "models" / "yamnet_spectra_in_edgetpu.tflite")
    model = AcceleratorModel(file, spec, {"scores": scores})
    assert "edgetpu-custom-op" in refusal(model)


def test_the_runtimes_own_accelerator_computes_what_the_interpreter_does() -> None:
    """The CPU stands in for a GPU. The tensors are int8."""
    bundle = load_bundle(ROOT / "models" / "digits")
    spec = bundle.manifest.encoder_specs["audio"]
    (target,) = spec.outputs.values()
    model = TfliteModel(bundle.model(spec.model), spec.input, [target])
    model.input[...] = np.random.default_rng(3).integers(-128, 128, spec.input.shape)
    request = {
        "path": str(bundle.model(spec.model).path),
        "input": spec.input.model_dump(),
        "outputs": [target.model_dump()],
    }
    copy = bundle.model(spec.model).descriptor
    with Child(compiled.compute, json.dumps(request), json.dumps(model.input.tolist()), inherits=[copy]) as child:
        (output,) = (np.array(each, np.int8) for each in json.loads(child.result(60)))
    np.testing.assert_allclose(output, model.invoke()[0], atol=1)
