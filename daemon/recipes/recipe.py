"""The schema of `recipe.yaml`. No I/O. See docs/own-models.md. The rules between its parts are in `rules`."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from daemon.bundle.encoder_specs import (
    BY_MODALITY,
    LOG_FLOOR,
    EdgetpuSpec,
    FileName,
    ImagePreprocessing,
    MaxAgeMs,
    Name,
    Number,
    PoolSpec,
    PositiveNumber,
    TextPreprocessing,
    Transform,
)
from daemon.bundle.manifest import LabelInfo, Licence, Selftest, Version
from daemon.bundle.release import Sha256
from daemon.bundle.sound_preprocessing import SoundPreprocessing
from daemon.bundle.thresholds import Threshold
from daemon.core.document import StrictModel
from daemon.core.records import Scoring
from daemon.core.sealed import MAX_BYTES
from daemon.core.text import clean

HEAD_FILE = "head.tflite"

# far more than the wheel of a large library has
MAX_ARCHIVE_BYTES = 1024 * 1024 * 1024

# each source is open in the child process that edits it
MAX_MODELS = 32

# of all groups of all models together, and of the index of a class
MAX_CLASSES = 100_000

# of the classes of a group: first and last index of each
Ranges = list[tuple[int, int]]

ShortText = Annotated[str, Field(min_length=1, max_length=500)]


def _url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
        raise ValueError("expected an http or https URL")
    if "@" in parts.netloc:
        raise ValueError("expected a URL without user and password: a recipe is for everybody")
    return url


def _member(path: str) -> str:
    if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError("expected the path of one file in the archive, without .. and not from /")
    return path


def _class_ranges(value: object) -> Ranges:
    """Return the first and last index of each entry of a group: a number, "first-last", or number: name."""
    if not isinstance(value, list) or not value:
        raise ValueError("expected a list of one or more classes")
    return [_class_range(entry) for entry in value]


def _class_range(entry: object) -> tuple[int, int]:
    if isinstance(entry, dict) and len(entry) == 1 and all(isinstance(name, str) for name in entry.values()):
        entry = next(iter(entry))
    if isinstance(entry, int) and not isinstance(entry, bool) and 0 <= entry < MAX_CLASSES:
        return entry, entry
    if isinstance(entry, str) and (match := re.fullmatch(r"(\d{1,5})-(\d{1,5})", entry)):
        first, last = int(match[1]), int(match[2])
        if first <= last:
            return first, last
    raise ValueError(f'expected the number of a class, "first-last" or number: name, found {clean(repr(entry))}')


Url = Annotated[str, Field(max_length=2000), AfterValidator(_url)]
# a few bytes can name many classes, so they are counted before they are listed
Classes = Annotated[Ranges, BeforeValidator(_class_ranges)]
Groups = Annotated[dict[Name, Classes], Field(min_length=1, max_length=4096)]


class Origin(StrictModel):
    """Where a file is fetched from: a URL, or a member of the zip or wheel at the URL.

    `size` is the most bytes, `sha256` the hash of that archive.
    """

    url: Url
    member: Annotated[str, Field(max_length=500), AfterValidator(_member)] | None = None
    size: Annotated[int, Field(ge=1, le=MAX_ARCHIVE_BYTES)] | None = None
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _check_archive(self) -> "Origin":
        if self.member is None and (self.size is not None or self.sha256 is not None):
            raise ValueError("size and sha256 here are those of an archive, which needs member")
        return self


class SourceSpec(StrictModel):
    """One file of others. `origins` are tried in turn; `sha256` and `size` are of the file itself.

    Without origins the file must lie in the directory that --from names.
    """

    origins: Annotated[list[Origin], Field(alias="from", max_length=20)] = []
    sha256: Sha256
    size: Annotated[int, Field(ge=1, le=MAX_BYTES)]
    licence: ShortText
    page: Url


class InnerTensor(StrictModel):
    """A tensor inside of a model: the only one of `size` numbers that `operator` computes."""

    operator: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
    size: Annotated[int, Field(ge=1)]


def _group_kind(value: object) -> str:
    # no name of a group has a blank, so that the tag cannot be taken for a key in a message
    return "by name" if isinstance(value, str) else "in place"


def _not_empty(groups: str | dict[str, Ranges]) -> str | dict[str, Ranges]:
    if not groups:
        raise ValueError("expected one or more groups, or the name of an entry of groups")
    return groups


GroupsOrName = Annotated[
    Annotated[Name, Tag("by name")] | Annotated[dict[Name, Classes], Tag("in place")],
    Discriminator(_group_kind),
    AfterValidator(_not_empty),
]


class OutputEdit(StrictModel):
    """One output of an edited model: output `of` as it is, grouped or reduced, or an inner tensor.

    `group` has groups of classes, or the name of an entry of `groups` of the recipe.
    """

    of: Annotated[int, Field(ge=0, le=1000)] = 0
    group: GroupsOrName | None = None
    reduce: Literal["max"] | None = None
    expose: InnerTensor | None = None

    @model_validator(mode="after")
    def _check_one(self) -> "OutputEdit":
        if sum(edit is not None for edit in (self.group, self.reduce, self.expose)) > 1:
            raise ValueError("expected one of group, reduce, expose")
        if self.expose is not None and "of" in self.model_fields_set:
            raise ValueError("expose takes an inner tensor, so it has no of")
        return self


class RecipeModel(StrictModel):
    """A model of the bundle: a source, with `outputs` in place of its own; without them as it is.

    `weights: int8` stores the large float weights of its convolutions as int8.
    """

    source: Name
    weights: Literal["int8"] | None = None
    outputs: Annotated[dict[Name, OutputEdit], Field(min_length=1, max_length=16)] | None = None


class OutputUse(StrictModel):
    """What becomes of an output in the embedding, as in a manifest."""

    transform: Transform = "none"
    floor: PositiveNumber = LOG_FLOOR
    factor: PositiveNumber = 1.0


class _RecipeEncoder(StrictModel):
    """An encoder, as in a manifest but without tensors: those are read from the models."""

    model: FileName
    edgetpu: EdgetpuSpec | None = None
    outputs: dict[Name, OutputUse] = {}
    pool: PoolSpec | None = None
    max_age_ms: MaxAgeMs


class RecipeImage(_RecipeEncoder):
    """An encoder of frames."""

    modality: Literal["image"]
    preprocessing: ImagePreprocessing
    rate_hz: Annotated[Number, Field(ge=0.01, le=1000)] | None = None


class RecipeAudio(_RecipeEncoder):
    """An encoder of sound."""

    modality: Literal["audio"]
    preprocessing: SoundPreprocessing


class RecipeText(_RecipeEncoder):
    """An encoder of lines of text."""

    modality: Literal["text"]
    preprocessing: TextPreprocessing = TextPreprocessing()


RecipeEncoder = Annotated[
    Annotated[RecipeImage, Tag("image")] | Annotated[RecipeAudio, Tag("audio")] | Annotated[RecipeText, Tag("text")],
    BY_MODALITY,
]


class Evidence(StrictModel):
    """What one number of F adds to a label's logit: `weight * number + offset`, while its encoder is present."""

    weight: Number = 1.0
    offset: Number = 0.0


