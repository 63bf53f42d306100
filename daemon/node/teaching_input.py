"""What teaching takes from the running node: the active bundle, and what its live streams have just captured."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from daemon.bundle.manifest import Manifest
from daemon.bundle.taught import TaughtLabel, why_fixed
from daemon.core.records import Modality
from daemon.pipeline.recent import Window
from daemon.pipeline.showing import Showing
from daemon.pipeline.training_set import score_encoders
from daemon.teaching.records import Peak


@dataclass(frozen=True, slots=True)
class TaughtOnto:
    """The bundle that examples are taken with: its id, its directory, and fingerprints and modalities of its encoders.

    `base` is the id without what was taught, and `number` that of its version; 0: nothing was taught.
    `fixed_labels` and `fixed_groups` of states stay when others are taught: those of the base, and those it was
    published with. `taught_labels` are the others. `score_encoders` give scores and no embedding.
    """

    id: str
    base: str
    number: int
    directory: Path
    encoders: Mapping[str, str]
    modalities: Mapping[str, Modality]
    fixed_labels: frozenset[str]
    taught_labels: Mapping[str, TaughtLabel]
    fixed_groups: frozenset[str] = frozenset()
    score_encoders: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name of the bundle."""
        return self.base.partition("@")[0]

    @property
    def taught(self) -> frozenset[str]:
        """The names of the labels that were taught."""
        return frozenset(self.taught_labels)

    def why_fixed(self, label: str) -> str | None:
        """Return why a label cannot be taught; None: it can be."""
        return why_fixed(label, self.name, self.fixed_labels, self.fixed_groups)


@dataclass(frozen=True, slots=True)
class Shown:
    """What was shown, and the fingerprints of the encoders that have seen it."""

    showing: Showing
    encoders: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late the input of a stream comes.

    `moved_ns`: its times are so much later than those of its capture, because it is played later by design.
    `late_ns`: it comes so long after its times.
    """

    moved_ns: int = 0
    late_ns: int = 0


class TeachingInput(Protocol):
    """The part of a node that teaching needs."""

    @property
    def streams(self) -> frozenset[str]:
        """The live streams."""

    @property
    def bundle(self) -> TaughtOnto:
        """The active bundle."""

    @property
    def text_alone(self) -> frozenset[str]:
        """The live streams that have text, and neither pictures nor sound."""

    @property
    def sample_rate_hz(self) -> int | None:
        """The rate of sound that the active bundle takes; None: it takes no sound."""

    def is_paused(self, stream: str) -> bool:
        """Return whether a stream is paused."""

    def newest_ns(self, stream: str) -> int | None:
        """Return the end of the newest input of a stream; None: it has captured nothing lately."""

    def lateness(self, stream: str) -> Lateness:
        """Return how late the input of a stream comes."""

    def open_labels(self, stream: str) -> frozenset[str]:
        """Return the labels whose events are open in a stream."""

    def open_peaks(self) -> list[Peak]:
        """Return the highest moments so far of the open events of all streams; the latest event comes last."""

    def ended_peaks(self) -> list[Peak]:
        """Return the highest moments of the events that have ended since the last call."""

    def near_misses(self) -> list[Peak]:
        """Return moments at which a taught label came near to an event that did not start, since the last call."""

    def show(self, stream: str, start_ns: int, end_ns: int) -> Shown:
        """Return what a stream captured in this interval, encoded by the active bundle.

        Waits for the encoders. Raises InputError when they do not finish in time.
        """

    def show_again(self, window: Window) -> Shown:
        """Return what a stored example shows, as `show` does."""


def taught_onto(manifest: Manifest, directory: Path, encoders: Mapping[str, str]) -> TaughtOnto:
    """Return what teaching needs to know of a bundle."""
    taught = {} if manifest.taught is None else manifest.taught.labels
    return TaughtOnto(
        id=manifest.id,
        base=f"{manifest.name}@{manifest.base_version}",
        number=manifest.taught_number,
        directory=directory,
        encoders=encoders,
        modalities=manifest.encoder_modalities,
        fixed_labels=frozenset(manifest.fixed_labels),
        taught_labels={name: label for name, label in taught.items() if name not in manifest.inherited},
        fixed_groups=manifest.fixed_groups,
        score_encoders=score_encoders(manifest),
    )
