"""The SBOM and the list of licences, from a tree of an installation with two small libraries."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packages.native import native_licence
from packages.sbom import DebianPackage, Product, installed, needed, write_evidence

from tests.helpers.bill import assert_valid

PRODUCT = Product("perceptd", "0.8.0+deb12", "amd64", commit="c" * 40, committed_at=1_796_000_000)
FFMPEG = b"\x7fELF...libavcodec license: LGPL version 3 or later\0"

STATUS = """Package: libc6
Status: install ok installed
Version: 2.36-9+deb12u9
Description: GNU C Library
 one: more line

Package: gone
Status: deinstall ok config-files
Version: 1
"""


def library(tree: Path, name: str, version: str, metadata: str) -> Path:
    """Install a library into the tree; return its dist-info."""
    site_packages = tree / "opt/perceptd/.venv/lib/python3.11/site-packages"
    info = site_packages / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}\n")
    return info


def wheel(directory: Path, name: str, version: str) -> Path:
    path = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.py", "")
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    film = library(tree, "Film_Reader", "2.1", "License-Expression: BSD-3-Clause")
    (film / "licenses").mkdir()
    (film / "licenses/LICENSE.txt").write_text("text")
    (film / "sboms").mkdir()
    inside = [{"name": "zlib", "version": "1.3", "purl": "pkg:rpm/zlib@1.3"}]
    (film / "sboms/auditwheel.cdx.json").write_text(json.dumps({"components": [*inside, *inside]}))
    libs = film.parent / "film_reader.libs"
    libs.mkdir()
    (libs / "libavcodec-00000000.so.62.1").write_bytes(FFMPEG)
    (libs / "libx264-00000000.so.165").write_bytes(b"\x7fELF")
    library(tree, "plain", "1", "License: MIT")
    library(tree, "perceptd", "0.8.0", "")
    model = tree / "opt/perceptd/models/digits/head.tflite"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"TFL3")
    return tree


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    return [wheel(tmp_path, "film_reader", "2.1"), wheel(tmp_path, "plain", "1")]


def components(content: bytes) -> dict[str, dict[str, Any]]:
    return {component["name"]: component for component in json.loads(content)["components"]}


def test_an_sbom_names_libraries_packages_and_models(tree: Path, wheels: list[Path]) -> None:
    content = write_evidence(tree, PRODUCT, wheels, needed(["python3 (>= 3.11)", "python3 (<< 3.12)"])).read_bytes()
    assert_valid(content)
    found = components(content)
    assert sorted(found) == ["film-reader", "models/digits/head.tflite", "plain", "python3"]
    film = found["film-reader"]
    assert film["purl"] == "pkg:pypi/film-reader@2.1"
    assert len(film["hashes"][0]["content"]) == 64
    assert [(one["name"], one.get("licenses")) for one in film["components"]] == [
        ("zlib", None),
        ("film_reader.libs/libavcodec-00000000.so.62.1", [{"expression": "LGPL-3.0-or-later"}]),
        ("film_reader.libs/libx264-00000000.so.165", [{"expression": "GPL-2.0-or-later"}]),
    ]
    assert found["python3"]["properties"] == [{"name": "perceptd:versions", "value": ">= 3.11, << 3.12"}]


def test_two_builds_of_one_commit_have_the_same_sbom(tree: Path, wheels: list[Path]) -> None:
    first = write_evidence(tree, PRODUCT, wheels, []).read_bytes()
    assert write_evidence(tree, PRODUCT, wheels[::-1], []).read_bytes() == first
    assert json.loads(first)["metadata"]["timestamp"] == "2026-11-30T00:53:20Z"


def test_the_list_of_licences_names_each_text_and_each_shared_library(tree: Path, wheels: list[Path]) -> None:
    write_evidence(tree, PRODUCT, wheels, [])
    text = (tree / "opt/perceptd/evidence/licences.md").read_text()
    assert "| film-reader | 2.1 | BSD-3-Clause | `Film_Reader-2.1.dist-info/licenses/LICENSE.txt` |" in text
    assert "| plain | 1 | MIT | none: the package brings no text |" in text
    assert "| `film_reader.libs/libx264-00000000.so.165` | GPL-2.0-or-later |" in text


def test_a_library_from_no_wheel_is_refused(tree: Path, wheels: list[Path]) -> None:
    with pytest.raises(ValueError, match="plain come from none of the wheels"):
        write_evidence(tree, PRODUCT, wheels[:1], [])


def test_a_library_without_a_licence_is_refused(tree: Path, wheels: list[Path]) -> None:
    library(tree, "bare", "1", "Summary: none")
    with pytest.raises(ValueError, match="bare: its METADATA names no licence"):
        write_evidence(tree, PRODUCT, wheels, [])


def test_a_shared_library_of_an_unknown_licence_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no licence is known of libsecret-1\.so"):
        native_licence("libsecret-1.so", b"")


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("libpng16-529cb57a.so.16.58.0", "libpng-2.0"),
        ("libscipy_openblas64_-32a4b2a6.so", "BSD-3-Clause"),
        ("libopenblasp-r0-59ffcd50.3.15.so", "BSD-3-Clause"),
        ("libopencore-amrnb-d72c52e2.so.0.0.5", "Apache-2.0"),
        ("libx265-f5385bb8.so.216", "GPL-2.0-or-later"),
    ],
)
def test_the_licence_of_a_shared_library(name: str, licence: str) -> None:
    assert native_licence(name, b"") == licence


@pytest.mark.parametrize(
    ("stated", "configured", "licence"),
    [
        (b"LGPL version 2.1 or later", b"--enable-zlib", "LGPL-2.1-or-later"),
        (b"LGPL version 3 or later", b"--enable-version3", "LGPL-3.0-or-later"),
        (b"LGPL version 3 or later", b"--enable-version3 --enable-libx264 --enable-zlib", "GPL-3.0-or-later"),
        (b"LGPL version 2.1 or later", b"--enable-libx265", "GPL-2.0-or-later"),
        (b"GPL version 2 or later", b"--enable-gpl --enable-libx264", "GPL-2.0-or-later"),
    ],
)
def test_what_is_linked_with_libraries_under_the_gpl_is_under_it(
    stated: bytes, configured: bytes, licence: str
) -> None:
    content = b"libavutil license: " + stated + b"\0" + configured + b"\0"
    assert native_licence("libavutil-5809ad29.so.60.26.102", content) == licence


def test_a_licence_whose_text_says_more_than_the_metadata(tree: Path, wheels: list[Path], tmp_path: Path) -> None:
    library(tree, "nlopt", "2", "License: MIT")
    found = components(write_evidence(tree, PRODUCT, [*wheels, wheel(tmp_path, "nlopt", "2")], []).read_bytes())
    assert found["nlopt"]["licenses"] == [{"expression": "LGPL-2.1-or-later"}]


def test_the_packages_of_an_image() -> None:
    assert installed(STATUS) == [DebianPackage("libc6", version="2.36-9+deb12u9")]


def test_no_relation_is_guessed() -> None:
    with pytest.raises(ValueError, match="expected a relation"):
        needed(["python3 | python"])
