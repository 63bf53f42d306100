"""Debian's Prometheus on a free loopback port, which scrapes one node."""

import json
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.helpers.mosquitto import wait_until
from tests.helpers.ports import free_port

SCRAPE_EVERY_S = 0.5


class Prometheus:
    """A server with the rules of a file. A context manager."""

    def __init__(self, target: str, token_file: Path, rules: Path) -> None:
        """`target` is the address of the node's metrics, HOST:PORT."""
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="prometheus-"))
        job = {
            "job_name": "perceptd",
            "authorization": {"credentials_file": str(token_file)},
            "static_configs": [{"targets": [target]}],
        }
        every = {"scrape_interval": f"{round(SCRAPE_EVERY_S * 1000)}ms", "scrape_timeout": "500ms"}
        config = {"global": every, "rule_files": [str(rules)], "scrape_configs": [job]}
        (self._directory / "prometheus.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> "Prometheus":
        command = [
            "prometheus",
            f"--config.file={self._directory}/prometheus.yml",
            f"--storage.tsdb.path={self._directory}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._is_ready, "Prometheus is ready")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression gives now."""
        found = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        assert found["status"] == "success", found
        return list(found["data"]["result"])

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules with the result of their latest evaluation."""
        return [rule for group in self._get("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return dict(json.load(answer))

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2):
                return True
        except OSError:
            return False
