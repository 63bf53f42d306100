"""Runs a stream through the daemon's ordered flow, as a replay at `pace: fast`, with the settings of config.yaml."""

import threading
from collections.abc import Iterable
from pathlib import Path

from daemon.config.node import load_config
from daemon.core.records import Captured, Counters, Event
from daemon.core.timing import NS_PER_S
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.ordered import OrderedFlow
from daemon.pipeline.preparation import Preparation
from daemon.pipeline.recogniser import Recogniser
from evaluation.stream_score import ReportedEvent

CONFIG = Path("config.yaml")


def events_of(recogniser: Recogniser, stream: Iterable[Captured]) -> list[ReportedEvent]:
    """All events that started in the captured items, which are ordered by their end.

    Raises RuntimeError if an item was dropped.
    """
    config = next(iter(load_config(CONFIG).document.streams.values()))
    manifest = recogniser.bundle.manifest
    counters = {encoder: Counters() for encoder in manifest.encoder_specs}
    events: list[Event] = []
    encoders = EncoderPool(recogniser.parallel_encoders, manifest.encoder_modalities)
    flow = OrderedFlow(
        "evaluated",
        Preparation(manifest, counters),
        encoders,
        recogniser.new_fusion(recogniser.new_head(), config.fusion, config.events),
        lambda fused: events.extend(fused.events),
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
    return [
        ReportedEvent(event.label, event.started_ns / NS_PER_S, event.time_ns / NS_PER_S)
        for event in events
        if event.phase == "start"
    ]
