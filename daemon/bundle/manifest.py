"""The schema of `bundle.yaml` with the rules between its parts. No I/O. See docs/bundle.md."""

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from daemon.bundle.encoder_specs import AnyEncoder, AudioSpec, EncoderSpec, FileName, ImageSpec, Name, Number, TextSpec
from daemon.bundle.format1 import Modalities
from daemon.bundle.taught import Taught, why_fixed
from daemon.bundle.thresholds import Thresholds
from daemon.core.document import StrictModel, problem_at
from daemon.core.records import MODALITIES, Modality, Scoring
from daemon.core.text import clean

MANIFEST = "bundle.yaml"
SELFTEST_DIRECTORY = "selftest"

NEWEST_FORMAT = 2

# the length of the head's input; a head for so much of 40 labels has 10 MB
MAX_FEATURES = 65_536

# three numbers without leading zeros, so that two versions are equal when their texts are
VERSION = r"^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}$"


# The version of a bundle with labels that were taught on this device: that of its base, and a number.
LOCAL_VERSION = VERSION[:-1] + r"(\+taught\.[1-9][0-9]{0,8})?$"


def _known_format(value: object) -> object:
    if isinstance(value, int) and value > NEWEST_FORMAT:
        raise ValueError(f"this version of perceptd reads bundles up to format {NEWEST_FORMAT}; update perceptd")
    return value


def _language_code(code: object) -> object:
    # YAML 1.1 reads an unquoted no, Norwegian, as false
    if code is False:
        raise ValueError('found the language false; put no, the code of Norwegian, in quotes: "no"')
    if not isinstance(code, str) or not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}", code):
        raise ValueError(f"expected the code of a language such as de or pt-BR, found {clean(str(code))!r}")
    return code


def _shown_name(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("expected printable text without spaces around it")
    return name


def _version(value: object) -> object:
    # YAML reads 0.1 as a number: quotes alone would not make it a version
    if not isinstance(value, str) or not re.fullmatch(VERSION, value):
        raise ValueError("expected a version like 0.5.0, of three numbers")
    return value


def _local_version(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(LOCAL_VERSION, value):
        return value
    return _version(value)


LanguageCode = Annotated[str, BeforeValidator(_language_code)]
ShownName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_shown_name)]
Version = Annotated[str, Field(pattern=VERSION), BeforeValidator(_version)]
LocalVersion = Annotated[str, Field(pattern=LOCAL_VERSION), BeforeValidator(_local_version)]

SpecT = TypeVar("SpecT", ImageSpec, AudioSpec, TextSpec)


