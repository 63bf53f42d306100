"""Encodes a window of a stream's input: the moments that teaching stores, with a picture and the sound."""

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from itertools import groupby, zip_longest
from operator import attrgetter
from typing import Any

import numpy as np

from daemon.bundle.encoder_specs import EncoderSpec, ImageSpec
from daemon.bundle.manifest import Manifest
from daemon.core.errors import InputError, ModelError
from daemon.core.records import Array, Block, Counters, Embedding, Frame, Plane
from daemon.core.timing import NS_PER_MS, NS_PER_S, Schedule, monotonic_ns, seconds_until
from daemon.encoders.shrink import to_bgr
from daemon.fusion.pool import Pool
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.preparation import Preparation, Prepared
from daemon.pipeline.recent import Window
from daemon.pipeline.recogniser import Recogniser, max_ages_ns, pool_settings
from daemon.teaching.records import StoredMoment

# So many moments of one showing are kept. Others are left out evenly.
MAX_MOMENTS = 20

# A window ends so long after the press. The picture of the press is the nearest one.
AFTER_PRESS_NS = NS_PER_S


@dataclass(frozen=True, slots=True)
class Showing:
    """What a window shows: its moments, its pictures, and its sound.

    `picture` is the one nearest to the press, and `frames` has all pictures, each BGR. `sound` is float32 at `rate_hz`.
    `failed` counts the inputs of which an encoder has made nothing, or numbers that are not finite.
    """

    moments: Sequence[StoredMoment]
    picture: Plane | None
    frames: Sequence[Plane]
    sound: Array | None
    rate_hz: int | None
    failed: int = 0


def encode_window(window: Window, recogniser: Recogniser, pool: EncoderPool, name: str, deadline_s: float) -> Showing:
    """Return what a window shows, encoded on the shared encoders in turn with the live streams.

    `name` is that of no stream. At most one input waits for each encoder, so live input waits for one at a time.
    Raises InputError when the encoders have not finished by the deadline.
    """
    deadline_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
    inputs = _inputs(window, recogniser)
    embeddings: list[Embedding] = []
    for batch in zip_longest(*([(encoder, item) for item in items] for encoder, items in inputs.items())):
        futures = [_offer(pool, name, *each) for each in batch if each is not None]
        embeddings += [found for future in futures if (found := _wait_for(future, deadline_ns)) is not None]
    failed = sum(map(len, inputs.values())) - sum(map(_is_finite, embeddings))
    return replace(_showing(window, recogniser.bundle.manifest, embeddings), failed=failed)


def showing_of(window: Window, recogniser: Recogniser) -> Showing:
    """Return what a window shows, encoded on this thread. Nothing else may use the recogniser meanwhile."""
    return _showing(window, recogniser.bundle.manifest, _encoded(window, recogniser))


def moments_of(window: Window, recogniser: Recogniser) -> list[StoredMoment]:
    """Return every moment of a window, encoded on this thread. Nothing else may use the recogniser meanwhile."""
    return _moments(window, recogniser.bundle.manifest, _encoded(window, recogniser))


def _showing(window: Window, manifest: Manifest, embeddings: Iterable[Embedding]) -> Showing:
    frames = [item for item in window.items if isinstance(item, Frame) and item.captured_ns >= window.start_ns]
    pictures = [to_bgr(frame) for frame in frames]
    press_ns = max(window.start_ns, window.end_ns - AFTER_PRESS_NS)
    distances = [abs(frame.captured_ns - press_ns) for frame in frames]
    picture = pictures[distances.index(min(distances))] if pictures else None
    sound, rate_hz = _sound(window)
    return Showing(_thinned(_moments(window, manifest, embeddings)), picture, pictures, sound, rate_hz)


def _inputs(window: Window, recogniser: Recogniser) -> dict[str, list[Any]]:
    """Return the inputs of each encoder, in the order of capture.

    Of the input before the window only the newest is encoded, unless the encoder is pooled.
    """
    manifest, taken = recogniser.bundle.manifest, recogniser.encoders.keys()
    preparation = Preparation(manifest, {name: Counters() for name in manifest.encoder_specs})
    inputs: dict[str, list[Any]] = {name: [] for name in manifest.encoder_specs if name in taken}
    for item in window.items:
        prepared = _for_each(item, preparation) if isinstance(item, Frame) else preparation.prepare(item)
        for name, each in prepared:
            if name in taken:
                inputs[name].append(each)
    return {name: _chosen(items, manifest.encoder_specs[name], window) for name, items in inputs.items()}


