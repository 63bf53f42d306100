"""Runs an image where podman cannot: systemd-nspawn in the unpacked files."""

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from tests.helpers.container import COMMAND_S, Options, Running
from tests.helpers.mosquitto import wait_until

# of the containers of this process
NUMBERS = count(1)


class Unpacked:
    """The files of an image in a folder, in which systemd-nspawn runs its command: not booted, and not as root."""

    name = "systemd-nspawn"

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "unpacked"

    def load(self, archive: Path) -> str:
        root = self._directory / str(len(list(self._directory.glob("*"))))
        root.mkdir(parents=True)
        with tarfile.open(archive) as image:
            (manifest,) = json.load(_member(image, "manifest.json"))
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=io.BytesIO(_member(image, layer).read())) as files:
                    _unpack_layer(files, root)
            shutil.copyfileobj(_member(image, manifest["Config"]), (root.with_suffix(".json")).open("wb"))
        return str(root)

    def configuration(self, image: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(Path(image).with_suffix(".json").read_text())["config"]
        return found

    @contextmanager
    def running(self, image: str, volume: Path, log: Path, options: Options) -> Iterator[Running]:
        configured = self.configuration(image)
        user, _, group = (options.user or configured["User"] or "0:0").partition(":")
        environment = [*configured["Env"], *(f"{key}={value}" for key, value in options.environment.items())]
        inside = ["setpriv", f"--reuid={user}", f"--regid={group or user}", "--no-new-privs", "--clear-groups"]
        inside += ["--bounding-set=-all"] if options.is_read_only else []
        inside += ["env", "-i", *environment]
        given = [
            "--register=no",
            "--keep-unit",
            "--quiet",
            "--console=pipe",
            f"--directory={image}",
            f"--bind={volume}:/data",
        ]
        given += [] if options.network is None else [f"--network-namespace-path={options.network}"]
        given += ["--read-only", "--tmpfs=/tmp:mode=1777", "--tmpfs=/var/tmp:mode=1777"] if options.is_read_only else []
        given += [f"--bind={path}:{place}" for place, path in options.folders.items()]
        command = [
            "setpriv",
            "--pdeathsig=KILL",
            "systemd-nspawn",
            f"--machine=perceptd-{os.getpid()}-{next(NUMBERS)}",
            *given,
        ]
        with log.open("ab") as file:
            process = subprocess.Popen(
                [*command, *inside, *(options.command or configured["Cmd"])],
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
            )
        try:
            wait_until(lambda: _leader(process) is not None, "the container starts")
            leader = _leader(process)
            yield Running(
                process, log, ["nsenter", f"--target={leader}", "--all", *inside], ["sh", "-c", f"kill -$0 {leader}"]
            )
        finally:
            if process.poll() is None and (leader := _leader(process)) is not None:
                os.kill(leader, signal.SIGKILL)
            process.wait(COMMAND_S)

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _leader(process: "subprocess.Popen[bytes]") -> int | None:
    """Return the host's pid of the first process: the child of systemd-nspawn in a namespace of its own."""
    assert process.poll() is None, "systemd-nspawn has ended"
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        with suppress(OSError):  # a child that only starts another one
            if Path(f"/proc/{child}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink():
                return int(child)
    return None


def _member(archive: tarfile.TarFile, name: str) -> Any:
    found = archive.extractfile(name)
    assert found is not None, name
    return found


def _unpack_layer(files: tarfile.TarFile, root: Path) -> None:
    """Unpack a layer over those below it. An empty file .wh.NAME says that NAME is gone."""
    kept = []
    for member in files:
        path = Path(member.name)
        if path.name.startswith(".wh."):
            gone = root / path.parent / path.name.removeprefix(".wh.")
            shutil.rmtree(gone) if gone.is_dir() and not gone.is_symlink() else gone.unlink(missing_ok=True)
        else:
            kept.append(member)
    files.extractall(root, kept, numeric_owner=True, filter="fully_trusted")