class LabelInfo(StrictModel):
    """How other programs show a label. Recognition does not depend on it.

    `names` has the label's name in each language, `kind` the senses that perceive the label. `device_class` and `icon`
    are those of Home Assistant's binary sensor, which is enabled by default if the label is `shown`.
    """

    names: Annotated[dict[LanguageCode, ShownName], Field(max_length=100)] = {}
    kind: Literal["sound", "sight", "both"] | None = None
    device_class: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")] | None = None
    icon: Annotated[str, Field(pattern=r"^mdi:[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)] | None = None
    shown: bool = False


class Head(StrictModel):
    """The fusion head: a model with the outputs scores (1, L) and shares (1, number of encoders, L)."""

    model: FileName


class Selftest(StrictModel):
    """The largest difference between a score and the stored score of a self-test case."""

    tolerance: Annotated[Number, Field(gt=0, le=0.5)]


class Licence(StrictModel):
    """The licence of a part of the bundle as an SPDX expression, and the source of that part."""

    part: str
    licence: str
    source: str


class Manifest(StrictModel):
    """The content of `bundle.yaml`.

    Format 1 has `modalities`: one encoder of each, with one output. Format 2 has `encoders`. Everything else reads
    `encoder_specs`, which are alike for both formats.
    """

    format: Annotated[Literal[1, 2], BeforeValidator(_known_format)]
    name: Name
    version: LocalVersion
    description: str = ""
    scoring: Scoring = "exclusive"
    labels: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(min_length=2, max_length=4096)]
    background: list[str] = []
    label_info: dict[str, LabelInfo] = {}
    modalities: Modalities | None = None
    encoders: Annotated[dict[Name, AnyEncoder], Field(min_length=1, max_length=16)] | None = None
    head: Head
    thresholds: Thresholds = Thresholds()
    taught: Taught | None = None
    selftest: Selftest
    licences: Annotated[list[Licence], Field(min_length=1)]
    provenance: dict[str, str] = {}

    @model_validator(mode="after")
    def _check_format(self) -> "Manifest":
        key, other = ("modalities", "encoders") if self.format == 1 else ("encoders", "modalities")
        if getattr(self, other) is not None:
            raise problem_at(f"format {self.format} describes its encoders by `{key}`", other)
        if getattr(self, key) is None:
            raise problem_at("is missing", key)
        if self.format == 1 and "scoring" in self.model_fields_set:
            raise problem_at("needs `format: 2`", "scoring")
        return self

    @model_validator(mode="after")
    def _check_labels(self) -> "Manifest":
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be different from each other")
        unknown = (set(self.background) | set(self.thresholds.labels) | set(self.label_info)) - set(self.labels)
        if unknown:
            raise ValueError(
                f"background, thresholds and label_info name labels that are not in labels: {sorted(unknown)}"
            )
        if set(self.background) == set(self.labels):
            raise ValueError("at least one label must not be background")
        if self.scoring == "independent" and len(self.background) != 1:
            message = "expected one label: `scoring: independent` compares each label with it"
            raise problem_at(message, "background")
        return self

    @model_validator(mode="after")
    def _check_taught(self) -> "Manifest":
        if self.taught is not None:
            names = list(self.taught.labels)
            if self.labels[len(self.labels) - len(names) :] != names or len(names) > len(self.labels) - 2:
                raise problem_at("expected the last of `labels`, in their order", "taught", "labels")
            if not set(names).isdisjoint(self.background):
                raise problem_at("a label that was taught is no background", "taught", "labels")
            if self.taught.inherited and not self.is_local:
                message = "only a version such as 1.0.0+taught.1 has it: others keep all their taught labels"
                raise problem_at(message, "taught", "inherited")
        return self

    @model_validator(mode="after")
    def _check_encoders(self) -> "Manifest":
        for name, spec in (self.encoders or {}).items():
            if name in MODALITIES and name != spec.modality:
                raise problem_at(f"has modality {spec.modality}: give it another name", "encoders", name)
        if self.encoders and self.head_input_size > MAX_FEATURES:
            message = f"have {self.head_input_size} numbers together, at most {MAX_FEATURES} may be"
            raise problem_at(message, "encoders")
        return self

    @model_validator(mode="after")
    def _check_sound(self) -> "Manifest":
        for name, spec in self.of_modality(AudioSpec).items() if self.format == 2 else ():
            how = spec.preprocessing
            if how.sample_rate_hz != self.sample_rate_hz:
                message = f"expected {self.sample_rate_hz}, as in the other encoders of sound"
                raise problem_at(message, "encoders", name, "preprocessing", "sample_rate_hz")
            stride_ms = 1000 * how.stride_samples / how.sample_rate_hz
            if spec.max_age_ms < stride_ms:
                message = f"must be at least {stride_ms:g}, the time from one patch to the next"
                raise problem_at(message, "encoders", name, "max_age_ms")
        return self

    @property
    def id(self) -> str:
        """Return name and version, as recognitions carry them."""
        return f"{self.name}@{self.version}"

    @property
    def base_labels(self) -> list[str]:
        """Return the labels of the head, without those that were taught."""
        return self.labels[: len(self.labels) - len(self.taught.labels)] if self.taught else self.labels

    @property
    def inherited(self) -> list[str]:
        """Return the taught labels that stay when others are taught: all of a version that no node has made."""
        if self.taught is None:
            return []
        return list(self.taught.inherited) if self.is_local else [*self.taught.labels]

    @property
    def taught_number(self) -> int:
        """Return the number that teaching has given the version; 0: no node has made it."""
        return int(self.version.partition("+taught.")[2] or 0)

    @property
    def fixed_labels(self) -> list[str]:
        """Return the labels that stay as they are when others are taught."""
        return [*self.base_labels, *self.inherited]

    @property
    def fixed_groups(self) -> frozenset[str]:
        """Return the groups of states among these labels."""
        states = [] if self.taught is None else [self.taught.labels[name].state_of for name in self.inherited]
        return frozenset(group for group in states if group is not None)

    def why_fixed(self, label: str) -> str | None:
        """Return why a label cannot be taught: the bundle has it, or its group of states, already; None: it can be."""
        return why_fixed(label, self.name, self.fixed_labels, self.fixed_groups)

    def labels_in(self, stream: str) -> list[str]:
        """Return the labels that apply in a stream: those of the head, and those that were taught there."""
        taught = [] if self.taught is None else self.taught.in_scope(stream)
        return [*self.base_labels, *(self.labels[len(self.base_labels) + index] for index in taught)]

    @property
    def base_version(self) -> str:
        """Return the version without what teaching appends to it."""
        return self.version.partition("+")[0]

    @property
    def is_local(self) -> bool:
        """Return whether a node has made this version of what it was taught."""
        return self.version != self.base_version

    @property
    def encoder_specs(self) -> dict[str, EncoderSpec]:
        """Return the encoders by name, in the order of the head's input. In format 1 the name is the modality."""
        if self.encoders is not None:
            return dict(self.encoders)
        return self.modalities.encoders() if self.modalities is not None else {}

    def of_modality(self, kind: type[SpecT]) -> dict[str, SpecT]:
        """Return the encoders of one modality by name; `kind` is ImageSpec, AudioSpec or TextSpec."""
        return {name: spec for name, spec in self.encoder_specs.items() if isinstance(spec, kind)}

    @property
    def encoder_modalities(self) -> dict[str, Modality]:
        """Return the modality of each encoder by name, in the order of the head's input."""
        return {name: spec.modality for name, spec in self.encoder_specs.items()}

    @property
    def senses(self) -> tuple[Modality, ...]:
        """Return the modalities that the bundle has encoders for."""
        return tuple(modality for modality in MODALITIES if modality in self.encoder_modalities.values())

    @property
    def sample_rate_hz(self) -> int | None:
        """Return the sample rate of the sound that the bundle takes; None: it takes no sound."""
        rates = [spec.preprocessing.sample_rate_hz for spec in self.of_modality(AudioSpec).values()]
        return rates[0] if rates else None

    def to_json(self) -> str:
        """Return the manifest as JSON, without the keys that its format does not have."""
        absent: dict[str, Any] = {} if self.taught else {"taught": True}
        if self.format == 2:
            return self.model_dump_json(indent=2, exclude=absent | {"modalities": True})
        of_format_1 = {"scoring": True, "encoders": True, "modalities": {"audio": {"preprocessing": {"kind": True}}}}
        return self.model_dump_json(indent=2, exclude=absent | of_format_1)

    def encoder_key(self, encoder: str) -> tuple[str, str]:
        """Return the key that describes an encoder in this manifest."""
        return ("modalities" if self.format == 1 else "encoders", encoder)

    @property
    def head_input_size(self) -> int:
        """Return the length of the head's input: the part of each encoder, then one presence flag for each."""
        return sum(spec.size for spec in self.encoder_specs.values()) + len(self.encoder_specs)
