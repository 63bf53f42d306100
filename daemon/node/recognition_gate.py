"""Decides which recognitions of a stream are published. Pure."""

from daemon.config.mqtt import RecognitionsConfig
from daemon.core.records import Modality
from daemon.core.timing import Schedule


class RecognitionGate:
    """Decides moment by moment for one stream. It uses the times of moments only, so a replay gives the same result."""

    def __init__(self, config: RecognitionsConfig) -> None:
        self._publish = config.publish
        self._schedule = Schedule(config.max_rate_hz)
        self._last: tuple[str, frozenset[Modality]] | None = None

    def passes(self, time_ns: int, label: str, senses: frozenset[Modality]) -> bool:
        """Return whether to publish a recognition; `label` is its top label, `senses` the modalities that took part.

        A recognition without any modality never passes. Nothing passes in `none`.
        """
        changed = (label, senses) != self._last
        self._last = (label, senses)
        if not senses or self._publish == "none":
            return False
        if self._publish == "rate":
            return self._schedule.passes(time_ns)
        return changed or self._publish == "every"
