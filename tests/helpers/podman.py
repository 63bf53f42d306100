"""Runs images with podman, which leaves this machine as it was. It needs root."""

import json
import os
import resource
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.helpers.container import COMMAND_S, Options, Running
from tests.helpers.mosquitto import wait_until

TOLD: Any = {"capture_output": True, "text": True, "timeout": COMMAND_S, "check": False}
CGROUP2_BESIDE = Path("/sys/fs/cgroup/unified")
# of the containers of this process
NUMBERS = count(1)


class Podman:
    """podman with a storage of its own."""

    name = "podman"

    def __init__(self, directory: Path) -> None:
        self._root = directory / "podman"
        # podman asks for more descriptors and processes than a sandbox may allow
        files, processes = (resource.getrlimit(kind)[1] for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
        self._limits = [f"--ulimit=nofile={min(files, 4096)}", f"--ulimit=nproc={min(processes, 4096)}"]
        self._root.mkdir()
        own_null = self._root / "null"
        os.mknod(own_null, stat.S_IFCHR | 0o666, Path(os.devnull).stat().st_rdev)
        own_null.chmod(0o666)
        # crun of Debian gives /dev/null to the user of a container: https://github.com/containers/crun/issues/1845
        prepared = f"mount --bind {own_null} {os.devnull}"
        if CGROUP2_BESIDE.is_dir():
            # crun refuses both kinds of cgroups at once
            prepared += f" && umount {CGROUP2_BESIDE}"
        # both for the processes of podman alone, which share what they have mounted
        self._mounts = subprocess.Popen(["unshare", "--mount", "sh", "-c", f"{prepared} && exec sleep infinity"])
        comm = Path(f"/proc/{self._mounts.pid}/comm")
        wait_until(lambda: self._mounts.poll() is not None or comm.read_text() == "sleep\n", "mounts of podman")
        self._base = ["nsenter", f"--target={self._mounts.pid}", "--mount"]
        self._base += ["sh", "-c", f'exec "$@" <{os.devnull}', "sh"]
        self._base += ["podman", f"--root={self._root}/root", f"--runroot={self._root}/run"]
        # a reset of the storage takes this folder along, which is by default the one of every podman of root
        self._base += [f"--tmpdir={self._root}/tmp", "--cgroup-manager=cgroupfs"]

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
        name = f"perceptd-{os.getpid()}-{next(NUMBERS)}"
        given = [f"--network={'host' if options.network is None else f'ns:{options.network}'}", *self._limits]
        given += [f"--volume={volume}:/data", "--security-opt=no-new-privileges"]
        given += ["--read-only", "--cap-drop=all"] if options.is_read_only else []
        given += ["--init"] if options.has_init else []
        given += [f"--env={key}={value}" for key, value in options.environment.items()]
        given += [f"--volume={path}:{place}" for place, path in options.folders.items()]
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

    def close(self) -> None:
        """Remove its storage."""
        subprocess.run([*self._base, "system", "reset", "--force"], capture_output=True, check=False, timeout=COMMAND_S)
        self._mounts.kill()
        self._mounts.wait()
        shutil.rmtree(self._root, ignore_errors=True)

    def _run(self, *command: str) -> str:
        done = subprocess.run([*self._base, *command], **TOLD)
        assert done.returncode == 0, f"podman {' '.join(command)}: {done.stderr[-1000:]}"
        return done.stdout.strip()