def _for_each(frame: Frame, preparation: Preparation) -> list[Prepared]:
    return [(name, frame) for name in preparation.encoders_for(frame)]


def _chosen(items: list[Any], spec: EncoderSpec, window: Window) -> list[Any]:
    """Return the inputs to encode, of those of one encoder."""
    rate_hz = spec.rate_hz if isinstance(spec, ImageSpec) else None
    before = [item for item in items if _end_ns(item) < window.start_ns]
    within = [item for item in items if window.start_ns <= _end_ns(item) <= window.end_ns]
    # each part begins a schedule of its own, so that a slow encoder has a picture of the window
    return (_at_rate(before, rate_hz) if spec.pool else before[-1:]) + _at_rate(within, rate_hz)


def _at_rate(items: list[Any], rate_hz: float | None) -> list[Any]:
    if rate_hz is None:
        return items
    schedule = Schedule(rate_hz)
    return [item for item in items if schedule.passes(item.captured_ns)]


def _encoded(window: Window, recogniser: Recogniser) -> list[Embedding]:
    embeddings = []
    for encoder, items in _inputs(window, recogniser).items():
        for item in items:
            try:
                embeddings.append(recogniser.encoders[encoder].encode(item))
            except (InputError, ModelError):  # as in live use: the encoder is absent from this moment
                continue
    return embeddings


def _offer(pool: EncoderPool, name: str, encoder: str, item: Any) -> "Future[Embedding | None]":
    future: Future[Embedding | None] = Future()
    pool.offer(name, encoder, item, future.set_result, Counters())
    return future


def _wait_for(future: "Future[Embedding | None]", deadline_ns: int) -> Embedding | None:
    try:
        return future.result(timeout=seconds_until(deadline_ns))
    except FutureTimeoutError as error:
        raise InputError("the encoders have not finished in time") from error


def _moments(window: Window, manifest: Manifest, embeddings: Iterable[Embedding]) -> list[StoredMoment]:
    """Return the moments of the window. Each ends before an encoder delivers again; so each embedding is new once.

    A moment has the latest embedding of each encoder, unless it is older than its maximum age.
    """
    position = {name: index for index, name in enumerate(manifest.encoder_specs)}
    pool, max_ages = Pool(pool_settings(manifest)), max_ages_ns(manifest)
    latest: dict[str, Embedding] = {}
    new: set[str] = set()
    moments: list[StoredMoment] = []
    finite = filter(_is_finite, embeddings)
    time_ns = window.start_ns - 1
    for end_ns, group in groupby(sorted(finite, key=attrgetter("end_ns")), key=attrgetter("end_ns")):
        together = sorted(group, key=lambda each: position[each.encoder])
        if not new.isdisjoint(each.encoder for each in together):
            moments += _moment(latest, time_ns, window.start_ns, max_ages)
            new.clear()
        for each in together:
            latest[each.encoder] = pool.add(each)
            new.add(each.encoder)
        time_ns = end_ns
    return moments + _moment(latest, time_ns, window.start_ns, max_ages)


def _moment(
    latest: Mapping[str, Embedding], time_ns: int, start_ns: int, max_ages_ns: Mapping[str, int]
) -> list[StoredMoment]:
    """Return the moment of this time; none if it is before the window."""
    if time_ns < start_ns:
        return []
    fresh = {name: each.vector for name, each in latest.items() if time_ns - each.end_ns <= max_ages_ns[name]}
    return [StoredMoment((time_ns - start_ns) // NS_PER_MS, fresh)]


def _thinned(moments: list[StoredMoment]) -> list[StoredMoment]:
    return moments[:: math.ceil(len(moments) / MAX_MOMENTS)] if moments else moments


def _sound(window: Window) -> tuple[Array | None, int | None]:
    """Return the samples of the window, with their rate; None when there are none."""
    parts: list[Array] = []
    rate_hz = None
    for block in window.items:
        if not isinstance(block, Block):
            continue
        rate_hz = block.sample_rate_hz
        begin, end = ((at_ns - block.start_ns) * rate_hz // NS_PER_S for at_ns in (window.start_ns, window.end_ns))
        parts.append(block.samples[max(0, begin) : max(0, end)])
    sound = np.concatenate(parts) if parts else np.empty(0, np.float32)
    return (sound, rate_hz) if sound.size else (None, None)


def _is_finite(embedding: Embedding) -> bool:
    return bool(np.isfinite(embedding.vector).all())


def _end_ns(item: Any) -> int:
    """Return when the input of an encoder ends: a frame, a patch of sound or a line."""
    end_ns: int = item.captured_ns if hasattr(item, "captured_ns") else item.end_ns
    return end_ns
