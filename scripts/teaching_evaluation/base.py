"""What a bundle knew before, after five labels are taught: digits (exclusive scoring) and home (independent)."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from evaluation.hearing import windows
from evaluation.held_out import load_held_out
from evaluation.rows import Row, at_most, plain, share
from evaluation.subject import DIGITS
from evaluation.subject import Subject as Digits
from home_evaluation.material import Clip
from home_evaluation.report import Part

from daemon.bundle.bundle import load_bundle, load_cases
from daemon.core.records import Array, Embedding, Modality, Moment, Recognition
from daemon.fusion.fuse import FusionHead
from daemon.pipeline.offline import OfflineRecogniser, item_of
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.pipeline.taught_bundle import write_taught_bundle
from daemon.pipeline.training_set import HeadLogits
from daemon.teaching.fit import Fitted, fit
from teaching_evaluation.embedding import Clips, hear
from teaching_evaluation.hush import Hush
from teaching_evaluation.lessons import Moments, training_set
from teaching_evaluation.sounds import press, single_moments
from teaching_evaluation.subject import Subject

TAUGHT = ("dog", "siren", "crying_baby", "glass_breaking", "door_knock")
PRESSES = 5
HOURS = 24.0
ROOMS = 60
# Pictures, recordings and lines of digits that are recognised before and after.
ITEMS = 400
LOSS = 1.0
# Every so many clips of the data set are recognised by `home`, before and after.
EVERY = 6
SEED = 20261129


def base_part(subject: Subject, clips: Clips, digits: Path, data: Path) -> Part:
    """The rows of digits and of home."""
    with tempfile.TemporaryDirectory(prefix="perceptd-teaching-") as name:
        rows = [*_digits_rows(subject, clips, digits, data, Path(name)), _home_row(subject, clips, Path(name))]
    return Part(rows)


def _digits_rows(subject: Subject, clips: Clips, digits: Path, data: Path, target: Path) -> Iterator[Row]:
    base = Digits(digits)
    chosen = [index for name in TAUGHT for index in clips.of(name, (1, 2, 3, 4))[:PRESSES]]
    heard = hear(digits, [Clip(clips.names[at], clips.paths[at]) for at in chosen], 0.0, subject.folder, "digits")
    rooms = hear(digits, [Hush(seed) for seed in range(ROOMS)], 0.0, subject.folder, "digits-hush")
    times_ms = (heard.times_ns // 1_000_000).tolist()
    presses = {
        name: [Moments(times_ms, {"audio": heard.vectors[place * PRESSES + at]}) for at in range(PRESSES)]
        for place, name in enumerate(TAUGHT)
    }
    background = [{"audio": room[0]} for room in rooms.vectors]
    training = training_set(base.bundle.manifest, presses, background, hours=HOURS, known=_known(base.recogniser))
    fitted = fit(training, HeadLogits(base.recogniser.new_head(), base.bundle.manifest))
    taught = Digits(_written(digits, target / "digits", fitted))
    items = _items(base, data)
    before = {sense: _recall(base, sense, *each) for sense, each in items.items()}
    after = {sense: _recall(taught, sense, *each) for sense, each in items.items()}
    what = f"digits, {len(TAUGHT)} labels taught"
    for sense in items:
        lost = before[sense] - after[sense]
        condition = f"{sense}: recall {before[sense]:.1f} % before, {after[sense]:.1f} % after: lost"
        yield plain(what, condition, lost, "points", at_most(LOSS), len(items[sense][1]))
    found = sum(_is_highest(taught, name, each) for name, of_label in presses.items() for each in of_label)
    yield share(what, "presses with a moment in which their label is the highest", found, len(chosen))


def _home_row(subject: Subject, clips: Clips, target: Path) -> Row:
    """Whether the scores of the base's labels are the same, bit for bit."""
    # some of these sounds are labels of the base too
    presses = {f"our {name}": [press(clips.presses, at) for at in clips.of(name, (1, 2))[:PRESSES]] for name in TAUGHT}
    judge = subject.judge(presses, single_moments(subject.hush[0].vectors[:, 0]), hours=HOURS)
    written = _written(subject.bundle, target / "home", judge.fitted)
    heads = [load_recogniser(load_bundle(path)).new_head() for path in (subject.bundle, written)]
    labels = subject.manifest.labels
    compared = [at for at, label in enumerate(labels) if label not in subject.manifest.background]
    differing = count = 0
    for vectors in clips.streamed.vectors[::EVERY]:
        for vector in vectors:
            before, after = (_recognise(head, {"sound": vector}).scores[compared] for head in heads)
            count, differing = count + 1, differing + int(before.tobytes() != after.tobytes())
    return plain(
        "home, 5 labels taught", "moments whose scores of before differ in a bit", differing, "", at_most(0), count
    )


def _is_highest(subject: Digits, label: str, press: Moments) -> bool:
    highest = subject.scores(press.vectors).argmax(axis=1)
    return any(subject.bundle.manifest.labels[at] == label for at in highest)


def _written(base: Path, target: Path, fitted: Fitted) -> Path:
    """The taught bundle, by the daemon's own code. It has one case of zeros for its self-test."""
    bundle = load_bundle(base)
    cases = np.zeros((1, bundle.manifest.head_input_size), np.float32)
    write_taught_bundle(base, target, f"{bundle.manifest.version}+taught.1", fitted, cases)
    return target


def _known(recogniser: Recogniser) -> list[dict[str, Array]]:
    """The moments of the bundle's self-test."""
    offline = OfflineRecogniser(recogniser)
    return [
        {name: each.vector for name, each in moment.embeddings.items()}
        for case, _ in load_cases(recogniser.bundle)
        for moment in offline.moments(item_of(recogniser.bundle, case))
    ]


def _items(base: Digits, data: Path) -> dict[Modality, tuple[Array, Sequence[int]]]:
    """The embeddings and the digits of held-out pictures, recordings and lines."""
    held_out, rng = load_held_out(data), np.random.default_rng(SEED)
    spoken = held_out.spoken[:ITEMS]
    lines = [line for line in held_out.sentences if line.kind != "mistyped" and line.label < len(DIGITS)][:ITEMS]
    return {
        "image": (base.embed_frames(islice(held_out.frames("clean"), ITEMS)), held_out.labels[:ITEMS].tolist()),
        "audio": (
            base.embed_sounds(windows(spoken, base.window_samples, rng)),
            held_out.spoken_labels[:ITEMS].tolist(),
        ),
        "text": (base.embed_lines(line.text for line in lines), [line.label for line in lines]),
    }


def _recall(subject: Digits, sense: Modality, vectors: Array, labels: Sequence[int]) -> float:
    """The share of the items, in %, whose digit has the highest score of all labels."""
    return 100 * float(np.mean(subject.scores({sense: vectors}).argmax(axis=1) == labels))


def _recognise(head: FusionHead, vectors: Mapping[str, Array]) -> Recognition:
    moment = Moment(0, {name: Embedding(name, vector, 0, 0) for name, vector in vectors.items()})
    return head.recognise(moment)
