"""`perceptd verify` with bundles: directories, releases and archives, of which some want to harm."""

import io
import re
import shutil
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from daemon.core.errors import Refused
from daemon.publisher.artefacts import bundle_at
from daemon.publisher.public_keys import read_public_keys
from daemon.publisher.verification import verify_file
from tests.helpers.artefacts import COMMIT, flipped, tar
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.publishing import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository").init()
    repository.add(write_bundle(tmp_path / "bundle"))
    repository.publish(COMMIT)
    return repository


def release(repository: Repository) -> Path:
    return repository.public / "targets/brightness/1.2.3"


def test_a_release_in_a_repository_is_verified_by_its_root(repository: Repository) -> None:
    found = verify_file(release(repository), read_public_keys(repository.root), None, COMMIT)
    assert found.provenance.parameters == {"name": "brightness", "version": "1.2.3"}
    assert "head.tflite" in {one.name for one in found.components}


class Archives:
    """The files of a bundle as a directory, a zip and a tar, with the provenance of its release."""

    def __init__(self, repository: Repository, directory: Path) -> None:
        self.directory, self.bundle = directory, directory / "bundle"
        self.keys, self.where = read_public_keys(repository.root), release(repository) / "provenance.intoto.json"
        made = next(release(repository).glob("*.ml-bom.cdx.json"))
        shutil.copy(made, self.bundle / "ml-bom.cdx.json")
        self.files = {
            str(path.relative_to(directory)): path.read_bytes() for path in self.bundle.rglob("*") if path.is_file()
        }

    def write(self, more: Sequence[tuple[str, bytes]] = ()) -> list[Path]:
        """Write a zip and a tar of the files, and of `more`, which may repeat a name."""
        packed, zipped = self.directory / "bundle.tar.gz", self.directory / "bundle.zip"
        packed.write_bytes(tar(self.files, "w:gz", more))
        with warnings.catch_warnings(), zipfile.ZipFile(zipped, "w") as archive:
            warnings.simplefilter("ignore")  # of a name that is there twice
            archive.writestr("bundle/", b"")
            for name, content in [*self.files.items(), *more]:
                archive.writestr(name, content)
        return [zipped, packed]

    def refused(self, path: Path) -> str:
        with pytest.raises(Refused) as refused:
            verify_file(path, self.keys, self.where, None)
        return str(refused.value).removeprefix(f"{path}: the digest differs: ")


@pytest.fixture
def archives(repository: Repository, tmp_path: Path) -> Archives:
    return Archives(repository, tmp_path)


def test_a_bundle_is_verified_as_directory_zip_and_tar(archives: Archives) -> None:
    for path in (archives.bundle, *archives.write()):
        assert verify_file(path, archives.keys, archives.where, COMMIT).provenance.kind == "bundle"
    archives.files["bundle/head.tflite"] += b"0"
    del archives.files["bundle/selftest/white.png"]
    for path in archives.write():
        said = archives.refused(path)
        assert re.fullmatch(r"head\.tflite has sha256 \w+, signed is \w+; selftest/white\.png is missing", said)


def test_an_archive_with_a_file_that_nobody_has_signed_is_refused(archives: Archives) -> None:
    for name in ("bundle/LICENCE", "bundle/demo/clip.mp4", "README", "bundle/../head.tflite"):
        for path in archives.write([(name, b"")]):
            assert archives.refused(path) == f"{name} is there, and is not signed"


def test_an_archive_with_one_file_twice_is_refused(archives: Archives) -> None:
    # of two files with one name, another program may read the other
    head = archives.files["bundle/head.tflite"]
    archives.files["bundle/head.tflite"] = b"another"
    for path in archives.write([("bundle/head.tflite", head)]):
        assert archives.refused(path) == "bundle/head.tflite is there 2 times"


def test_a_link_in_an_archive_is_refused(archives: Archives) -> None:
    path = archives.directory / "links.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(archives.bundle, "bundle")
        link = tarfile.TarInfo("bundle/selftest/\x1b[31m")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert archives.refused(path) == "bundle/selftest/\N{REPLACEMENT CHARACTER}[31m is there, and is not signed"


