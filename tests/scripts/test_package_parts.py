"""What packages are made of: the lock for another system, libraries without symbols, the man page and completions."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from packages.__main__ import read_options
from packages.completions import completion
from packages.deb import UNCOMPRESSED, pack
from packages.left_out import LEFT_OUT, is_left_out
from packages.manpages import leaves, man_page
from packages.provenance import sign_image
from packages.source import ROOT, commit
from packages.stripped import is_loadable
from packages.targets import TARGETS, target_named
from packages.wheels import BUILD, LOCK, locked_packages

from daemon.cli.parser import new_parser
from daemon.publisher.public_keys import read_public_keys
from daemon.publisher.verification import verify_file
from tests.helpers.artefacts import SBOM_PATH, image, release_key, sbom

A, B = "a" * 64, "b" * 64
LOCKED = f"""
# a comment
builder==1 --hash=sha256:{A}
one==1.5 ; python_full_version == '3.11.*' \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}
    # via perceptd
one==2.0 ; python_full_version >= '3.12' \\
    --hash=sha256:{B}
old==1 ; python_full_version < '3.11' --hash=sha256:{A}
other==1 ; platform_machine == 'aarch64' --hash=sha256:{A}
windows==1 ; sys_platform == 'win32' --hash=sha256:{A}
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("deb12-amd64", ["one 1.5"]),
        ("deb12-arm64", ["one 1.5", "other 1"]),
        ("deb13-amd64", ["one 2.0"]),
        ("deb13-arm64", ["one 2.0", "other 1"]),
    ],
)
def test_markers_of_the_lock_are_those_of_the_target(name: str, expected: list[str]) -> None:
    packages = locked_packages(target_named(name), LOCKED, "builder>=1\n")
    assert [f"{package.name} {package.version}" for package in packages] == expected


def test_a_locked_package_has_all_of_its_hashes() -> None:
    (package,) = locked_packages(target_named("deb12-amd64"), LOCKED, "builder")
    assert package.sha256 == {A, B}


def test_each_library_of_the_lock_has_one_version_on_each_target() -> None:
    for target in TARGETS:
        names = [package.name for package in locked_packages(target, LOCK.read_text(), BUILD.read_text())]
        assert len(names) == len(set(names))
        assert {"numpy", "av", "ai-edge-litert"} <= set(names)


def test_platforms_end_at_the_glibc_of_the_target() -> None:
    platforms = target_named("deb12-arm64").platforms
    assert platforms[0] == "manylinux_2_36_aarch64"
    assert platforms[-1] == "linux_aarch64"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("numpy/_core/tests/test_dtype.py", True),
        ("numpy/__init__.pyi", True),
        ("numpy-2.4.dist-info/RECORD", True),
        ("numpy-2.4.dist-info/METADATA", False),
        ("numpy/testing/__init__.py", False),
        ("cryptography-50.dist-info/licenses/LICENSE", False),
    ],
)
def test_what_is_left_out(path: str, expected: bool) -> None:
    assert is_left_out(path) == expected


def test_each_pattern_says_why() -> None:
    assert all(LEFT_OUT.values())


@pytest.mark.parametrize(("offset", "expected"), [(0x1000, True), (0x2000, True), (0x1008, False)])
def test_a_segment_at_another_place_in_its_page_cannot_be_loaded(offset: int, expected: bool) -> None:
    header = bytearray(64)
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<HH", header, 54, 56, 1)
    segment = struct.pack("<IIQQQQQQ", 1, 5, offset, 0x5000, 0x5000, 16, 16, 0x1000)
    assert is_loadable(bytes(header) + segment) == expected


def test_the_man_page_has_every_command_and_option_and_no_fault(tmp_path: Path) -> None:
    page = tmp_path / "perceptd.1"
    page.write_text(man_page(new_parser(), 1_796_000_000))
    rendered = subprocess.run(
        ["man", "--warnings", "--local-file", page],
        check=True,
        capture_output=True,
        text=True,
        env={"MANWIDTH": "200", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    assert rendered.stderr == ""
    text = re.sub(r".\x08", "", rendered.stdout)
    for command in leaves(new_parser()):
        assert command.prog in text
        for option in re.findall(r"--[a-z-]+", command.format_usage()):
            assert option in text


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completions_know_every_command(shell: str) -> None:
    script = completion(new_parser(), shell)
    for command in leaves(new_parser()):
        assert command.prog.rsplit(" ", 1)[1] in script


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    script = tmp_path / "perceptd"
    script.write_text(completion(new_parser(), "bash"))
    program = f"""
source {script}
COMP_WORDS=(perceptd bundle g) COMP_CWORD=2
$(complete -p perceptd | sed 's/.*-F \\([^ ]*\\).*/\\1/')
echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["get"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "--sign-apt", "key"], "neither --image nor --addon builds them"),
        (["--addon", "--sign-apt", "key"], "neither --image nor --addon builds them"),
        (["--addon", "--sign-release", "key"], "--sign-release has nothing to sign with --addon"),
    ],
)
def test_a_key_that_would_sign_nothing_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_options(arguments)
    assert message in capsys.readouterr().err


def test_a_signed_image_is_followed_back_to_its_commit(tmp_path: Path) -> None:
    private, public = release_key(tmp_path)
    archive = tmp_path / "perceptd.image.tar"
    archive.write_bytes(image({SBOM_PATH: sbom(commit())}))
    sign_image(archive, TARGETS[-1], private)
    found = verify_file(archive, read_public_keys(public), None, commit()).provenance
    assert (found.kind, found.parameters["target"]) == ("image", TARGETS[-1].name)


def test_a_build_that_is_cut_off_leaves_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # stands for a dpkg-deb that is ended while it writes
    program = tmp_path / "dpkg-deb"
    program.write_text('#!/bin/sh\nshift $(($# - 1))\necho half >"$1"\nkill -KILL $$\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    file = tmp_path / "perceptd_1_all.deb"
    with pytest.raises(subprocess.CalledProcessError):
        pack(tmp_path, file, UNCOMPRESSED)
    assert not file.exists()
    assert [path.read_text() for path in tmp_path.glob("*.deb*")] == ["half\n"]


def test_what_is_built_may_be_read_by_a_web_server_whatever_the_umask() -> None:
    # no image has Debian 12, so nothing is built
    program = "import os, sys; from packages.__main__ import main; main(); print(oct(os.umask(0)))"
    command = [sys.executable, "-c", program, "--image", "--target", "deb12-amd64"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, umask=0o077)
    assert done.stdout == "0o22\n"
    assert "an image has Debian 13: name such a --target" in done.stderr
