"""The processes of the demo: a private broker, the daemon, which is measured from outside, and its page."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 6.0


@contextlib.contextmanager
def broker(directory: Path) -> Iterator[int]:
    """Run a private mosquitto on a free loopback port; yields the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    directory.chmod(0o755)
    settings = directory / "mosquitto.conf"
    settings.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\nset_tcp_nodelay true\n"
    )
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "mosquitto"
    process = subprocess.Popen([program, "-c", settings], start_new_session=True)
    try:
        _wait_for_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(STOP_DEADLINE_S)


def _wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.02)
    raise SystemExit(f"mosquitto did not start on port {port}")


def _environment(directory: Path) -> dict[str, str]:
    return os.environ | {"STATE_DIRECTORY": str(directory / "state")}


class Page:
    """Runs the page of the daemon as a process, on a free loopback port. A context manager."""

    def __init__(self, config: Path, directory: Path) -> None:
        """`directory` is that of the demo, whose daemon runs with this config."""
        self._command = [sys.executable, "-m", "daemon", "page", "--config", str(config)]
        self._environment = _environment(directory)
        with (directory / "page.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, "--listen", "127.0.0.1:0"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=self._environment,
            )
        self._log = directory / "page.log"

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def invitation(self) -> str:
        """Wait until the page listens; return a line with the link that logs in, or why there is none."""
        if self._process.stdout is None or not self._process.stdout.readline():
            return f"There is no page: {self._log.read_text(errors='replace').strip()}"
        command = [*self._command, "--link"]
        done = subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"There is no link to the page: {done.stderr.strip()}"
        return f"See it in a browser, within ten minutes: {done.stdout.strip()}"


class Daemon:
    """Runs the daemon as a process, and measures its memory and processor time from outside."""

    def __init__(self, config: Path, port: int, log: Path) -> None:
        command = [sys.executable, "-m", "daemon", "run", "--config", config, "--broker", f"127.0.0.1:{port}"]
        self.started = time.monotonic()
        # a temporary directory, because the next demo does not need the state of this one
        environment = _environment(log.parent)
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=file, start_new_session=True, env=environment)
        self.peak_pss_mb = 0.0
        self.cpu_s = 0.0
        self.uptime_s = 0.0

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def sample(self) -> None:
        """Measure the memory and the processor time used so far."""
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
            pss_kb = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            self.peak_pss_mb = max(self.peak_pss_mb, pss_kb / 1024)
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            self.cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            self.uptime_s = time.monotonic() - self.started

    def stop(self) -> int:
        """Stop the daemon; returns its exit code."""
        self.sample()
        self.process.terminate()
        try:
            return self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            print(f"the daemon did not stop within {STOP_DEADLINE_S:g} s and was killed", file=sys.stderr)
            self.process.kill()
            return self.process.wait()
