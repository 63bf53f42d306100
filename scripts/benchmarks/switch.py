"""Measures the cost of a switch between bundles for live streams: lost moments, and the delay of others.

A stream replays the demo clip while bundles are switched.
"""

import argparse
import itertools
import json
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from daemon.bundle.bundle import load_bundle
from daemon.config.devices import ON_CPU
from daemon.config.streams import FusionConfig, ReplayConfig, StreamConfig
from daemon.core.records import MODALITIES, Counters
from daemon.core.timing import NS_PER_MS, NS_PER_S, monotonic_ns
from daemon.fusion.fuse import Fused
from daemon.node.active_bundle import ActiveBundle, published_bundle
from daemon.node.latency import ErrorCount
from daemon.node.stream import Stream
from daemon.node.stream_publisher import PublishedBundle
from daemon.pipeline.acceleration import accelerate
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.runtime.heartbeat import short_switch_interval

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "models" / "digits"
FRAME_MS = 1000 / 30
CLIP_S = 33.0
# A switch may delay items that are captured this shortly before or after it.
NEAR_NS = NS_PER_S // 2


class Recorder:
    """Replaces a stream's publisher, and stores when each frame and each patch of sound was first recognised."""

    recognitions = events = 0

    def __init__(self) -> None:
        self.recognised: dict[str, dict[int, int]] = {"image": {}, "audio": {}}
        self.bundles: list[int] = []

    def publish(self, bundle: PublishedBundle, fused: Fused) -> None:
        """Store the time of each recognised item."""
        now_ns = monotonic_ns()
        for recognition in fused.recognitions:
            self.bundles.append(id(bundle))
            for modality, embedding in recognition.moment.embeddings.items():
                self.recognised[modality].setdefault(embedding.end_ns, now_ns)


def main() -> int:
    """Print lost frames and the greatest delay; the exit code is 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench switch", description=__doc__)
    parser.add_argument("--changes", type=int, default=14, help="number of switches (default: 14)")
    parser.add_argument(
        "--every", type=float, default=2.0, metavar="SECONDS", help="time from one switch to the next (default: 2)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    options = parser.parse_args()
    if (options.changes + 1) * options.every > CLIP_S:
        parser.error(f"the switches must fit into one pass of the clip ({CLIP_S:g} s): sound has a gap between passes")
    recorder = Recorder()
    replay = ReplayConfig(file=str(BUNDLE / "demo" / "clip.mp4"))
    config = StreamConfig(replay=replay, fusion=FusionConfig(max_rate_hz=1000.0))  # every frame becomes a moment
    first = _loaded()
    bundle = published_bundle(first, ErrorCount([], Counters()))
    counters = {modality: Counters() for modality in MODALITIES}
    stream = Stream("s", config, first, bundle, recorder, counters, on_change=do_nothing)  # type: ignore[arg-type]
    active = ActiveBundle(first, bundle, [stream], on_change=do_nothing)
    active.start()
    switched_ns = _switch(active, options.changes, options.every)
    time.sleep(options.every)
    stream.request_stop()
    stream.join(monotonic_ns() + 2 * NS_PER_S)
    active.close_encoders()
    active.close_fusion()
    result = _result(stream, recorder, switched_ns)
    print(json.dumps(result) if options.json else _table(result))
    is_intact = result["longest_step_ms"] < 1.5 * result["usual_step_ms"]
    return 0 if is_intact and result["lost"] == 0 and not result["dropped"] and result["held_up_ms"] <= FRAME_MS else 1


def do_nothing() -> None:
    """Do nothing on a change."""


def _loaded() -> Recogniser:
    return accelerate(load_recogniser(load_bundle(BUNDLE)), ON_CPU)


def _switch(active: ActiveBundle, changes: int, every_s: float) -> list[tuple[int, int]]:
    """Load, prepare and commit bundles on another thread, like the updater.

    Returns start and end of each switch.
    """
    times_ns: list[tuple[int, int]] = []

    def work() -> None:
        for _ in range(changes):
            time.sleep(every_s)
            began_ns = monotonic_ns()
            with short_switch_interval():
                recogniser = _loaded()
                prepared = active.prepare(recogniser, published_bundle(recogniser, ErrorCount([], Counters())))
            prepared.commit()
            times_ns.append((began_ns, monotonic_ns()))
            if sys.stderr.isatty():
                print(f"\r{len(times_ns)} of {changes} switches", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return times_ns


def _result(stream: Stream, recorder: Recorder, switched_ns: list[tuple[int, int]]) -> dict[str, Any]:
    """Lost and dropped items, and how much later than usual the others were, near switches and far from them."""
    counters = stream.counters
    dropped: Counter[str] = sum((Counter(found.dropped) for found in counters.values()), Counter())
    lost = counters["image"].captured - len(recorder.recognised["image"])
    ends = sorted(recorder.recognised["audio"])
    gaps_ms = [(after - before) / NS_PER_MS for before, after in itertools.pairwise(ends)]
    usual_ms, near, far = {}, [], []
    for modality, times in recorder.recognised.items():
        took_ms = {end_ns: (at_ns - end_ns) / NS_PER_MS for end_ns, at_ns in times.items()}
        usual_ms[modality] = statistics.median(took_ms.values())
        for end_ns, ms in took_ms.items():
            is_near = any(began - NEAR_NS < end_ns < ended + NEAR_NS for began, ended in switched_ns)
            (near if is_near else far).append(ms - usual_ms[modality])
    return {
        "changes": len(switched_ns),
        "bundles_seen": len(set(recorder.bundles)),
        "frames": counters["image"].captured,
        "patches": len(ends),
        "longest_step_ms": max(gaps_ms),
        "usual_step_ms": statistics.median(gaps_ms),
        "lost": lost,
        "dropped": dict(dropped),
        "usual_image_ms": usual_ms["image"],
        "usual_audio_ms": usual_ms["audio"],
        "p99_far_ms": _p99(far),
        "p99_near_ms": _p99(near),
        "most_far_ms": max(far),
        "held_up_ms": max(near),
    }


def _p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def _table(result: dict[str, Any]) -> str:
    return f"""{result["changes"]} switches, {result["frames"]} frames and {result["patches"]} patches of sound
  frames lost                       {result["lost"]}; dropped, by reason: {result["dropped"] or "none"}
  step from sound patch to patch    {result["usual_step_ms"]:.1f} ms, at most {result["longest_step_ms"]:.1f} ms
  capture to recognition, usually   {result["usual_image_ms"]:.1f} ms, sound {result["usual_audio_ms"]:.1f} ms
  later than usual
    far from a switch               p99 {result["p99_far_ms"]:.1f} ms, at most {result["most_far_ms"]:.1f} ms
    within 0.5 s of a switch        p99 {result["p99_near_ms"]:.1f} ms, at most {result["held_up_ms"]:.1f} ms
  interval between frames           {FRAME_MS:.1f} ms"""


if __name__ == "__main__":
    sys.exit(main())
