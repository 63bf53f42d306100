"""Starts and stops a process, and reads its processor time, memory, descriptors and threads from outside."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO

STOP_DEADLINE_S = 6.0


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory, descriptors and threads of a process at one time.

    PSS includes a share of the memory that is shared with other processes. `allocated_mb` is the memory of the process
    alone. Unlike PSS it does not depend on other processes that map the same libraries.
    """

    pss_mb: float
    allocated_mb: float
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Running:
    """A process, and the file that receives its standard error."""

    process: "subprocess.Popen[bytes]"
    errors: TextIO

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended by itself."""
        return self.process.poll() is not None

    def exit_code(self) -> int | None:
        """The exit code, waiting a little for the end; None if the process still runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(STOP_DEADLINE_S)
        return None

    def fail(self, what: str) -> NoReturn:
        """End the benchmark with a message and the standard error of the process."""
        self.errors.seek(0)
        raise SystemExit(f"{what}: {self.process.args}\n{self.errors.read()}")


@contextmanager
def running(command: Sequence[str | Path | float], directory: Path | None = None) -> Iterator[Running]:
    """Run a command, in `directory` if given, until the block ends. Raises SystemExit if it does not stop in time."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([str(part) for part in command], stderr=errors, cwd=directory)
        try:
            yield Running(process, errors)
        finally:
            _stop(process)


def daemon_command(config: Path) -> list[str | Path]:
    """The command that runs the daemon with a config."""
    return [sys.executable, "-m", "daemon", "run", "--config", config]


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise SystemExit(f"the process did not stop within {STOP_DEADLINE_S} s: {process.args}") from None


def cpu_s(pid: int) -> float:
    """Processor time that a process has used so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def footprint(pid: int) -> Footprint | None:
    """The footprint of a process now; None when it has ended."""
    directory = Path(f"/proc/{pid}")
    with suppress(FileNotFoundError, ProcessLookupError):
        lines = (directory / "smaps_rollup").read_text().splitlines()[1:]
        descriptors, threads = (len(os.listdir(directory / name)) for name in ("fd", "task"))  # noqa: PTH208
        memory_kb = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        if memory_kb:
            return Footprint(memory_kb["Pss"] / 1024, memory_kb["Pss_Anon"] / 1024, descriptors, threads)
    return None
