"""Measures each sense alone: pictures and frames, spoken digits, lines."""

from pathlib import Path

import numpy as np

from daemon.core.records import Array, Modality
from daemon.pipeline.offline import Item, OfflineRecogniser
from evaluation.frames import bare_frame
from evaluation.hearing import windows
from evaluation.held_out import POSITIONS, SEED, Embedded, Labels
from evaluation.progress import with_progress
from evaluation.rows import Row, Target, at_least, share
from evaluation.sentences import KINDS, LANGUAGES
from evaluation.subject import DIGITS, Subject

FRAME = "image in a camera frame"
OFFICIAL = "sound, official split"


def image_rows(embedded: Embedded) -> list[Row]:
    """Accuracy on the test digits: as 28 x 28 pictures, in frames, faded in frames; and on frames without a digit."""
    subject, held_out, items = embedded.subject, embedded.held_out, embedded.image
    centred = subject.embed_frames(
        bare_frame(picture) for picture in with_progress("centred digits", held_out.pictures)
    )
    digits = items.labels < len(DIGITS)
    return [
        _right(subject, "image", centred, held_out.labels, "image", "centred 28 × 28", at_least(99)),
        _right(subject, "image", items.clean[digits], items.labels[digits], FRAME, "640 × 480", at_least(97)),
        _right(subject, "image", items.clean[~digits], items.labels[~digits], FRAME, "without a digit"),
        _right(subject, "image", items.degraded[digits], items.labels[digits], FRAME, "75 % of the energy removed"),
    ]


def sound_rows(embedded: Embedded, data: Path) -> list[Row]:
    """Accuracy on the official test split: streamed as by `perceptd evaluate`, and at random positions in windows."""
    subject, held_out = embedded.subject, embedded.held_out
    recogniser = OfflineRecogniser(subject.recogniser)
    paths = sorted((data / "spoken-digits").glob("*_[0-4].wav"))
    hits = sum(
        int(np.argmax(recogniser.recognise(Item(audio=path)).scores)) == int(path.name[0])
        for path in with_progress("recordings", paths)
    )
    rows = [share(OFFICIAL, "streamed, best moment", hits, len(paths), at_least(99))]
    for name, noises, snr_db, target in (
        ("anywhere in the window", [], 0.0, at_least(99)),
        ("in the window at 10 dB", held_out.noises, 10.0, None),
        ("in the window at 5 dB", held_out.noises, 5.0, None),
        ("in the window at 0 dB", held_out.noises, 0.0, None),
    ):
        rng = np.random.default_rng(SEED + 2)
        heard = subject.embed_sounds(windows(held_out.spoken * POSITIONS, subject.window_samples, rng, noises, snr_db))
        labels = np.tile(held_out.spoken_labels, POSITIONS)
        rows.append(_right(subject, "audio", heard, labels, OFFICIAL, name, target))
    return rows


def text_rows(embedded: Embedded) -> list[Row]:
    """Accuracy on all lines, and by language and kind."""
    subject, lines = embedded.subject, embedded.held_out.sentences
    found = subject.scores({"text": subject.embed_lines(line.text for line in lines)}).argmax(axis=1)
    is_right = found == np.array([line.label for line in lines])

    def row(condition: str, language: str | None = None, kind: str | None = None) -> Row:
        chosen = [language in (None, line.language) and kind in (None, line.kind) for line in lines]
        return share("text", condition, int(is_right[chosen].sum()), sum(chosen), at_least(99))

    return [
        row("all"),
        *(row(kind, kind=kind) for kind in KINDS),
        *(row(f"{language}, {kind}", language, kind) for language in LANGUAGES for kind in KINDS),
    ]


def _right(
    subject: Subject,
    modality: Modality,
    vectors: Array,
    labels: Labels,
    what: str,
    condition: str,
    target: Target | None = None,
) -> Row:
    hits = int((subject.scores({modality: vectors}).argmax(axis=1) == labels).sum())
    return share(what, condition, hits, len(labels), target)
