"""How long what was encoded last may stand for what is captured behind a closed gate. No clock."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from daemon.bundle.manifest import Manifest, Modalities
from daemon.config.streams import GatesConfig
from daemon.core.errors import InputError
from daemon.core.records import CPU, Block, Captured, Embedding, Frame, Modality, ended_ns, modality_of
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.pipeline.gates import MotionGate, SoundGate


@dataclass(frozen=True, slots=True)
class KeepAliveRule:
    """Of one modality: how often its latest embedding is told again, and how old an embedding may be."""

    every_ns: int
    max_age_ns: int


def keep_alive_rules(modalities: Modalities, gates: GatesConfig) -> dict[Modality, KeepAliveRule]:
    """The rules of the modalities that have a gate; one that the bundle lacks has none.

    Without keep_alive_s it is half of max_age, of sound half of what pre_roll_s leaves of it.
    """
    rules: dict[Modality, KeepAliveRule] = {}
    if gates.motion and modalities.image:
        rules["image"] = _rule(modalities.image.max_age_ms, gates.motion.keep_alive_s, 0.0)
    if gates.sound and modalities.audio:
        rules["audio"] = _rule(modalities.audio.max_age_ms, gates.sound.keep_alive_s, gates.sound.pre_roll_s)
    return rules


def _rule(max_age_ms: int, keep_alive_s: float | None, pre_roll_s: float) -> KeepAliveRule:
    max_age_ns = max_age_ms * NS_PER_MS
    default_ns = (max_age_ns - round(pre_roll_s * NS_PER_S)) // 2
    return KeepAliveRule(default_ns if keep_alive_s is None else round(keep_alive_s * NS_PER_S), max_age_ns)


def keep_alive_problems(modalities: Modalities, gates: GatesConfig) -> list[tuple[tuple[str, str], float, str]]:
    """What of the config lets an embedding grow too old: key below `gates`, value, and what was expected instead."""
    found: list[tuple[tuple[str, str], float, str]] = []
    if gates.motion and modalities.image:
        limit_s, keep_s = modalities.image.max_age_ms / 1000, gates.motion.keep_alive_s
        if keep_s is not None and keep_s >= limit_s:
            found.append(
                (("motion", "keep_alive_s"), keep_s, f"expects less than {limit_s:g}, its max_age of pictures")
            )
    if gates.sound and modalities.audio:
        limit_s, keep_s = modalities.audio.max_age_ms / 1000, gates.sound.keep_alive_s
        pre_roll_s = gates.sound.pre_roll_s
        if pre_roll_s >= limit_s:
            found.append((("sound", "pre_roll_s"), pre_roll_s, f"expects less than {limit_s:g}, its max_age of sound"))
        elif keep_s is not None and keep_s + pre_roll_s >= limit_s:
            expected = f"expects less than {limit_s - pre_roll_s:g}: its max_age of sound, {limit_s:g}, less pre_roll_s"
            found.append((("sound", "keep_alive_s"), keep_s, expected))
    return found


class KeepAlive:
    """Until when each modality has been told, by the times of what was captured: by embeddings, new or told again."""

    def __init__(self, rules: Mapping[Modality, KeepAliveRule]) -> None:
        self._rules = rules
        self._told_ns: dict[Modality, int] = {}

    def tell(self, modality: Modality, end_ns: int) -> None:
        """What was captured until `end_ns` has been told."""
        self._told_ns[modality] = end_ns

    def forget(self, modality: Modality, end_ns: int) -> None:
        """What was to be told until `end_ns` came to nothing; if more has been told since, that stands."""
        if self._told_ns.get(modality, end_ns + 1) <= end_ns:
            del self._told_ns[modality]

    def is_stale(self, modality: Modality, end_ns: int) -> bool:
        """Whether nothing there is can stand for what was captured until `end_ns`: its encoder must run."""
        told_ns = self._told_ns.get(modality)
        return told_ns is None or end_ns - told_ns > self._rules[modality].max_age_ns

    def is_due(self, modality: Modality, end_ns: int) -> bool:
        """Whether it is time to tell the latest embedding again."""
        told_ns = self._told_ns.get(modality)
        return told_ns is not None and end_ns - told_ns >= self._rules[modality].every_ns


BELIEVED_NS = 5 * NS_PER_S
"""How long what an accelerator computed may be told again: it may have computed wrongly, and be found out since."""


class Gates:
    """Says of all that one stream captures whether its encoder is wanted; outlives changes of the bundle.

    Without any it costs nothing, and everything is wanted.
    """

    def __init__(self, config: GatesConfig) -> None:
        self._motion = MotionGate(config.motion) if config.motion else None
        self._sound = SoundGate(config.sound) if config.sound else None
        self.pre_roll_ns = round(config.sound.pre_roll_s * NS_PER_S) if config.sound else 0

    def suit(self, manifest: Manifest) -> None:
        """Stay open until the bundle has heard that a sound is over: for a patch without it, wherever it begins."""
        audio = manifest.modalities.audio
        if self._sound is not None and audio is not None:
            taken = audio.preprocessing
            spectra = taken.frames - 1 + taken.stride_frames
            samples = spectra * taken.hop_samples + taken.window_samples
            self._sound.hold_at_least(samples * NS_PER_S // taken.sample_rate_hz)

    def filter(self, captured: Captured) -> list[tuple[Captured, bool]]:
        """What goes on now, in its order, and whether its encoder is wanted. Sound may be held back for a while."""
        if isinstance(captured, Frame) and self._motion is not None:
            return [(captured, _passes(self._motion, captured))]
        if isinstance(captured, Block) and self._sound is not None:
            return list(self._sound.passes(captured))
        return [(captured, True)]

    def finish(self) -> list[tuple[Captured, bool]]:
        """What is still held back when nothing more comes."""
        return list(self._sound.finish()) if self._sound is not None else []


def _passes(motion: MotionGate, frame: Frame) -> bool:
    try:
        return motion.passes(frame)
    except InputError:  # a picture that cannot be converted: its encoder finds the same, and counts it
        return True


class EmbeddingRepeater:
    """The latest embedding of each modality of one lane: told again while a closed gate holds back what is like it."""

    def __init__(self, rules: Mapping[Modality, KeepAliveRule]) -> None:
        self._keep_alive = KeepAlive(rules)
        self._latest: dict[Modality, Embedding] = {}
        self._under_way: dict[Modality, int] = {}
        self._lock = threading.Lock()

    def is_stale(self, captured: Captured) -> bool:
        """Whether nothing can stand for it, so that its encoder is wanted though its gate is closed."""
        modality, end_ns = modality_of(captured), ended_ns(captured)
        with self._lock:
            latest = self._latest.get(modality)
            if latest is not None and latest.device != CPU and end_ns - latest.end_ns > BELIEVED_NS:
                return True
            return self._keep_alive.is_stale(modality, end_ns)

    def begin(self, modality: Modality, end_ns: int) -> None:
        """An item that ended then is on its way to its encoder."""
        with self._lock:
            self._keep_alive.tell(modality, end_ns)
            self._under_way[modality] = self._under_way.get(modality, 0) + 1

    def finish(self, modality: Modality, end_ns: int, embedding: Embedding | None) -> None:
        """What came of an item, in any order; after nothing, the next item is stale, unless a newer is on its way."""
        with self._lock:
            self._under_way[modality] -= 1
            latest = self._latest.get(modality)
            if embedding is None:
                self._keep_alive.forget(modality, end_ns)
            elif latest is None or latest.end_ns <= embedding.end_ns:
                self._latest[modality] = embedding

    def again(self, captured: Captured) -> Embedding | None:
        """The latest embedding at the time of what was held back, when it is due, and nothing newer is on its way."""
        modality, end_ns = modality_of(captured), ended_ns(captured)
        with self._lock:
            latest = self._latest.get(modality)
            if latest is None or self._under_way[modality] or not self._keep_alive.is_due(modality, end_ns):
                return None
            self._keep_alive.tell(modality, end_ns)
        return restamped(latest, end_ns)


def restamped(embedding: Embedding, end_ns: int) -> Embedding:
    """The same embedding, as if made of what ended then."""
    return replace(embedding, start_ns=embedding.start_ns + end_ns - embedding.end_ns, end_ns=end_ns)


NO_GATES = Gates(GatesConfig())
"""Of a stream without any: it has no state, so that all may share it."""
