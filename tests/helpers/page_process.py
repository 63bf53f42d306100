"""The page of a node as a process of its own, as `perceptd page` runs it."""

import re
import subprocess
import sys
from pathlib import Path

from tests.helpers.daemon import ROOT

STOP_S = 10.0


class PageProcess:
    """`perceptd page` on a free loopback port, for the node of a config. A context manager."""

    def __init__(self, config: Path, directory: Path) -> None:
        """`directory` gets its log."""
        self._command = [sys.executable, "-m", "daemon", "page", "--config", str(config)]
        self._log = directory / "page.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*self._command, "--listen", "127.0.0.1:0"], cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def __enter__(self) -> "PageProcess":
        assert self.process.stdout is not None
        found = re.search(r"the page is at (http://\S+/)", self.process.stdout.readline())
        assert found is not None, self.log
        self.url = found[1]
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def log(self) -> str:
        """Everything that the page has logged so far."""
        return self._log.read_text()

    def link(self) -> str:
        """Return a link that logs in as the owner, once."""
        done = subprocess.run([*self._command, "--link"], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def set_password(self, password: str, role: str = "owner") -> None:
        """Set the password of a role."""
        command = [*self._command, "--set-password", "--role", role]
        subprocess.run(command, cwd=ROOT, input=f"{password}\n", capture_output=True, text=True, check=True)
