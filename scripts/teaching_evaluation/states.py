"""A state of three: a drawn garage, taught by pictures of some hours, and looked at in other hours."""

from collections.abc import Mapping, Sequence

import numpy as np
from evaluation.progress import with_progress
from evaluation.rows import at_least, share
from home_evaluation.report import Part

from daemon.bundle.taught import STATE_SEPARATOR
from daemon.core.records import Array
from teaching_evaluation.embedding import see
from teaching_evaluation.garage import STATES, covered, garage
from teaching_evaluation.lessons import Moments
from teaching_evaluation.subject import Subject

GROUP = "garage"
PICTURES = 10
TEST_PICTURES = 40
COVERED = 40
# Each seed draws the presses of a state in these hours, in turn. The tests are in the others.
TAUGHT_HOURS = (8.5, 12.0, 15.5, 20.0, 23.0)
TESTED_HOURS = (7.3, 10.0, 11.0, 13.5, 14.5, 17.0, 18.5, 21.5, 1.0, 4.0, 6.0)
# The vectors of a covered camera that the daemon gives to each fit: black, grey, white and noise.
TONES = (0, 60, 128, 255)
AROUND_HOUR = (-0.25, 0.25)


def states_part(subject: Subject, seeds: int) -> Part:
    """The rows of the states, and of a covered camera."""
    right = tested = unknown = hidden = wrong = 0
    for seed in with_progress("states", range(seeds)):
        taught = _pictures(subject, seed, TAUGHT_HOURS, PICTURES, "taught")
        presses = {
            f"{GROUP}{STATE_SEPARATOR}{state}": [
                Moments([0], {name: rows[[index]] for name, rows in vectors.items()}) for index in range(PICTURES)
            ]
            for state, vectors in taught.items()
        }
        judge = subject.judge(presses, [], hours=0, covered=_covered_vectors(subject))
        for state, vectors in _pictures(subject, 1000 + seed, TESTED_HOURS, TEST_PICTURES, "tested").items():
            found = judge.states(vectors)
            own = f"{GROUP}{STATE_SEPARATOR}{state}"
            right, tested = right + sum(each == own for each in found), tested + len(found)
            wrong += sum(each not in (None, own) for each in found)
        pictures = [covered(np.random.default_rng([seed, index])) for index in range(COVERED)]
        states = judge.states(see(subject.bundle, pictures, subject.folder, "covered"))
        unknown, hidden = unknown + sum(each is None for each in states), hidden + len(states)
    what = f"states of a garage, {PICTURES} pictures a state"
    return Part(
        [
            share(what, "single pictures at other hours: the right state", right, tested, at_least(98)),
            share(what, "single pictures at other hours: a wrong state", wrong, tested),
            share(what, "camera covered: unknown", unknown, hidden, at_least(100)),
        ]
    )


def _pictures(
    subject: Subject, seed: int, hours: Sequence[float], count: int, name: str
) -> Mapping[str, Mapping[str, Array]]:
    """The embeddings (count, D) by state and encoder."""
    drawn = []
    for place, state in enumerate(STATES):
        rng = np.random.default_rng([seed, place])
        drawn += [
            garage(state, hours[index % len(hours)] + float(rng.uniform(*AROUND_HOUR)), rng) for index in range(count)
        ]
    seen = see(subject.bundle, drawn, subject.folder, f"{name}-{seed}")
    return {
        state: {encoder: rows[place * count : (place + 1) * count] for encoder, rows in seen.items()}
        for place, state in enumerate(STATES)
    }


def _covered_vectors(subject: Subject) -> list[dict[str, Array]]:
    plain_tones = [np.full((240, 320, 3), tone, np.uint8) for tone in TONES]
    noise = np.random.default_rng(7).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    seen = see(subject.bundle, [*plain_tones, noise], subject.folder, "tones")
    return [{name: rows[index] for name, rows in seen.items()} for index in range(len(TONES) + 1)]
