"""The measured bundle, what is fitted onto it, and the sound of a quiet room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.core.records import Array, Array64
from daemon.teaching.fit import fit
from teaching_evaluation.embedding import Heard, hear
from teaching_evaluation.hush import Hush
from teaching_evaluation.judge import Judge
from teaching_evaluation.lessons import Moments, training_set

ROOMS = 120


@dataclass(frozen=True)
class Subject:
    """A bundle with independent scoring, whose encoder of sound is `sound`. `folder` keeps embeddings.

    There are so many quiet `rooms` in the background, and as many others in the test.
    """

    bundle: Path
    folder: Path
    rooms: int = ROOMS

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the bundle."""
        return load_bundle(self.bundle).manifest

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The length in F of each encoder."""
        return {name: spec.size for name, spec in self.manifest.encoder_specs.items()}

    @cached_property
    def hush(self) -> tuple[Heard, Heard]:
        """The sound of quiet rooms: those of the background, and those of the test."""
        heard = hear(self.bundle, [Hush(seed) for seed in range(2 * self.rooms)], 0.0, self.folder, "hush")
        return Heard(heard.times_ns, heard.vectors[: self.rooms]), Heard(heard.times_ns, heard.vectors[self.rooms :])

    def judge(
        self,
        presses: Mapping[str, Sequence[Moments]],
        background: Sequence[Mapping[str, Array]],
        *,
        hours: float,
        covered: Sequence[Mapping[str, Array]] = (),
        encoders: Sequence[str] | None = None,
    ) -> Judge:
        """Fit presses by label against background that is spread over so many hours."""
        training = training_set(self.manifest, presses, background, hours=hours, covered=covered, encoders=encoders)
        return Judge(fit(training, no_base), training.sizes)

    def sound_levels(self, judge: Judge, heard: Heard, indices: Sequence[int]) -> Array64:
        """The start levels (n, T) in sounds that are streamed one by one."""
        max_age_ms = self.manifest.encoder_specs["sound"].max_age_ms
        return judge.levels(heard.times_ns, {"sound": heard.vectors[np.asarray(indices)]}, max_age_ms)


def no_base(vectors: Mapping[str, Array]) -> Array:
    """Stand in for the base's logits, for which independent scoring never asks."""
    raise NotImplementedError("independent scoring does not ask for the base's logits")