class RecipeLabel(StrictModel):
    """One label. Its logit is `bias` plus all `evidence`, which is keyed by ENCODER.GROUP or ENCODER.OUTPUT."""

    background: bool = False
    info: LabelInfo | None = None
    threshold: Threshold | None = None
    bias: Number = 0.0
    evidence: Annotated[dict[str, Evidence], Field(max_length=1000)] = {}


class Recipe(StrictModel):
    """The content of `recipe.yaml`."""

    recipe: Literal[1]
    name: Name
    version: Version
    description: str = ""
    scoring: Scoring = "exclusive"
    sources: Annotated[dict[Name, SourceSpec], Field(min_length=1, max_length=MAX_MODELS)]
    groups: dict[Name, Groups] = {}
    models: Annotated[dict[FileName, RecipeModel], Field(min_length=1, max_length=MAX_MODELS)]
    encoders: Annotated[dict[Name, RecipeEncoder], Field(min_length=1, max_length=16)]
    labels: Annotated[dict[str, RecipeLabel], Field(min_length=2, max_length=4096)]
    threshold: Threshold | None = None
    temperature: PositiveNumber = 1.0
    head: Literal["constructed"] | None = None
    selftest: Selftest
    licences: list[Licence] = []

    def groups_of(self, edit: OutputEdit) -> dict[str, Ranges] | None:
        """Return the groups of an edit, also where it names them; None: it has no groups."""
        return self.groups[edit.group] if isinstance(edit.group, str) else edit.group


def classes_of(ranges: Ranges) -> list[int]:
    """Return the indices of the classes of a group, each once."""
    return list(dict.fromkeys(index for first, last in ranges for index in range(first, last + 1)))
