"""A file that is not a valid document is reported with its path and line."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Discriminator, Tag, model_validator

from daemon.bundle.manifest import Manifest
from daemon.config.node import load_config
from daemon.core.document import StrictModel, load_document, parse_document, problem_at
from daemon.core.dumper import dump_document
from daemon.core.errors import DocumentError


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"- a\n- b\n", "expected keys and values"),
        (b"a: [\n", "config.yaml:2:"),
        (b"x" * 1_000_001, "larger than 1000000 bytes"),
        (b'"a\\e[31m\\nb": 1', "config.yaml:1: a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}b: unknown key"),
        (b"? " + b"x" * 100_000 + b"\n: 1", f": {'x' * 80}\N{HORIZONTAL ELLIPSIS}: unknown key"),
    ],
)
def test_an_invalid_document_is_refused(tmp_path: Path, raw: bytes, expected: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(raw)
    with pytest.raises(DocumentError) as caught:
        load_config(path)
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"nothing\.yaml: cannot be read: No such file"):
        load_config(tmp_path / "nothing.yaml")
    with pytest.raises(DocumentError, match="cannot be read: embedded null byte"):
        load_document(tmp_path / "a\0b", Manifest)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(alphabet="abn:{}[]-&*!|>'\"#% \n\t0123456789", max_size=120).map(str.encode))
def test_hostile_bytes_are_refused_and_never_crash(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("hostile") / "bundle.yaml"
    path.write_bytes(raw)
    with pytest.raises(DocumentError) as caught:
        load_document(path, Manifest)
    assert all(problem.startswith(str(path)) for problem in caught.value.problems)


class Cat(StrictModel):
    kind: Literal["cat"]
    purrs: bool = True


class Dog(StrictModel):
    kind: Literal["dog"]
    barks: int = 0

    @model_validator(mode="after")
    def _check(self) -> "Dog":
        if self.barks > 9:
            raise problem_at("is {too} loud", "barks")
        if self.barks > 4:
            raise ValueError("barks too often")
        return self


def _kind(value: object) -> object:
    return value.get("kind", "cat") if isinstance(value, dict) else None


class Home(StrictModel):
    pets: dict[str, Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(_kind)]] | None


@pytest.mark.parametrize(
    ("pet", "problem"),
    [
        ("{kind: dog, bark: 1}", "home.yaml:3: pets.rex.bark: unknown key; did you mean 'barks'?"),
        ("{kind: dog, purrs: yes}", "home.yaml:3: pets.rex.purrs: unknown key; valid keys: barks, kind"),
        ("{kind: cat, barks: 1}", "home.yaml:3: pets.rex.barks: unknown key; valid keys: kind, purrs"),
        ("{kind: dog, barks: 5}", "home.yaml:2: pets.rex: barks too often"),
        ("{kind: dog, barks: 10}", "home.yaml:3: pets.rex.barks = 10: is {too} loud"),
        ("{}", "home.yaml:2: pets.rex.kind: is missing"),
    ],
)
def test_a_mistake_in_one_of_several_models_is_told_as_if_there_were_only_this_one(pet: str, problem: str) -> None:
    raw = f"pets:\n  rex:\n    {pet}\n".encode()
    with pytest.raises(DocumentError) as caught:
        parse_document(Path("home.yaml"), raw, Home)
    assert caught.value.problems == [problem]


class Texts(StrictModel):
    a: list[str]
    b: dict[str, str]


LINE_ENDS = st.sampled_from(["\n", "\r", "\x85", "\u2028", "\u2029", " ", "\t", "'", '"', ": ", " #", "x"])
TEXTS = st.lists(LINE_ENDS | st.characters(exclude_categories=["Cs"]), max_size=12).map("".join)


@given(st.lists(TEXTS, max_size=4), st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_each_text_that_is_dumped_is_read_back(texts: list[str], pairs: dict[str, str]) -> None:
    dumped = dump_document({"a": texts, "b": pairs})
    assert parse_document(Path("x.yaml"), dumped, Texts).document == Texts(a=texts, b=pairs)
