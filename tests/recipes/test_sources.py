"""Sources come from a directory, the cache or a web server, and nothing wrong is taken from any of them."""

import fcntl
import hashlib
import io
import os
import stat
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.core.document import load_document
from daemon.core.dumper import dump_document
from daemon.core.errors import Refused
from daemon.recipes.archive import MAX_LIST_BYTES
from daemon.recipes.cache import TEMPORARY_PREFIX, SourceCache, cache_directory
from daemon.recipes.recipe import Recipe
from daemon.recipes.sources import LocalFiles, find_sources
from tests.helpers.certificates import Authority
from tests.helpers.recipes import recipe
from tests.helpers.webserver import Fault, WebServer

FILE = bytes(range(256)) * 200
SHA256 = hashlib.sha256(FILE).hexdigest()
MEMBER = "lib/models/pixels.tflite"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebServer]:
    (tmp_path / "web").mkdir()
    with WebServer(tmp_path / "web").serving() as server:
        (server.directory / "pixels.tflite").write_bytes(FILE)
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> SourceCache:
    return SourceCache(tmp_path / "cache" / "sources")


class Finder:
    """Finds the source of a recipe with these origins."""

    def __init__(self, path: Path, cache: SourceCache) -> None:
        self.path, self.cache = path, cache
        self.shown: list[str] = []

    def find(self, *origins: dict[str, Any], local: LocalFiles | None = None) -> bytes:
        content = recipe(FILE)
        content["sources"]["pixels"]["from"] = list(origins)
        self.path.write_bytes(dump_document(content))
        loaded = load_document(self.path, Recipe)
        copy = find_sources(loaded, local, self.cache, self.shown.append)["pixels"]
        return copy.path.read_bytes()

    def refused(self, *origins: dict[str, Any], local: LocalFiles | None = None) -> str:
        with pytest.raises(Refused) as caught:
            self.find(*origins, local=local)
        text = str(caught.value)
        assert text.startswith(f"{self.path}:6: sources.pixels: "), text
        return text


@pytest.fixture
def finder(tmp_path: Path, cache: SourceCache) -> Finder:
    return Finder(tmp_path / "recipe.yaml", cache)


