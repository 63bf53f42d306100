"""Runs an image: by podman where it can run, else by systemd-nspawn in the unpacked files. On the host's network."""

import io
import json
import os
import resource
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.helpers.mosquitto import wait_until

COMMAND_S = 120.0
DEVNULL = subprocess.DEVNULL
TOLD: Any = {"capture_output": True, "text": True, "timeout": COMMAND_S, "check": False}
CGROUP2_BESIDE = Path("/sys/fs/cgroup/unified")


@dataclass
class Running:
    """A container that runs. `log` is what it prints."""

    process: "subprocess.Popen[bytes]"
    log: Path
    # what starts a command in it, as its user
    inside: Sequence[str]
    # what sends it a signal by number
    signalling: Sequence[str]

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as its user."""
        done = subprocess.run(
            [*self.inside, *command],
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""
        subprocess.run([*self.signalling, str(int(number))], check=True, capture_output=True, timeout=COMMAND_S)

    def stop(self) -> tuple[int, float]:
        """Stop it as engines do; return its exit code, and the seconds that took."""
        began = time.monotonic()
        self.send(signal.SIGTERM)
        return self.process.wait(COMMAND_S), time.monotonic() - began

    def printed(self) -> str:
        """Return what it has printed."""
        return self.log.read_text(errors="replace")


@dataclass
class Options:
    """How a container is started: further environment, folders by their place in it, groups, and a command."""

    environment: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    user: str | None = None
    groups: Sequence[int] = ()
    is_read_only: bool = True
    command: Sequence[str] = ()


class Engine(Protocol):
    """What runs images."""

    name: str

    def load(self, archive: Path) -> str:
        """Take an image; return what names it."""

    def configuration(self, image: str) -> dict[str, Any]:
        """Return the configuration of an image."""

    def running(self, image: str, volume: Path, log: Path, options: Options) -> Any:
        """Run an image during a block, with a volume at /data; yield Running."""


class Podman:
    """podman with a storage of its own."""

    name = "podman"

    def __init__(self, directory: Path) -> None:
        self._root = directory / "podman"
        # podman asks for more descriptors and processes than a sandbox may allow
        files, processes = (resource.getrlimit(kind)[1] for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
        self._limits = [f"--ulimit=nofile={min(files, 4096)}", f"--ulimit=nproc={min(processes, 4096)}"]
        self._base = ["podman", f"--root={self._root}/root", f"--runroot={self._root}/run", "--cgroup-manager=cgroupfs"]
        if CGROUP2_BESIDE.is_dir():
            # crun refuses both kinds of cgroups at once; only these processes do without the second
            self._base = ["unshare", "--mount", "sh", "-c", f'umount {CGROUP2_BESIDE}; exec "$@"', "sh", *self._base]

    def problem(self, archive: Path) -> str | None:
        """Return why podman cannot run an image here; None: it can."""
        if shutil.which("podman") is None:
            return "podman is not installed"
        try:
            self._run("run", "--rm", "--network=host", *self._limits, self.load(archive), "true")
        except AssertionError as error:
            return str(error)
        return None

    def load(self, archive: Path) -> str:
        told = self._run("load", "--quiet", "--input", str(archive))
        return told.splitlines()[0].rpartition(" ")[2]

    def configuration(self, image: str) -> dict[str, Any]:
        (found,) = json.loads(self._run("image", "inspect", image))
        return {**found["Config"], "Healthcheck": found.get("HealthCheck") or found.get("Healthcheck")}

    @contextmanager
    def running(self, image: str, volume: Path, log: Path, options: Options) -> Iterator[Running]:
        name = f"perceptd-{os.getpid()}"
        given = ["--network=host", f"--volume={volume}:/data", *self._limits, "--security-opt=no-new-privileges"]
        given += ["--read-only", "--cap-drop=all"] if options.is_read_only else []
        given += [f"--env={key}={value}" for key, value in options.environment.items()]
        given += [f"--volume={path}:{place}" for place, path in options.folders.items()]
        given += [f"--group-add={group}" for group in options.groups]
        given += [] if options.user is None else [f"--user={options.user}"]
        command = [*self._base, "run", "--rm", f"--name={name}", "--log-driver=none", "--no-healthcheck", *given]
        with log.open("ab") as file:
            process = subprocess.Popen(
                [*command, image, *options.command], stdout=file, stderr=file, stdin=subprocess.DEVNULL
            )
        try:
            yield Running(process, log, [*self._base, "exec", name], [*self._base, "kill", name, "--signal"])
        finally:
            subprocess.run([*self._base, "rm", "--force", name], capture_output=True, check=False, timeout=COMMAND_S)
            process.wait(COMMAND_S)
            # the engine has given its standard input to the container's user, which was this machine's own /dev/null
            os.chown(os.devnull, 0, 0)

    def close(self) -> None:
        """Remove its storage."""
        subprocess.run([*self._base, "system", "reset", "--force"], capture_output=True, check=False, timeout=COMMAND_S)

    def _run(self, *command: str) -> str:
        done = subprocess.run([*self._base, *command], **TOLD)
        assert done.returncode == 0, f"podman {' '.join(command)}: {done.stderr[-1000:]}"
        return done.stdout.strip()


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
        inside = ["setpriv", f"--reuid={user}", f"--regid={group or user}", "--no-new-privs"]
        inside += [f"--groups={','.join(map(str, options.groups))}"] if options.groups else ["--clear-groups"]
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
        given += ["--read-only", "--tmpfs=/tmp:mode=1777", "--tmpfs=/var/tmp:mode=1777"] if options.is_read_only else []
        given += [f"--bind={path}:{place}" for place, path in options.folders.items()]
        command = ["setpriv", "--pdeathsig=KILL", "systemd-nspawn", f"--machine=perceptd-{os.getpid()}", *given]
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


@contextmanager
def engine(directory: Path, archive: Path) -> Iterator[tuple[Engine, str | None]]:
    """Yield what runs images here during a block, tried with one; and, if that is not podman, why not."""
    podman = Podman(directory)
    problem = podman.problem(archive)
    chosen = podman if problem is None else Unpacked(directory)
    try:
        yield chosen, problem
    finally:
        chosen.close()
        podman.close()


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
