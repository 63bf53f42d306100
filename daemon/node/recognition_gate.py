"""Decides which recognitions of a stream are published. Pure."""

from daemon.config.mqtt import RecognitionsConfig
from daemon.core.records import Modality
from daemon.core.timing import NS_PER_S


class RecognitionGate:
    """Decides moment by moment for one stream. It uses the times of moments only, so a replay gives the same result.

    `rate` follows a schedule. A recognition passes up to half a period before it is due. One that is up to half a
    period late does not delay the next. So at 30 frames a second a rate of 20 lets 20 pass; a minimum distance would
    let 15 pass. In any T seconds at most `max_rate_hz` * T + 2 recognitions pass.
    """

    def __init__(self, config: RecognitionsConfig) -> None:
        self._publish = config.publish
        self._period_ns = round(NS_PER_S / config.max_rate_hz)
        self._due_ns: int | None = None
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
            return self._is_due(time_ns)
        return changed or self._publish == "every"

    def _is_due(self, time_ns: int) -> bool:
        half_ns = self._period_ns // 2
        if self._due_ns is None:
            self._due_ns = time_ns
        early_ns = self._due_ns - time_ns
        if early_ns > half_ns:
            return False
        on_schedule = early_ns >= -half_ns
        self._due_ns = (self._due_ns if on_schedule else time_ns) + self._period_ns
        return True
