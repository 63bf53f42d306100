"""`perceptd teach LABEL --files`: examples and background from files, for a node of this machine."""

import argparse
import json
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.bundle.fingerprint import encoder_fingerprints
from daemon.bundle.taught import taught_name
from daemon.cli.node_state import node_state
from daemon.cli.teach_media import background_in, example_in
from daemon.cli.teach_state import active_bundle, opened, stream_of
from daemon.cli.teach_text import SENSES, colon_remark, counted
from daemon.config.bundle_places import find_bundle
from daemon.core.errors import InputError, Refused
from daemon.core.status_line import StatusLine
from daemon.core.text import clean
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.pipeline.showing import Showing, moments_of, showing_of
from daemon.pipeline.training_set import score_encoders
from daemon.teaching.pictures import picture_bytes
from daemon.teaching.quality import judged
from daemon.teaching.records import BackgroundMoment, Example, StoredMoment
from daemon.teaching.sounds import sound_bytes
from daemon.teaching.store import TeachingStore

# A moment of background in each second: those that are closer are much alike.
BACKGROUND_MS = 1000

NO_BACKGROUND = (
    "there is no background of {stream} by the encoders of {bundle} yet: let the node run, or give --background. If "
    "the node runs another bundle than its config names, name that one by --bundle"
)


@dataclass(frozen=True, slots=True)
class Media:
    """Which media of an example are kept."""

    pictures: bool = True
    sounds: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a file: an example, or the reason why there is none; and remarks."""

    file: Path
    example: Example | None
    text: str


class FileTeacher:
    """Makes examples and background of files with the encoders of one bundle."""

    def __init__(self, bundle: Bundle, stream: str, media: Media) -> None:
        """`stream` is the stream as of which the files count."""
        self._recogniser: Recogniser = load_recogniser(bundle)
        self.encoders = encoder_fingerprints(bundle)
        self._modalities = bundle.manifest.encoder_modalities
        self._manifest, self._stream, self._media = bundle.manifest, stream, media

    def example(self, file: Path, label: str, others: Sequence[Sequence[StoredMoment]]) -> Found:
        """Return the example in a file; `others` are the moments of the other examples of the label."""
        try:
            shown = example_in(file, self._manifest)
            showing = showing_of(shown.window, self._recogniser)
            usable = judged(
                showing.frames,
                showing.sound,
                showing.moments,
                self._modalities,
                others,
                scores=score_encoders(self._manifest),
            )
            if usable.refusal is not None:
                return Found(file, None, usable.refusal)
            example = Example(
                id=uuid.uuid4().hex,
                label=label,
                stream=self._stream,
                taken_s=time.time(),
                origin="file",
                encoders=self.encoders,
                moments=usable.moments,
                picture=self._picture(showing),
                sound=self._sound(showing),
            )
        except InputError as error:
            return Found(file, None, str(error).removeprefix(f"{file}: "))
        senses = " and ".join(SENSES[sense] for sense in sorted(usable.senses))
        text = f"{counted(len(usable.moments), 'moment')} of {senses}"
        return Found(file, example, "; ".join(filter(None, (text, shown.remark, *usable.left_out))))

    def background(self, file: Path, taken_s: float) -> list[BackgroundMoment]:
        """Return the moments of a file, one a second; the first is of this wall time. Raises Refused."""
        try:
            moments = moments_of(background_in(file, self._manifest).window, self._recogniser)
        except InputError as error:
            raise Refused(str(error)) from error
        return [
            BackgroundMoment(self._stream, taken_s + moment.time_ms / 1000, self.encoders, moment.vectors)
            for moment in spread(moments)
        ]

    def _picture(self, showing: Showing) -> bytes | None:
        return picture_bytes(showing.picture) if self._media.pictures and showing.picture is not None else None

    def _sound(self, showing: Showing) -> bytes | None:
        if not self._media.sounds or showing.sound is None or showing.rate_hz is None:
            return None
        return sound_bytes(showing.sound, showing.rate_hz)


def spread(moments: Sequence[StoredMoment]) -> Iterator[StoredMoment]:
    """Yield the moments that are at least BACKGROUND_MS apart."""
    next_ms = 0
    for moment in moments:
        if moment.time_ms >= next_ms:
            next_ms = moment.time_ms + BACKGROUND_MS
            yield moment


def teach_files(options: argparse.Namespace) -> int:
    """Teach a node of this machine from files; return 1 if one of the examples is of no use."""
    label = label_of(options)
    if options.out is not None:
        from daemon.cli.teach_bundle import teach_bundle

        return teach_bundle(options, label)
    state = node_state(options)
    stream = stream_of(options, state)
    bundle = load_bundle(active_bundle(state) if options.bundle is None else directory_of(options.bundle))
    check_label(label, bundle)
    teaching = state.config.document.teaching
    teacher = FileTeacher(bundle, stream, Media(teaching.pictures, teaching.sounds))
    with opened(state, read_only=False) as store:
        found = add_files(store, teacher, options, label)
        if options.everywhere:
            store.set_everywhere(label)
        is_known = bool(store.background_counts(teacher.encoders).get(stream))
    print_found(options, label, found)
    if not is_known:
        print(NO_BACKGROUND.format(stream=stream, bundle=bundle.manifest.id), file=sys.stderr)
    return 0 if all(each.example for each in found) else 1


def add_files(store: TeachingStore, teacher: FileTeacher, options: argparse.Namespace, label: str) -> list[Found]:
    """Encode the files and add what they show, as one step that `undo` takes back; return what came of each."""
    others = store.moments_of_label(label)
    files, found = list(options.files), list[Found]()
    background: list[BackgroundMoment] = []
    with StatusLine() as status:
        for number, file in enumerate(files, start=1):
            status.show(f"{file.name}: example {number} of {len(files)}")
            found.append(teacher.example(file, label, others))
            if (example := found[-1].example) is not None:
                others.append(list(example.moments))
        for number, file in enumerate(options.background, start=1):
            status.show(f"{file.name}: background {number} of {len(options.background)}")
            taken_s = background[-1].taken_s + 1 if background else time.time()
            background += teacher.background(file, taken_s)
    examples = [each.example for each in found if each.example is not None]
    if examples:
        with store.step(f"{counted(len(examples), 'example')} of {label} from files"):
            for example in examples:
                store.add_example(example)
    for moment in background:
        store.add_background(moment)
    return found


def print_found(options: argparse.Namespace, label: str, found: Sequence[Found]) -> None:
    """Print what came of each file."""
    if options.json:
        files = [
            {"file": str(each.file), "example": None if each.example is None else each.example.id, "text": each.text}
            for each in found
        ]
        print(json.dumps({"label": label, "files": files}, ensure_ascii=False))
        return
    for each in found:
        print(f"{each.file}: {'' if each.example else 'not used: '}{clean(each.text, 500)}")
    for line in colon_remark(label):
        print(line)


def directory_of(given: str) -> Path:
    """Return the directory of a bundle that is given by it or by its name. Raises Refused."""
    directory = Path(given)
    return directory if directory.is_dir() else find_bundle(given)


def label_of(options: argparse.Namespace) -> str:
    """Return the label of the options. Raises Refused where it cannot be one."""
    try:
        return taught_name(options.label)
    except ValueError as error:
        raise Refused(f"{clean(options.label)}: {error}") from error


def check_label(label: str, bundle: Bundle) -> None:
    """Raise Refused where the bundle has a label of this name, or its group of states, by itself."""
    if (reason := bundle.manifest.why_fixed(label)) is not None:
        raise Refused(f"{reason}; teach it under another name")
