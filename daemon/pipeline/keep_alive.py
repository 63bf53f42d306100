"""How long what was encoded last may stand for what is captured behind a closed gate. No clock."""

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.clock import NS_PER_MS, NS_PER_S
from daemon.gates_config import GatesConfig
from daemon.manifest import Modalities
from daemon.records import Modality


@dataclass(frozen=True, slots=True)
class KeepAliveRule:
    """Of one modality: how often its latest embedding is told again, and how old an embedding may be."""

    every_ns: int
    max_age_ns: int


def rules_of(modalities: Modalities, gates: GatesConfig) -> dict[Modality, KeepAliveRule]:
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


def too_late(modalities: Modalities, gates: GatesConfig) -> list[tuple[tuple[str, str], float, str]]:
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
