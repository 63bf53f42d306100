"""Runs a stream through the daemon's ordered flow, as a replay at `pace: fast`."""

import threading
from collections.abc import Iterable
from pathlib import Path

from daemon.config.node import load_config
from daemon.config.streams import EventsConfig, FusionConfig
from daemon.core.records import Captured, Counters
from daemon.core.timing import NS_PER_S
from daemon.fusion.fuse import Fused
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.ordered import OrderedFlow
from daemon.pipeline.preparation import Preparation
from daemon.pipeline.recogniser import Recogniser
from evaluation.stream_score import ReportedEvent

CONFIG = Path("config.yaml")


def events_of(recogniser: Recogniser, stream: Iterable[Captured]) -> list[ReportedEvent]:
    """All events that started in the captured items, which are ordered by their end, by the settings of config.yaml.

    Raises RuntimeError if an item was dropped.
    """
    config = next(iter(load_config(CONFIG).document.streams.values()))
    return [
        ReportedEvent(event.label, event.started_ns / NS_PER_S, event.time_ns / NS_PER_S)
        for fused in fused_of(recogniser, stream, config.fusion, config.events)
        for event in fused.events
        if event.phase == "start"
    ]


def fused_of(
    recogniser: Recogniser, stream: Iterable[Captured], fusion: FusionConfig, events: EventsConfig
) -> list[Fused]:
    """What fusion makes of the captured items, which are ordered by their end, step by step.

    Raises RuntimeError if an item was dropped.
    """
    manifest = recogniser.bundle.manifest
    counters = {encoder: Counters() for encoder in manifest.encoder_specs}
    steps: list[Fused] = []
    encoders = EncoderPool(recogniser.parallel_encoders, manifest.encoder_modalities)
    flow = OrderedFlow(
        "evaluated",
        Preparation(manifest, counters),
        encoders,
        recogniser.new_fusion(recogniser.new_head(), "s", fusion, events),
        steps.append,
        counters,
        threading.Event(),
    )
    encoders.start()
    for item in stream:
        flow.deliver(item)
    flow.finish()
    encoders.close(5.0)
    # A line longer than the bundle reads counts as `cut`. Its beginning is recognised.
    lost = {reason for counter in counters.values() for reason in counter.dropped if reason != "cut"}
    if lost:
        raise RuntimeError(f"items of the stream were dropped: {', '.join(sorted(lost))}")
    return steps
