"""Repeats the latest embedding of an encoder while the gate of its modality is closed. Reads no clock."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from daemon.bundle.encoder_specs import AudioSpec, ImageSpec
from daemon.bundle.manifest import Manifest
from daemon.config.streams import GatesConfig
from daemon.core.records import CPU, Embedding
from daemon.core.timing import NS_PER_MS, NS_PER_S

# Maximum age at which an accelerator's embedding is repeated. A wrong result is detected by then.
MAX_ACCELERATOR_AGE_NS = 5 * NS_PER_S


@dataclass(frozen=True, slots=True)
class KeepAliveRule:
    """How often the latest embedding of an encoder is repeated, and the maximum age of an embedding."""

    every_ns: int
    max_age_ns: int


def keep_alive_rules(manifest: Manifest, gates: GatesConfig) -> dict[str, KeepAliveRule]:
    """Return the rule of each encoder whose modality has a gate.

    The default of keep_alive_s is half of max_age. For sound, pre_roll_s is subtracted from max_age first.
    """
    rules: dict[str, KeepAliveRule] = {}
    if gates.motion:
        for name, image in manifest.of_modality(ImageSpec).items():
            rules[name] = _rule(image.max_age_ms, gates.motion.keep_alive_s, 0.0)
    if gates.sound:
        for name, audio in manifest.of_modality(AudioSpec).items():
            rules[name] = _rule(audio.max_age_ms, gates.sound.keep_alive_s, gates.sound.pre_roll_s)
    return rules


def _rule(max_age_ms: int, keep_alive_s: float | None, pre_roll_s: float) -> KeepAliveRule:
    max_age_ns = max_age_ms * NS_PER_MS
    default_ns = (max_age_ns - round(pre_roll_s * NS_PER_S)) // 2
    return KeepAliveRule(default_ns if keep_alive_s is None else round(keep_alive_s * NS_PER_S), max_age_ns)


def keep_alive_problems(manifest: Manifest, gates: GatesConfig) -> list[tuple[tuple[str, str], float, str]]:
    """Return the settings with which an embedding expires before it is repeated.

    Each has its key below `gates`, its value, and what the bundle expects instead.
    """
    found: list[tuple[tuple[str, str], float, str]] = []
    images, sounds = manifest.of_modality(ImageSpec).values(), manifest.of_modality(AudioSpec).values()
    if gates.motion and images:
        limit_s, keep_s = min(spec.max_age_ms for spec in images) / 1000, gates.motion.keep_alive_s
        if keep_s is not None and keep_s >= limit_s:
            found.append(
                (("motion", "keep_alive_s"), keep_s, f"expects less than {limit_s:g}, its max_age of pictures")
            )
    if gates.sound and sounds:
        limit_s, keep_s = min(spec.max_age_ms for spec in sounds) / 1000, gates.sound.keep_alive_s
        pre_roll_s = gates.sound.pre_roll_s
        if pre_roll_s >= limit_s:
            found.append((("sound", "pre_roll_s"), pre_roll_s, f"expects less than {limit_s:g}, its max_age of sound"))
        elif keep_s is not None and keep_s + pre_roll_s >= limit_s:
            expected = f"expects less than {limit_s - pre_roll_s:g}: its max_age of sound, {limit_s:g}, less pre_roll_s"
            found.append((("sound", "keep_alive_s"), keep_s, expected))
    return found


class KeepAlive:
    """Notes until when each encoder has an embedding, new or repeated, in times of capture."""

    def __init__(self, rules: Mapping[str, KeepAliveRule]) -> None:
        self._rules = rules
        self._covered_ns: dict[str, int] = {}

    def cover(self, encoder: str, end_ns: int) -> None:
        """Note an embedding of this end, or an item of this end that is being encoded."""
        self._covered_ns[encoder] = end_ns

    def uncover(self, encoder: str, end_ns: int) -> None:
        """Note that the item of this end gave no embedding. A later embedding still counts."""
        if self._covered_ns.get(encoder, end_ns + 1) <= end_ns:
            del self._covered_ns[encoder]

    def is_stale(self, encoder: str, end_ns: int) -> bool:
        """Whether the latest embedding is too old for an item of this end, so that the item must be encoded."""
        covered_ns = self._covered_ns.get(encoder)
        return covered_ns is None or end_ns - covered_ns > self._rules[encoder].max_age_ns

    def is_due(self, encoder: str, end_ns: int) -> bool:
        """Whether the latest embedding is to be repeated at this time."""
        covered_ns = self._covered_ns.get(encoder)
        return covered_ns is not None and end_ns - covered_ns >= self._rules[encoder].every_ns


class EmbeddingRepeater:
    """Holds the latest embedding of each encoder of one lane, and repeats it while the gate is closed. Thread-safe."""

    def __init__(self, rules: Mapping[str, KeepAliveRule]) -> None:
        self._keep_alive = KeepAlive(rules)
        self._latest: dict[str, Embedding] = {}
        self._encoding: dict[str, int] = {}
        self._lock = threading.Lock()

    def is_stale(self, encoder: str, end_ns: int) -> bool:
        """Whether the latest embedding is too old for an item of this end, so that the item must be encoded."""
        with self._lock:
            latest = self._latest.get(encoder)
            if latest is not None and latest.device != CPU and end_ns - latest.end_ns > MAX_ACCELERATOR_AGE_NS:
                return True
            return self._keep_alive.is_stale(encoder, end_ns)

    def begin(self, encoder: str, end_ns: int) -> None:
        """Note that an item of this end is being encoded."""
        with self._lock:
            self._keep_alive.cover(encoder, end_ns)
            self._encoding[encoder] = self._encoding.get(encoder, 0) + 1

    def finish(self, encoder: str, end_ns: int, embedding: Embedding | None) -> None:
        """Note the embedding of an item, in any order.

        With None the next item is stale, unless a newer one is being encoded.
        """
        with self._lock:
            self._encoding[encoder] -= 1
            latest = self._latest.get(encoder)
            if embedding is None:
                self._keep_alive.uncover(encoder, end_ns)
            elif latest is None or latest.end_ns <= embedding.end_ns:
                self._latest[encoder] = embedding

    def repeat(self, encoder: str, end_ns: int) -> Embedding | None:
        """Return the latest embedding at this time, when it is due and no item is being encoded; else None."""
        with self._lock:
            latest = self._latest.get(encoder)
            if latest is None or self._encoding[encoder] or not self._keep_alive.is_due(encoder, end_ns):
                return None
            self._keep_alive.cover(encoder, end_ns)
        return restamped(latest, end_ns)


def restamped(embedding: Embedding, end_ns: int) -> Embedding:
    """Return the embedding moved in time, so that it ends at `end_ns`."""
    start_ns = embedding.start_ns + end_ns - embedding.end_ns
    return replace(embedding, start_ns=start_ns, end_ns=end_ns, taken_ns=None)
