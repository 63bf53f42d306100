"""`perceptd doctor` as it is run: a process of its own, with real brokers, recordings and libraries."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from daemon import doctor_command
from daemon.cli import main
from daemon.doctor.finding import Finding
from daemon.doctor_command import Report
from tests.app.test_shipped import shipped
from tests.bundles.builder import write_bundle
from tests.helpers import libraries
from tests.helpers.daemon import ROOT
from tests.helpers.mosquitto import Mosquitto, wait_until

DEADLINE_S = 120


def doctor(config: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "daemon", "doctor", "--config", str(config), *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=dict(os.environ, **environment), capture_output=True, text=True, timeout=DEADLINE_S
    )


def found(config: Path, **environment: str) -> tuple[int, dict[str, dict]]:
    """The exit code, and the findings by check."""
    done = doctor(config, "--json", **environment)
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["exit_code"] == done.returncode
    return done.returncode, {finding["check"]: finding for finding in told["findings"]}


def written(directory: Path, config: dict) -> Path:
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump({"state_directory": str(directory / "state"), **config}, sort_keys=False))
    return path


@pytest.fixture
def good(tmp_path: Path, broker: Mosquitto) -> Path:
    """The shipped config, with a broker that is there."""
    return written(tmp_path, shipped("examined", broker))


def test_all_is_said_in_order_and_the_exit_code_is_of_the_worst(good: Path) -> None:
    done = doctor(good)
    lines = done.stdout.splitlines()
    # whether this machine's clock is synchronised, and what it has of GPUs, is not the test's
    assert done.returncode == (1 if any(line.startswith("WARN") for line in lines) else 0), done.stdout
    assert done.stderr == ""
    checks = [line[6:].split("  ")[0].strip() for line in lines if not line[6:].startswith("gpu ")]
    order = ["python", "libraries", "processor", "memory", "disk", "clock", "libedgetpu"]
    assert [check for check in checks if check not in ("gpu", "jetson")] == [
        *order,
        "config",
        "demo/replay",
        "broker",
        "bundle",
        "self-test cpu",
    ]
    assert "good in" in lines[-1] and lines[-1].endswith(" ms")
    assert not (good.parent / "state").exists(), "it looks, and leaves nothing"


def test_without_warnings_it_is_0_and_with_one_1(good: Path, tmp_path: Path) -> None:
    code, findings = found(good)
    warnings = {check for check, finding in findings.items() if finding["level"] == "warning"}
    assert code == (1 if warnings else 0)
    libraries.compile_library(tmp_path, libraries.CRASHES)
    code, findings = found(good, LD_LIBRARY_PATH=str(tmp_path))
    assert code == 1
    assert findings["libedgetpu"]["level"] == "warning"
    assert findings["libedgetpu"]["found"] == "libedgetpu.so.1 crashed: SIGSEGV"


def test_a_library_that_tells_its_version_is_good(good: Path, tmp_path: Path) -> None:
    libraries.compile_library(tmp_path, libraries.TELLS)
    _, findings = found(good, LD_LIBRARY_PATH=str(tmp_path))
    assert findings["libedgetpu"]["level"] == "good"
    assert "runtime version 14" in findings["libedgetpu"]["found"]


def test_a_config_that_cannot_be_used_is_told_and_the_machine_looked_at_all_the_same(tmp_path: Path) -> None:
    code, findings = found(written(tmp_path, {"node": "n"}))
    assert code == 2
    assert findings["config"]["level"] == "failure"
    assert "bundle" in findings["config"]["found"]
    assert {"python", "processor", "memory", "clock", "libedgetpu"} <= findings.keys()
    assert findings.keys().isdisjoint({"broker", "bundle", "self-test cpu"})


def test_broker_and_bundle_that_are_not_there(tmp_path: Path, good: Path) -> None:
    config = yaml.safe_load(good.read_text())
    config["mqtt"] = {"port": 1, "username": "me", "password": "s3cret"}
    config["bundle"] = str(tmp_path / "none")
    done = doctor(written(tmp_path, config))
    assert done.returncode == 2
    assert "s3cret" not in done.stdout
    failures = [line[6:].split("  ")[0] for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert failures == ["broker", "bundle"]


def test_thresholds_of_no_label_and_a_self_test_that_fails(tmp_path: Path, good: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    cases = {"cases": [{"image": "white.png", "scores": {"bright": 0.1}}] * 5}
    (bundle / "selftest" / "cases.yaml").write_text(json.dumps(cases))
    config = yaml.safe_load(good.read_text())
    config["bundle"] = str(bundle)
    config["streams"]["demo"]["events"] = {"thresholds": {"9": {"start": 0.8, "end": 0.5}}}
    code, findings = found(written(tmp_path, config))
    assert code == 2
    assert "makes no event of it" in findings["bundle"]["found"]
    assert "bright scored" in findings["self-test cpu"]["found"]
    assert "and 2 more" in findings["self-test cpu"]["found"]


def test_a_model_that_is_damaged(tmp_path: Path, good: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "head.tflite").write_bytes(b"no model")
    config = yaml.safe_load(good.read_text()) | {"bundle": str(bundle)}
    code, findings = found(written(tmp_path, config))
    assert code == 2
    assert findings["bundle"]["level"] == "good"
    assert "head.tflite: cannot be loaded" in findings["self-test cpu"]["found"]


def test_a_runtime_that_crashes_is_named_and_survived(tmp_path: Path, good: Path) -> None:
    package = tmp_path / "modules" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    code, findings = found(good, PYTHONPATH=str(tmp_path / "modules"))
    assert code == 2
    assert findings["libraries"]["found"] == "ai-edge-litert crashed: SIGILL"
    assert "processor lacks" in findings["libraries"]["remedy"]
    assert findings["config"]["found"] == "not tried, and neither is what it says"
    assert "memory" in findings


class Terminal(io.StringIO):
    """Standard error where a person looks."""

    def isatty(self) -> bool:
        return True


def test_a_person_is_told_what_takes_long_and_a_script_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def long_check() -> Iterator[Finding]:
        wait_until(lambda: not terminal.isatty() or "opening ..." in terminal.getvalue(), "it is told")
        yield Finding("some", "good", "thing")

    monkeypatch.setattr(doctor_command, "PATIENCE_S", 0.02)
    for terminal in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", terminal)
        Report(as_json=True).take("opening", long_check())
        assert terminal.getvalue() == ("opening ...\r           \r" if terminal.isatty() else "")


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    assert "example: perceptd doctor --config" in capsys.readouterr().out
