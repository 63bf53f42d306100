"""A file that is not a valid document is reported with its path and line."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.bundle.manifest import Manifest
from daemon.config.node import load_config
from daemon.core.document import load_document
from daemon.core.errors import DocumentError


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"- a\n- b\n", "expected keys and values"),
        (b"a: [\n", "config.yaml:2:"),
        (b"x" * 1_000_001, "larger than 1000000 bytes"),
    ],
)
def test_an_invalid_document_is_refused(tmp_path: Path, raw: bytes, expected: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(raw)
    with pytest.raises(DocumentError) as caught:
        load_config(path)
    assert expected in str(caught.value)


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
