"""Which recognitions are published."""

from daemon.clock import NS_PER_S
from daemon.mqtt_config import RecognitionsConfig
from daemon.records import Modality, Recognition


class RecognitionGate:
    """Decides, moment by moment, for one stream. Depends on moment times alone, so a replay repeats it.

    `rate` keeps a schedule: a recognition passes up to half a period before it is due, and one that comes up to half
    a period late does not push the next one back. So 20 a second of 30 frames a second are 20, not the 15 that a
    shortest distance would leave. In any T seconds at most `max_rate_hz` * T + 2 pass.
    """

    def __init__(self, config: RecognitionsConfig) -> None:
        self._publish = config.publish
        self._period_ns = round(NS_PER_S / config.max_rate_hz)
        self._due_ns: int | None = None
        self._last: tuple[str, frozenset[Modality]] | None = None

    def passes(self, recognition: Recognition, label: str) -> bool:
        """Whether to publish; `label` is the top one. An empty moment never passes."""
        present = frozenset(recognition.moment.embeddings)
        changed = (label, present) != self._last
        self._last = (label, present)
        if not present:
            return False
        if self._publish == "rate":
            return self._is_due(recognition.moment.time_ns)
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
