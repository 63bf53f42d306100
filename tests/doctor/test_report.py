"""`perceptd doctor` in its own process, with real brokers, recordings and libraries."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from daemon.bundle.bundle import load_bundle
from daemon.bundle.ml_bom_file import write_ml_bom
from daemon.cli.main import main
from daemon.doctor import report as doctor_command
from daemon.doctor.finding import Finding
from daemon.doctor.hardware.document import HardwareReport
from daemon.doctor.report import Report
from daemon.updates.state import UpdateState
from tests.helpers import libraries
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.daemon import ROOT
from tests.helpers.mosquitto import Mosquitto, wait_until
from tests.helpers.publishing import Repository
from tests.helpers.slots import put
from tests.helpers.webserver import WebServer
from tests.node.test_shipped import shipped
from tests.updates.fetching import files_below

DEADLINE_S = 120


def doctor(config: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "daemon", "doctor", "--config", str(config), *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=dict(os.environ, **environment), capture_output=True, text=True, timeout=DEADLINE_S
    )


def found(config: Path, *arguments: str, **environment: str) -> tuple[int, dict[str, dict]]:
    """The exit code, and the findings by check. Standard error tells about a report alone."""
    done = doctor(config, "--json", *arguments, **environment)
    assert done.stderr == "" or "--report" in arguments
    document = json.loads(done.stdout)
    assert document["exit_code"] == done.returncode
    return done.returncode, {finding["check"]: finding for finding in document["findings"]}


def written(directory: Path, config: dict) -> Path:
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump({**config, "state_directory": str(directory / "state")}, sort_keys=False))
    return path


@pytest.fixture
def good(tmp_path: Path, broker: Mosquitto) -> Path:
    """The shipped config, with a running broker."""
    return written(tmp_path, shipped("examined", broker))


def test_findings_are_in_order_and_the_worst_sets_the_exit_code(good: Path) -> None:
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
    assert "passed in" in lines[-1] and lines[-1].endswith(" ms")
    assert not (good.parent / "state").exists(), "doctor writes nothing"
    assert "models" not in done.stdout.replace("models/digits", ""), "without a source there is no finding of it"


def test_a_warning_makes_the_exit_code_1(good: Path, tmp_path: Path) -> None:
    libraries.compile_library(tmp_path, libraries.CRASHES)
    code, findings = found(good, LD_LIBRARY_PATH=str(tmp_path))
    assert code == 1
    assert findings["libedgetpu"]["level"] == "warning"
    assert findings["libedgetpu"]["found"] == "libedgetpu.so.1 crashed: SIGSEGV"


def test_a_library_that_states_its_version_is_good(good: Path, tmp_path: Path) -> None:
    libraries.compile_library(tmp_path, libraries.TELLS)
    _, findings = found(good, LD_LIBRARY_PATH=str(tmp_path))
    assert findings["libedgetpu"]["level"] == "good"
    assert "runtime version 14" in findings["libedgetpu"]["found"]


def test_an_invalid_config_is_reported_and_the_machine_is_still_checked(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    code, findings = found(written(tmp_path, {"node": "annas-house"}), "--report", str(report))
    assert code == 2
    assert findings["config"]["level"] == "failure"
    assert "bundle" in findings["config"]["found"]
    assert {"python", "processor", "memory", "clock", "libedgetpu"} <= findings.keys()
    assert findings.keys().isdisjoint({"broker", "bundle", "self-test cpu"})
    written_report = HardwareReport.model_validate_json(report.read_text())
    assert {each.check: each.found for each in written_report.findings if each.check == "config"} == {"config": None}
    assert all(each.outcome == "works" for each in written_report.decoders if each.way == "software")
    assert "annas" not in report.read_text()
    assert str(tmp_path) not in report.read_text()


def test_missing_broker_and_bundle(tmp_path: Path, good: Path) -> None:
    config = yaml.safe_load(good.read_text())
    config["mqtt"] = {"port": 1, "username": "me", "password": "s3cret"}
    config["bundle"] = str(tmp_path / "none")
    done = doctor(written(tmp_path, config))
    assert done.returncode == 2
    assert "s3cret" not in done.stdout
    failures = [line[6:].split("  ")[0] for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert failures == ["broker", "bundle"]


def test_thresholds_of_an_unknown_label_and_a_failing_self_test(tmp_path: Path, good: Path) -> None:
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


def test_a_damaged_model(tmp_path: Path, good: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "head.tflite").write_bytes(b"no model")
    config = yaml.safe_load(good.read_text()) | {"bundle": str(bundle)}
    code, findings = found(written(tmp_path, config))
    assert code == 2
    assert findings["bundle"]["level"] == "good"
    assert "head.tflite: cannot be loaded" in findings["self-test cpu"]["found"]


def test_a_crashing_runtime_is_reported_and_survived(tmp_path: Path, good: Path) -> None:
    package = tmp_path / "modules" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    report = tmp_path / "report.json"
    code, findings = found(good, "--report", str(report), PYTHONPATH=str(tmp_path / "modules"))
    assert code == 2
    assert not report.exists(), "it would crash doctor"
    assert findings["libraries"]["found"] == "ai-edge-litert crashed: SIGILL"
    assert "processor lacks" in findings["libraries"]["remedy"]
    assert findings["config"]["found"] == "not checked, nor anything that it configures"
    assert "memory" in findings


@pytest.fixture
def sourced(tmp_path: Path, broker: Mosquitto) -> Iterator[tuple[Path, Repository]]:
    """A config with a source that has brightness@1.2.3, which is installed and active."""
    bundle = write_bundle(tmp_path / "bundle")
    write_ml_bom(bundle, load_bundle(bundle).manifest, None)  # else it is made for the release alone
    repository = Repository(tmp_path / "repository").init()
    release = repository.add(bundle)
    repository.publish()
    with WebServer(repository.public).serving() as web:
        models = {"source": web.url, "root": "repository/root.json"}
        path = written(tmp_path, shipped("updated", broker) | {"models": models})
        store = tmp_path / "state" / "models"
        active = put(store, bundle, release)
        base = load_bundle(ROOT / "models" / "digits").manifest.id
        (store / "state.json").write_text(UpdateState(base=base, active=active).model_dump_json())
        yield path, repository


def test_the_source_is_checked_and_the_installed_bundle_tested(
    tmp_path: Path, sourced: tuple[Path, Repository]
) -> None:
    before = files_below(tmp_path / "state")
    _, findings = found(sourced[0])
    assert findings["models"]["level"] == "good"
    assert findings["models"]["found"].endswith(": 1 bundle; the newest brightness is 1.2.3")
    assert findings["models on disk"]["found"].startswith("brightness@1.2.3 is active, digits@")
    assert findings["bundle"]["found"] == "brightness@1.2.3: 3 labels by image"
    assert findings["self-test cpu"]["level"] == "good"
    assert files_below(tmp_path / "state") == before, "doctor writes nothing"


def test_an_unusable_source_is_a_warning_because_the_node_runs(
    tmp_path: Path, sourced: tuple[Path, Repository]
) -> None:
    path, repository = sourced
    repository.root.unlink()
    (slot,) = (tmp_path / "state" / "models" / "slots").iterdir()
    (slot / "head.tflite").write_bytes(b"half")
    code, findings = found(path)
    assert code == 1
    assert findings["models"]["level"] == "warning"
    assert findings["models"]["found"].startswith(f"{repository.root}: cannot be read: No such file")
    assert findings["models on disk"]["found"].startswith("brightness@1.2.3: ")
    assert findings["models on disk"]["found"].endswith("head.tflite is damaged")
    assert findings["bundle"]["found"].startswith("digits@")


@pytest.mark.parametrize("command", [["doctor", "--config"], ["check-config"]])
def test_libraries_for_fetching_are_never_imported_here(sourced: tuple[Path, Repository], command: list[str]) -> None:
    arguments = [*command, str(sourced[0])]
    program = (
        "import atexit, sys\n"
        "heavy = ('tuf', 'urllib3', 'cryptography', 'securesystemslib')\n"
        "atexit.register(lambda: print('HEAVY', [name for name in heavy if name in sys.modules], file=sys.stderr))\n"
        "from daemon.cli.main import main\n"
        f"sys.exit(main({arguments}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S)
    assert "HEAVY []" in done.stderr, done.stdout + done.stderr


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_long_check_and_a_script_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def long_check() -> Iterator[Finding]:
        wait_until(lambda: not terminal.isatty() or "opening ..." in terminal.getvalue(), "the work is shown")
        yield Finding("some", "good", "thing")

    monkeypatch.setattr(doctor_command, "SHOW_CHECK_AFTER_S", 0.02)
    for terminal in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", terminal)
        Report(as_json=True).take("opening", long_check())
        assert terminal.getvalue() == ("\ropening ...\x1b[K\r\x1b[K" if terminal.isatty() else "")


def test_json_is_one_document_with_a_finding_a_line_as_soon_as_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    def checks() -> Iterator[Finding]:
        for number in range(2):
            yield Finding(f"check {number}", "warning", "two\nlines \u2028", "mend it")
            printed.append(capsys.readouterr().out)

    printed: list[str] = []
    report = Report(as_json=True)
    report.take("checking", checks())
    assert report.close() == 1
    line = json.loads(printed[1].strip().strip(","))
    assert line == {"check": "check 1", "level": "warning", "found": "two\nlines \u2028", "remedy": "mend it"}
    document = json.loads("".join([*printed, capsys.readouterr().out]))
    assert [finding["check"] for finding in document["findings"]] == ["check 0", "check 1"]
    assert document["exit_code"] == 1


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    assert "example: sudo perceptd doctor" in capsys.readouterr().out
