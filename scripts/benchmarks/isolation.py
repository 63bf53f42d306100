"""Measures the cost of a child process for an accelerator's models: one interpreter in this process, one in a child."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.sealed import SealedFile
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.inference.accelerator import Accelerator, FallbackModel
from daemon.inference.accelerator_process import AcceleratorModel
from daemon.inference.interpreter import TfliteModel
from daemon.inference.placement import CPU_DEVICE
from daemon.inference.verification import Workload

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT.parent / "shared" / "models" / "tf2_mobilenet_v2_1.0_224_ptq.tflite"
INPUT = TensorSpec(shape=[1, 224, 224, 3], dtype="uint8", scale=0.007843137718737125, zero_point=127)
OUTPUT = TensorSpec(shape=[1, 1001], dtype="uint8", scale=0.00390625, zero_point=0)
OUTPUTS = {"output": OUTPUT}
TARGET_MS = 0.3
WARM_UP = 50
START_S = 30.0
# Otherwise a known answer is checked once a second. That is an additional invoke, which is not measured here.
NEVER_NS = 3600 * NS_PER_S


def main() -> int:
    """Print the additional time per call; the exit code is 1 when it exceeds the target."""
    parser = argparse.ArgumentParser(prog="scripts/bench isolation", description=__doc__)
    parser.add_argument(
        "--calls", type=int, default=1000, help="number of measured calls of each, in turn (default: 1000)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    options = parser.parse_args()
    if not MODEL.is_file():
        print(f"there is no model {MODEL}", file=sys.stderr)
        return 1
    file = SealedFile(MODEL)
    here = TfliteModel(file, INPUT, [OUTPUT])
    cpu_fallback = TfliteModel(file, INPUT, [OUTPUT])
    pictures = np.random.default_rng(1).integers(0, 256, (16, *INPUT.shape)).astype(np.uint8)
    work = Workload("image", AcceleratorModel(file, INPUT, OUTPUTS), cpu_fallback, [pictures[0]], list(OUTPUTS))
    accelerator = Accelerator(CPU_DEVICE, [work], check_every_ns=NEVER_NS)
    accelerator.start()
    try:
        _wait_until_ready(accelerator)
        result = _result(*_measured(here, FallbackModel(accelerator, 0, work), pictures, options.calls))
        counts = accelerator.verifiers[0].counts
    finally:
        accelerator.close(2.0)
    if counts.on_cpu:
        raise SystemExit(f"{counts.on_cpu} of {counts.ran + counts.on_cpu} calls fell back to the CPU in this process")
    print(json.dumps(result) if options.json else _table(result))
    return 0 if result["cost_ms"]["p50"] <= TARGET_MS else 1


def _wait_until_ready(accelerator: Accelerator) -> None:
    end_ns = monotonic_ns() + round(START_S * NS_PER_S)
    while accelerator.status.state != "in_use":
        if monotonic_ns() > end_ns:
            raise SystemExit(f"the child process was not ready within {START_S:g} s: {accelerator.status}")
        time.sleep(0.01)


def _measured(
    here: TfliteModel, there: FallbackModel, pictures: np.ndarray, calls: int
) -> tuple[list[float], list[float]]:
    """Milliseconds of each call in this process and in the child, on the same pictures. The order alternates."""
    here_ms, there_ms = [], []
    both = [(here, here_ms), (there, there_ms)]
    for number in range(WARM_UP + calls):
        picture = pictures[number % len(pictures)]
        one, other = (_timed(model, picture, times_ms) for model, times_ms in both)
        if not np.array_equal(one, other):
            raise SystemExit("the two processes computed different outputs")
        both.reverse()
    return here_ms[WARM_UP:], there_ms[WARM_UP:]


def _timed(model: TfliteModel | FallbackModel, picture: np.ndarray, times_ms: list[float]) -> np.ndarray:
    start = time.perf_counter()
    model.input[...] = picture
    output = model.invoke()[0]
    times_ms.append((time.perf_counter() - start) * 1e3)
    return output


def _result(here_ms: list[float], there_ms: list[float]) -> dict:
    percentiles: dict[str, Callable[[list[float]], float]] = {"p50": statistics.median, "p99": _p99}
    here, there = ({name: of(times) for name, of in percentiles.items()} for times in (here_ms, there_ms))
    cost_ms = [b - a for a, b in zip(here_ms, there_ms, strict=True)]  # call by call, because a busy machine slows both
    cost = {name: of(cost_ms) for name, of in percentiles.items()}
    return {"calls": len(here_ms), "here_ms": here, "there_ms": there, "cost_ms": cost}


def _p99(times_ms: list[float]) -> float:
    return sorted(times_ms)[len(times_ms) * 99 // 100]


def _table(result: dict) -> str:
    rows = [
        ("in this process", "here_ms"),
        ("in a child process", "there_ms"),
        ("cost of the child process", "cost_ms"),
    ]
    lines = [f"MobileNetV2, 224x224x3, one thread, {result['calls']} calls each{'p50, ms':>14}{'p99, ms':>12}"]
    lines += [f"{title:<50}{result[key]['p50']:14.3f}{result[key]['p99']:12.3f}" for title, key in rows]
    met = result["cost_ms"]["p50"] <= TARGET_MS
    return "\n".join([*lines, f"target: at most {TARGET_MS} ms at p50: {'met' if met else 'MISSED'}"])


if __name__ == "__main__":
    sys.exit(main())
