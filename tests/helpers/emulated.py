"""An arm64 Debian in a directory, whose programs QEMU's user emulation of Debian 13 runs. That of Debian 12 crashes."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.cache import cached, key_of
from tests.helpers.nspawn import MMDEBSTRAP
from tests.helpers.processes import is_running

EMULATOR_PACKAGE = "qemu-user-static"
PACKAGES = ("python3", "libportaudio2", "libstdc++6", "systemd")

BINFMT = Path("/proc/sys/fs/binfmt_misc")
# the kernel starts what has the header of an arm64 program by this interpreter, which it opens here and now (F)
# the number of the tests' process comes behind it: several runs do not take it from each other
NAME = "perceptd-tests-aarch64-"
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"

# that of a Raspberry Pi 4; with the emulator's own one, whose vectors have 2,048 bits, OpenBLAS computes wrongly
PROCESSOR = "cortex-a72"

# the mounts are those of the command alone, so none stays behind
INSIDE = 'cd "$1"; mount -t proc proc proc; mount --rbind /dev dev; mount --rbind /sys sys; shift; exec chroot . "$@"'

DEBIAN_S, COMMAND_S = 3600.0, 900.0


class Emulated:
    """Runs commands in the system in `root`, as root and on the network of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def command(self, *command: str) -> tuple[str, ...]:
        """Return the command for the host that runs a command in the system."""
        environment = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")
        environment += (f"QEMU_CPU={PROCESSOR}",)
        return ("unshare", "--mount", "sh", "-ec", INSIDE, "sh", str(self.root), *environment, *command)

    def run(self, *command: str, check: bool = True, timeout_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
        """Run a command in the system; with `check`, fail with its output if it fails."""
        done = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=timeout_s, check=False)
        assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done


@contextmanager
def emulated_debian(suite: str, directory: Path) -> Iterator[Emulated]:
    """Yield an arm64 Debian in a new directory below `directory`; it is removed at the end."""
    if os.geteuid() != 0:
        pytest.fail("an emulated system needs root")
    emulator_key = key_of(EMULATOR_PACKAGE, "trixie")
    with ExitStack() as stack:
        emulator = stack.enter_context(cached("qemu", emulator_key, _extract_emulator))
        stack.enter_context(_registered(emulator / "qemu-aarch64"))
        key = key_of(suite, *PACKAGES, "arm64")
        image = stack.enter_context(cached(f"arm64-{suite}", key, partial(_make_debian, suite)))
        root = directory / f"{suite}-arm64"
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", image, root], check=True, timeout=DEBIAN_S)
        yield Emulated(root)


@contextmanager
def _registered(emulator: Path) -> Iterator[None]:
    """Let the kernel run arm64 programs by the emulator. A later registration is asked before others."""
    if not (BINFMT / "register").exists():
        _run(["mount", "-t", "binfmt_misc", "none", str(BINFMT)])
    for other in BINFMT.glob(f"{NAME}*"):
        if not is_running(int(other.name.removeprefix(NAME))):
            other.write_text("-1")
    own = BINFMT / f"{NAME}{os.getpid()}"
    (BINFMT / "register").write_text(f":{own.name}:M::{MAGIC}:{MASK}:{emulator}:F")
    try:
        yield
    finally:
        own.write_text("-1")


def _extract_emulator(target: Path) -> None:
    """Fetch the emulator of Debian 13 without installing it."""
    root = target.with_name(f"{target.name}.root")
    _run([*MMDEBSTRAP, "--variant=extract", f"--include={EMULATOR_PACKAGE}", "trixie", str(root)])
    target.mkdir()
    shutil.copy(root / "usr/bin/qemu-aarch64", target)
    shutil.rmtree(root)


def _make_debian(suite: str, root: Path) -> None:
    command = [*MMDEBSTRAP, "--skip=check/qemu", "--architectures=arm64", "--variant=minbase"]
    _run([*command, f"--include={','.join(PACKAGES)}", suite, str(root)])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEBIAN_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
