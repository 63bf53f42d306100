"""Finds the moment that shows an event best: in the middle of those in which its label scored highest. Pure."""

from dataclasses import dataclass, field

from daemon.core.records import Recognition
from daemon.core.timing import NS_PER_S
from daemon.fusion.events import EventSettings

# Scores that differ by less are equally high. The first and the last of such moments may show half of what happens.
NEAR = 0.01

# Of a label that scores high for longer, so much counts. The ring still has the pictures of its middle.
MAX_NEAR_NS = 4 * NS_PER_S
MAX_NEAR = 128


@dataclass(slots=True)
class HistoryPeak:
    """The moments in which the label with this index scored highest. `recognition` is the middle one, or None."""

    index: int
    _near: list[Recognition] = field(default_factory=list)
    _highest: float = 0.0

    def consider(self, recognition: Recognition) -> None:
        """Take another moment, later than those before."""
        score = self._score(recognition)
        if score > self._highest:
            self._highest = score
            self._near = [each for each in self._near if self._score(each) >= score - NEAR]
        if score < self._highest - NEAR or len(self._near) >= MAX_NEAR:
            return
        if not self._near or recognition.moment.time_ns - self._near[0].moment.time_ns <= MAX_NEAR_NS:
            self._near.append(recognition)

    @property
    def recognition(self) -> Recognition | None:
        """Return the recognition in the middle."""
        return self._near[len(self._near) // 2] if self._near else None

    def _score(self, recognition: Recognition) -> float:
        return float(recognition.scores[self.index])


def picture_ns(recognition: Recognition, settings: EventSettings) -> int:
    """Return when the latest picture of a moment was captured; the time of the moment where it has none."""
    embeddings = recognition.moment.embeddings
    captured = [embeddings[name].end_ns for name in settings.encoders.get("image", ()) if name in embeddings]
    return max(captured, default=recognition.moment.time_ns)