def test_of_a_directory_what_belongs_to_the_bundle_counts(archives: Archives) -> None:
    (archives.bundle / "demo").mkdir()
    for name in ("demo/clip.mp4", "files.txt", "selftest/.white.png.swp"):
        (archives.bundle / name).touch()
    assert verify_file(archives.bundle, archives.keys, archives.where, None)
    (archives.bundle / "LICENCE").touch()
    (archives.bundle / "selftest/black.png").touch()
    assert archives.refused(archives.bundle) == (
        "LICENCE is there, and is not signed; selftest/black.png is there, and is not signed"
    )


def zipped(*, flags: int = 0, method: int = 0, size: int = 1, count: int = 1) -> bytes:
    """Return a zip whose members claim to be encrypted, packed in this way, or to have this size."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(count):
            archive.writestr("bundle.yaml" if number == 0 else str(number), "x")
    raw = bytearray(packed.getvalue())
    # the header beside each member, and the one in the list at the end
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        for header in (found.start() for found in re.finditer(mark, bytes(raw))):
            raw[header + at : header + at + 4] = struct.pack("<HH", flags, method)
            raw[header + at + 16 : header + at + 20] = struct.pack("<I", size)
    return bytes(raw)


def record(kind: bytes, size: int, content: bytes = b"") -> bytes:
    """Return a tar that begins with a header of this kind and size."""
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, size
    return header.tobuf(tarfile.GNU_FORMAT) + content.ljust(-(-len(content) // 512) * 512, b"\0") + bytes(1024)


NEGATIVE_SIZE = b"14 size=-5120\n"
HOSTILE = {
    "encrypted": zipped(flags=1),
    "packed otherwise": zipped(method=99),
    "a zip bomb": zipped(size=0xFFFF_FFF0, count=2),
    "many members": zipped(count=801),
    "a comment that takes all memory": record(tarfile.XHDTYPE, 1 << 40),
    "a name that takes all memory": record(tarfile.GNUTYPE_LONGNAME, 1 << 40),
    "a tar bomb": record(tarfile.REGTYPE, 1 << 40),
    "a size below nothing": record(tarfile.REGTYPE, -512),
    "a comment with a size below nothing": record(tarfile.XHDTYPE, len(NEGATIVE_SIZE), NEGATIVE_SIZE),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_archive_is_refused_before_it_takes_time_or_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bundle").write_bytes(content)
    tracemalloc.start()
    try:
        with (
            pytest.raises(Refused, match="cannot be read as a zip or tar of a bundle") as refused,
            bundle_at(tmp_path / "bundle") as files,
        ):
            files.open("bundle.yaml", "")
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert "\n" not in str(refused.value)


def test_each_file_of_a_bundle_counts(repository: Repository) -> None:
    keys = read_public_keys(repository.root)
    for file in sorted(path for path in release(repository).rglob("*") if path.is_file()):
        flipped(file, file.stat().st_size // 2)
        with pytest.raises(Refused):
            verify_file(release(repository), keys, None, None)
        flipped(file, file.stat().st_size // 2)
    assert verify_file(release(repository), keys, None, None)


def test_a_release_without_a_commit_says_so(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository").init()
    repository.add(write_bundle(tmp_path / "bundle"))
    repository.publish()
    keys = read_public_keys(repository.root)
    assert verify_file(release(repository), keys, None, None).provenance.commit is None
    with pytest.raises(Refused, match="the commit differs: the provenance names none, expected"):
        verify_file(release(repository), keys, None, COMMIT)


def test_after_a_change_of_the_key_the_root_of_before_verifies(repository: Repository) -> None:
    repository.rotate("targets")
    with pytest.raises(Refused, match="the signature differs"):
        verify_file(release(repository), read_public_keys(repository.root), None, None)
    before = repository.public / "metadata/1.root.json"
    assert verify_file(release(repository), read_public_keys(before), None, None)


def test_the_metadata_of_a_repository_that_is_no_root_is_no_key(repository: Repository) -> None:
    with pytest.raises(Refused, match=r"is the timestamp document of a repository; name its root\.json"):
        read_public_keys(repository.public / "metadata/timestamp.json")