def packed(member: str = MEMBER, content: bytes = FILE, method: int = zipfile.ZIP_DEFLATED, mode: int = 0) -> bytes:
    """Return a zip file with one member, and one more."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        entry = zipfile.ZipInfo(member)
        entry.compress_type, entry.external_attr = method, mode << 16
        archive.writestr(entry, content)
        archive.writestr("lib/other.py", b"pass")
    return target.getvalue()


def lying(archive: bytes, size: int) -> bytes:
    """Return a zip file whose first member claims another size, in both of its headers."""
    claimed = size.to_bytes(4, "little")
    central = archive.index(b"PK\1\2")
    return archive[:22] + claimed + archive[26 : central + 24] + claimed + archive[central + 28 :]


def files_of(cache: SourceCache) -> list[str]:
    return sorted(path.name for path in cache.directory.iterdir())


def test_a_file_is_fetched_once_and_then_comes_from_the_cache(finder: Finder, web: WebServer) -> None:
    origin = {"url": f"{web.url}/pixels.tflite"}
    assert finder.find(origin) == FILE
    assert finder.find(origin) == FILE
    assert web.requests == ["/pixels.tflite"]
    assert files_of(finder.cache) == [SHA256]
    assert finder.shown[-1] == "pixels: 0.1 MB of at most 0.1 MB"
    assert stat.S_IMODE(finder.cache.directory.stat().st_mode) == 0o700


def test_origins_are_tried_in_turn_and_each_failure_is_told(finder: Finder, web: WebServer) -> None:
    missing, silent = {"url": f"{web.url}/none"}, {"url": "http://127.0.0.1:1/x"}
    assert finder.find(missing, silent, {"url": f"{web.url}/pixels.tflite"}) == FILE
    finder.cache = SourceCache(finder.cache.directory / "other")
    text = finder.refused(missing, silent)
    assert f"{web.url}/none: has no such file (404)" in text
    assert "127.0.0.1:1/x: refuses connections" in text
    assert text.endswith("works, or give a directory that has the file by --from DIR")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(content=FILE[:-1]), f"has {len(FILE) - 1} bytes, expected {len(FILE)}"),
        (Fault(content=bytes(len(FILE))), f"expected {SHA256}"),
        (Fault(content=FILE + b"x"), f"sends more than the allowed {len(FILE)} bytes"),
        (Fault(endless=True), f"sends more than the allowed {len(FILE)} bytes"),
        (Fault(status=302, location="ftp://x/y"), "redirects to ftp://, which is not followed"),
        (Fault(encoding="gzip"), "is sent as gzip"),
    ],
)
def test_a_wrong_file_is_refused_and_not_kept(finder: Finder, web: WebServer, fault: Fault, words: str) -> None:
    web.faults["/pixels.tflite"] = fault
    assert words in finder.refused({"url": f"{web.url}/pixels.tflite"})
    assert SHA256 not in files_of(finder.cache)
    web.faults.clear()
    assert finder.find({"url": f"{web.url}/pixels.tflite"}) == FILE
    assert files_of(finder.cache) == [SHA256]


def test_https_is_not_left(finder: Finder, web: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    with WebServer(web.directory, tls=authority.issue("127.0.0.1")).serving() as tls:
        tls.faults["/moved"] = Fault(status=302, location=f"{web.url}/pixels.tflite")
        assert "redirects to http://, which is not followed from here" in finder.refused({"url": f"{tls.url}/moved"})
    assert not web.requests


@pytest.mark.parametrize(
    ("fault", "ranges"),
    [
        (Fault(), ["bytes=20000-"]),
        (Fault(whole=True), ["bytes=20000-", None]),
        (Fault(range_shift=5), ["bytes=20000-", None]),
        (Fault(range_shift=10**6), ["bytes=20000-", None]),
    ],
    ids=["resumed", "sent whole", "sent from elsewhere", "refused"],
)
def test_a_cut_download_goes_on(finder: Finder, web: WebServer, fault: Fault, ranges: list[str | None]) -> None:
    origin = {"url": f"{web.url}/pixels.tflite"}
    web.faults["/pixels.tflite"] = Fault(cut_after=20_000)
    assert "the connection was cut" in finder.refused(origin)
    web.faults["/pixels.tflite"] = fault
    assert finder.find(origin) == FILE
    assert web.ranges == [None, *ranges]


def test_a_beginning_of_another_file_is_thrown_away(finder: Finder, web: WebServer) -> None:
    origin = {"url": f"{web.url}/pixels.tflite"}
    web.faults["/pixels.tflite"] = Fault(content=b"y" * len(FILE), cut_after=20_000)
    finder.refused(origin)
    web.faults.clear()
    assert finder.find(origin) == FILE
    assert web.ranges == [None, "bytes=20000-", None]


def test_a_member_of_an_archive_is_taken_out(finder: Finder, web: WebServer) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        archive = packed(method=method, mode=stat.S_IFREG | 0o644)
        (web.directory / "lib.whl").write_bytes(archive)
        finder.cache = SourceCache(finder.cache.directory / "next")
        origin = {"url": f"{web.url}/lib.whl", "member": MEMBER, "size": len(archive)}
        assert finder.find(origin | {"sha256": hashlib.sha256(archive).hexdigest()}) == FILE
        assert files_of(finder.cache) == [SHA256]


def test_a_cut_archive_goes_on(finder: Finder, web: WebServer) -> None:
    archive = packed(method=zipfile.ZIP_STORED)
    (web.directory / "lib.whl").write_bytes(archive)
    origin = {"url": f"{web.url}/lib.whl", "member": MEMBER}
    web.faults["/lib.whl"] = Fault(cut_after=30_000)
    finder.refused(origin)
    web.faults.clear()
    assert finder.find(origin) == FILE
    assert web.ranges == [None, "bytes=30000-"]
    assert files_of(finder.cache) == [SHA256]


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (packed("lib/models/other.tflite"), f"has no member {MEMBER}, expected one"),
        (packed(content=FILE + b"x"), f"has {MEMBER} of {len(FILE) + 1} bytes, expected {len(FILE)}"),
        (packed(content=bytes(len(FILE))), f"expected {SHA256}"),
        (packed(content=bytes(5_000_000)), f"has {MEMBER} of 5000000 bytes, expected {len(FILE)}"),
        (lying(packed(content=bytes(5_000_000)), len(FILE)), "is no zip file, or a damaged one"),
        (lying(packed(content=FILE[:100]), len(FILE)), f"unpacks {MEMBER} to 100 bytes, expected {len(FILE)}"),
        (packed(mode=stat.S_IFLNK | 0o777), f"has {MEMBER} as a link or a directory, expected a plain file"),
        (packed(mode=stat.S_IFIFO | 0o777), f"has {MEMBER} as a link or a directory, expected a plain file"),
        (packed(method=zipfile.ZIP_BZIP2), f"has {MEMBER} packed by method 12, expected stored or deflated"),
        (
            packed().replace(b"PK\1\2\x14\x03\x14\x00\x00", b"PK\1\2\x14\x03\x14\x00\x01"),
            "encrypted, expected a plain file",
        ),
        (packed()[:-30], "is no zip file, or a damaged one"),
        (b"no zip", "is no zip file, or a damaged one"),
        (b"", "is no zip file, or a damaged one"),
    ],
    ids=range(13),
)
def test_a_hostile_archive_is_refused(finder: Finder, web: WebServer, archive: bytes, words: str) -> None:
    (web.directory / "lib.whl").write_bytes(archive)
    text = finder.refused({"url": f"{web.url}/lib.whl", "member": MEMBER})
    assert words in text
    assert f"{web.url}/lib.whl: " in text
    assert not [name for name in files_of(finder.cache) if not name.endswith(".part")]


def test_two_members_of_one_name_are_refused(finder: Finder, web: WebServer) -> None:
    with zipfile.ZipFile(web.directory / "lib.whl", "w") as archive:
        archive.writestr(MEMBER, FILE)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(MEMBER, b"other")
    assert f"has 2 members {MEMBER}" in finder.refused({"url": f"{web.url}/lib.whl", "member": MEMBER})


def test_an_archive_is_bounded_and_verified_where_the_recipe_says_so(finder: Finder, web: WebServer) -> None:
    archive = packed()
    (web.directory / "lib.whl").write_bytes(archive)
    origin = {"url": f"{web.url}/lib.whl", "member": MEMBER}
    assert f"sends more than the allowed {len(archive) - 1} bytes" in finder.refused(
        origin | {"size": len(archive) - 1}
    )
    assert f"has the SHA-256 {hashlib.sha256(archive).hexdigest()}, expected {'0' * 64}" in finder.refused(
        origin | {"sha256": "0" * 64}
    )


def test_a_list_of_members_is_bounded(finder: Finder, web: WebServer) -> None:
    with zipfile.ZipFile(web.directory / "lib.whl", "w") as archive:
        archive.writestr(MEMBER, FILE)
        for number in range(70):  # a name may have 65,535 bytes
            archive.writestr(f"{number:>60000}", b"")
    text = finder.refused({"url": f"{web.url}/lib.whl", "member": MEMBER})
    assert f"{web.url}/lib.whl: has a list of members of more than {MAX_LIST_BYTES} bytes" in text


def test_what_a_killed_process_left_in_the_cache_is_removed(finder: Finder, web: WebServer) -> None:
    (web.directory / "lib.whl").write_bytes(packed())
    finder.cache.directory.mkdir(parents=True)
    left, held = (finder.cache.directory / f"{TEMPORARY_PREFIX}{name}.part" for name in ("left", "held"))
    left.write_bytes(FILE)
    with held.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert finder.find({"url": f"{web.url}/lib.whl", "member": MEMBER}) == FILE
    assert sorted(finder.cache.directory.iterdir()) == sorted([finder.cache.directory / SHA256, held])


def test_a_directory_needs_no_network(finder: Finder, tmp_path: Path, web: WebServer) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "a-wrong-one").write_bytes(bytes(len(FILE)))
    os.mkfifo(models / "fifo")
    (models / "folder").mkdir()
    (models / "dangling").symlink_to("nothing")
    origin = {"url": f"{web.url}/pixels.tflite"}
    text = finder.refused(origin, local=LocalFiles(models))
    lacks = f"{models} has no file of {len(FILE)} bytes with the SHA-256 {SHA256}"
    assert f"{lacks}, which its makers call pixels.tflite; put it there, or leave out --from to fetch it" in text
    assert f"{lacks}, which its makers call {MEMBER.rpartition('/')[2]}; put" in finder.refused(
        {"url": f"{web.url}/lib.whl", "member": MEMBER}, local=LocalFiles(models)
    )
    assert finder.refused(local=LocalFiles(models)).endswith(f"{lacks}; put it there")
    (models / "any name").write_bytes(FILE)
    assert finder.find(origin, local=LocalFiles(models)) == FILE
    assert not web.requests
    assert not finder.cache.directory.exists()


def test_a_source_without_a_url_needs_a_directory(finder: Finder, tmp_path: Path) -> None:
    assert "has no URL under from; give the directory with the file by --from" in finder.refused()
    (tmp_path / "file").write_bytes(FILE)
    assert finder.find(local=LocalFiles(tmp_path)) == FILE


def test_a_directory_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="nothing: cannot be read: No such file or directory"):
        LocalFiles(tmp_path / "nothing")


def plant(kind: str, path: Path) -> None:
    if kind == "content":
        path.write_bytes(bytes(len(FILE)))
    elif kind == "large":
        path.write_bytes(bytes(3 * len(FILE)))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        (path / "inner").mkdir(parents=True)
    elif kind == "link":
        path.symlink_to(path.parent.parent / "precious")
    elif kind == "hard link":
        os.link(path.parent.parent / "precious", path)


@pytest.mark.parametrize("kind", ["content", "large", "fifo", "directory", "link", "hard link"])
@pytest.mark.parametrize("is_partial", [False, True])
def test_hostile_content_of_the_cache_is_replaced(finder: Finder, web: WebServer, kind: str, is_partial: bool) -> None:
    url = f"{web.url}/pixels.tflite"
    finder.cache.directory.mkdir(parents=True)
    precious = finder.cache.directory.parent / "precious"
    precious.write_bytes(b"precious")
    name = f"{hashlib.sha256(f'{url} {SHA256}'.encode()).hexdigest()}.part" if is_partial else SHA256
    plant(kind, finder.cache.directory / name)
    assert finder.find({"url": url}) == FILE
    assert precious.read_bytes() == b"precious"
    assert files_of(finder.cache) == [SHA256]


def test_a_cache_that_cannot_be_written_is_told(finder: Finder, web: WebServer) -> None:
    finder.cache.directory.parent.write_bytes(b"a file in the place of the directory")
    text = finder.refused({"url": f"{web.url}/pixels.tflite"})
    assert f"{finder.cache.directory}: cannot be written: Not a directory" in text


def test_several_at_once_do_not_disturb_each_other(finder: Finder, web: WebServer, tmp_path: Path) -> None:
    web.faults["/pixels.tflite"] = Fault(bytes_per_s=200_000)  # so slow that they overlap
    found: list[bytes] = []

    def find(number: int) -> None:
        own = Finder(tmp_path / f"{number}.yaml", finder.cache)
        found.append(own.find({"url": f"{web.url}/pixels.tflite"}))

    threads = [threading.Thread(target=find, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [FILE] * 4
    assert files_of(finder.cache) == [SHA256]


@pytest.mark.parametrize(
    ("environment", "is_root", "expected"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, False, "/c/perceptd/sources"),
        ({"XDG_CACHE_HOME": "c", "HOME": "/h"}, False, "/h/.cache/perceptd/sources"),
        ({"HOME": "/h"}, False, "/h/.cache/perceptd/sources"),
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, True, "/var/cache/perceptd/sources"),
    ],
)
def test_the_place_of_the_cache(environment: dict[str, str], is_root: bool, expected: str) -> None:
    assert cache_directory(environment, is_root=is_root) == Path(expected)
