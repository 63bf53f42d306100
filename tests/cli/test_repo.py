"""`perceptd repo` as people, scripts and cron run it."""

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from daemon import __version__
from daemon.cli import repo as repo_command
from daemon.cli.main import main
from daemon.pipeline import selftest
from daemon.pipeline.selftest import MIN_MB, declared_mb
from daemon.publisher.repository import utc_now
from tests.helpers import format2_bundle
from tests.helpers.bundle_builder import manifest, write_bundle, write_encoder
from tests.helpers.daemon import ROOT
from tests.publisher.device import Device


class Shell:
    """Runs `perceptd repo` in one repository; returns the exit code, and stores stdout and stderr."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory, self._capsys = directory, capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        where = [] if arguments[0] == "init" else ["--repo", str(self.directory)]
        code = main(["repo", *arguments, *where])
        self.out, self.err = self._capsys.readouterr()
        return code


@pytest.fixture
def repo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    shell = Shell(tmp_path / "repo", capsys)
    assert shell("init", str(shell.directory)) == 0
    return shell


def set_clock_ahead(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    def now() -> datetime:
        return utc_now() + timedelta(days=days)

    monkeypatch.setattr(repo_command, "utc_now", now)


def test_init_prints_what_to_serve_to_install_on_devices_and_to_protect(repo: Shell) -> None:
    directory = repo.directory
    assert repo.out.splitlines() == [
        f"{directory}: a repository; 1 of 1 root keys must sign whenever keys change",
        f"serve    {directory}/public",
        f"devices  {directory}/root.json: put it on every device, and name it in config.yaml under models: root",
        f"keys     {directory}/keys: move root-*.pem to a medium that lies in a safe, with a copy; --keys names it "
        "when needed",
    ]
    assert repo("init", str(directory)) == 78
    assert repo.err == f"{directory}: is a repository already\n"


def test_a_published_bundle_reaches_a_device(tmp_path: Path, repo: Shell) -> None:
    assert repo("add", str(ROOT / "models" / "digits")) == 0
    assert repo.out.startswith("digits@0.4.0: 13 files, ")
    assert repo.out.endswith(" staged for perceptd repo publish\n")
    assert repo("status") == 0
    assert repo.out.startswith("published  nothing\nstaged     digits@0.4.0: ")
    assert repo("publish") == 0
    assert repo.out.startswith("published digits@0.4.0: ")
    device = Device(tmp_path / "device", repo.directory / "root.json", repo.directory / "public")
    assert device.bundles() == {"digits@0.4.0"}
    assert repo("publish") == 0
    assert repo.out == "nothing new was staged\n"
    assert repo("add", str(ROOT / "models" / "digits")) == 0
    assert repo.out.endswith("; is published already\n")
    assert repo("refresh") == 0
    assert repo.out.startswith("renewed timestamp, until 20")
    assert repo("rotate-key", "timestamp") == 0
    assert repo.out.startswith(f"timestamp has a new key, {repo.directory}/keys/timestamp.pem; root is at version 2, ")
    assert repo("rotate-key", "root", "1") == 0
    assert device.bundles() == {"digits@0.4.0"}


def test_json_output_of_every_action(tmp_path: Path, repo: Shell) -> None:
    bundle = str(write_bundle(tmp_path / "bundle"))
    assert repo("add", bundle, "--memory-mb", "40", "--needs-perceptd", "0.0.9", "--json") == 0
    added = json.loads(repo.out)
    size = added.pop("size")
    release = {"name": "brightness", "version": "1.2.3", "needs_perceptd": "0.0.9", "memory_mb": 40, "files": 6}
    assert added == {**release, "staged": True}
    assert repo("publish", "--json") == 0
    assert json.loads(repo.out) == {"published": [{**release, "size": size}]}
    assert repo("refresh", "--json") == 0
    assert list(json.loads(repo.out)["renewed"]) == ["timestamp"]
    assert repo("status", "--json") == 0
    status = json.loads(repo.out)
    assert status["published"] == [{**release, "size": size}]
    assert [role["role"] for role in status["roles"]] == ["root", "targets", "snapshot", "timestamp"]
    assert all(role["threshold"] == len(role["keys"]) == 1 and not role["is_urgent"] for role in status["roles"])


def test_the_memory_that_a_bundle_needs_is_measured(tmp_path: Path, repo: Shell) -> None:
    assert repo("add", str(write_bundle(tmp_path / "bundle")), "--json") == 0
    added = json.loads(repo.out)
    assert added["memory_mb"] == MIN_MB
    assert added["needs_perceptd"] == __version__


@pytest.mark.parametrize(("asked", "needs"), [("0.2.0", "0.4.0"), ("0.4.0", "0.4.0"), ("0.10.0", "0.10.0")])
def test_a_bundle_with_label_info_is_published_for_versions_that_read_it(
    tmp_path: Path, repo: Shell, asked: str, needs: str
) -> None:
    bundle = str(write_bundle(tmp_path / "bundle", label_info={"bright": {"shown": True}}))
    assert repo("add", bundle, "--memory-mb", "40", "--needs-perceptd", asked) == 0
    assert f", needs perceptd {needs} and 40 MB" in repo.out
    explained = "has label_info, which versions before 0.4.0 refuse: it needs perceptd 0.4.0 instead of 0.2.0"
    assert (explained in repo.out) == (asked != needs)


def test_no_older_version_is_offered_a_bundle_of_format_2(tmp_path: Path, repo: Shell) -> None:
    bundle = format2_bundle.write_bundle(tmp_path / "bundle", label_info={"bright": {"shown": True}})
    assert repo("add", str(bundle), "--memory-mb", "40", "--needs-perceptd", "0.4.9") == 0
    assert ", needs perceptd 0.5.0 and 40 MB" in repo.out
    explained = "has format 2, which versions before 0.5.0 refuse: it needs perceptd 0.5.0 instead of 0.4.9"
    assert explained in repo.out


def test_a_bundle_of_large_models_needs_more_memory(tmp_path: Path, repo: Shell) -> None:
    side = 2048
    image = manifest()["modalities"]["image"]
    image["input"]["shape"] = [1, side, side, 1]
    bundle = write_bundle(tmp_path / "bundle", modalities={"image": image})
    weights = np.full((2, side * side + 1), 4 / side**2, np.float32)
    weights[1] *= -1
    (bundle / "image.tflite").write_bytes(write_encoder(weights, image["input"]["shape"]))
    assert repo("add", str(bundle), "--json") == 0
    weights_mb, input_mb = weights.nbytes / 2**20, side**2 * 4 / 2**20
    assert weights_mb + input_mb <= json.loads(repo.out)["memory_mb"] <= 8 * (weights_mb + input_mb)


@pytest.mark.parametrize(
    ("memory_kb", "memory_mb"), [(0, 16), (1, 16), (16 * 1024, 16), (16 * 1024 + 1, 24), (99_000, 104)]
)
def test_declared_memory_is_rounded_up_in_steps(memory_kb: int, memory_mb: int) -> None:
    assert declared_mb(memory_kb) == memory_mb


def test_a_bundle_that_fails_its_checks_is_refused_with_the_reason(tmp_path: Path, repo: Shell) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    cases = {"cases": [{"image": "white.png", "scores": {"dark": 1.0}}]}
    (bundle / "selftest" / "cases.yaml").write_text(yaml.safe_dump(cases))
    assert repo("add", str(bundle)) == 78
    assert repo.err.startswith(f"{bundle}: cannot be published:\n{bundle}/selftest/cases.yaml:2: cases.0: dark scored ")
    (bundle / "image.tflite").write_bytes(b"TFL3")
    assert repo("add", str(bundle)) == 78
    assert f"{bundle}/bundle.yaml:" in repo.err
    (bundle / "image.tflite").unlink()
    assert repo("add", str(bundle)) == 78
    assert "no file image.tflite in" in repo.err
    assert repo("status", "--json") == 0
    assert json.loads(repo.out)["staged"] == []


def test_a_bundle_whose_checks_take_too_long_is_refused(
    tmp_path: Path, repo: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "MEASUREMENT_S", 0.0)
    bundle = write_bundle(tmp_path / "bundle")
    assert repo("add", str(bundle)) == 78
    assert repo.err.startswith(f"{bundle}: cannot be published: loading it or its self-test: the system has not ")


def test_a_published_version_with_other_content_is_refused(tmp_path: Path, repo: Shell) -> None:
    repo("add", str(write_bundle(tmp_path / "bundle")))
    repo("publish")
    assert repo("add", str(write_bundle(tmp_path / "other", description="better"))) == 78
    assert repo.err.startswith("brightness@1.2.3 is published with other files, and a version never changes: ")


def test_status_and_refresh_report_expiring_roles(repo: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock_ahead(monkeypatch, 6)
    assert repo("status") == 1
    assert "timestamp  version 1 expires in 1.0 of 7 days, on 20" in repo.out
    assert "; run perceptd repo refresh, and check the daily job that should run it\n" in repo.out
    set_clock_ahead(monkeypatch, 8)
    assert repo("status") == 1
    assert "timestamp  version 1 EXPIRED 1.0 days ago, on 20" in repo.out
    assert repo("refresh") == 0
    assert repo("status") == 0
    for name in ("root-1", "targets"):
        (repo.directory / "keys" / f"{name}.pem").unlink()
    set_clock_ahead(monkeypatch, 80)
    assert repo("refresh") == 1
    assert [line.split(",")[0] for line in repo.out.splitlines()] == ["renewed snapshot", "renewed timestamp"]
    assert repo.err.startswith("targets expires in 10.0 of 90 days, on 20")
    assert repo.err.endswith("; run perceptd repo refresh where its key is (--keys)\n")
    set_clock_ahead(monkeypatch, 91)
    assert repo("refresh") == 1
    assert repo.err.startswith("targets EXPIRED 1.0 days ago, ")


def test_publish_succeeds_although_a_role_expires_soon(
    tmp_path: Path, repo: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo("add", str(write_bundle(tmp_path / "bundle")))
    set_clock_ahead(monkeypatch, 300)
    assert repo("publish") == 0
    assert repo.out.startswith("published brightness@1.2.3: ")
    assert repo.err.startswith("root expires in 65.0 of 365 days, on 20")


def test_a_wrong_clock_is_reported_and_a_right_one_signs_again(repo: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock_ahead(monkeypatch, 1800)
    assert repo("refresh") == 0
    monkeypatch.undo()
    assert repo("status") == 1
    assert "timestamp  version 2 expires in 1807.0 of 7 days, on 20" in repo.out
    assert "; a clock is or was wrong: set it, or run perceptd repo refresh --clock-is-right where " in repo.out
    assert repo("refresh") == 78
    assert repo.err.startswith("this machine's clock says 20")
    assert repo("refresh", "--clock-is-right") == 0
    assert repo("refresh") == repo("status") == 0


def test_a_damaged_key_is_reported_and_the_timestamp_renewed(repo: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    path = repo.directory / "keys" / "snapshot.pem"
    path.write_text("x")
    set_clock_ahead(monkeypatch, 21)
    assert repo("refresh") == 1
    assert repo.out.startswith("renewed timestamp, until ")
    assert repo.err.startswith(f"snapshot is not renewed: {path}: is not a private key in PEM")


def test_keys_that_others_can_read_are_reported_once(repo: Shell) -> None:
    for name in ("snapshot", "targets"):
        (repo.directory / "keys" / f"{name}.pem").chmod(0o644)
    keys = repo.directory / "keys"
    assert repo("refresh") == 0
    assert repo.err == f"{keys}/snapshot.pem: other users can read this key and 1 more: chmod 600 {keys}/*.pem\n"


def test_a_missing_published_file_is_reported_and_restored_by_add(tmp_path: Path, repo: Shell) -> None:
    bundle = str(write_bundle(tmp_path / "bundle"))
    repo("add", bundle)
    repo("publish")
    lost = next((repo.directory / "public" / "targets").rglob("*.head.tflite"))
    lost.unlink()
    assert repo("status") == 1
    assert f"damaged    {lost}: is missing; restore it, or add brightness@1.2.3 again, which restores it\n" in repo.out
    assert repo("refresh") == 1
    assert repo.err.startswith(f"{lost}: is missing; ")
    assert repo("add", bundle) == 0
    assert repo.out.endswith("; is published already; 1 of its files were missing or damaged, and are back\n")
    assert repo("status") == 0


def test_json_output_of_init_and_rotate_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(tmp_path / "repo", capsys)
    assert shell("init", str(shell.directory), "--json") == 0
    assert json.loads(shell.out) == {
        "repository": str(shell.directory),
        "public": f"{shell.directory}/public",
        "root": f"{shell.directory}/root.json",
        "keys": f"{shell.directory}/keys",
    }
    assert shell("rotate-key", "root", "--json") == 0
    assert json.loads(shell.out) == {"role": "root", "keys": [f"{shell.directory}/keys/root-1.pem"], "root_version": 2}
    assert shell("rotate-key", "root") == 0
    assert "\nmove it away, to where root keys are safe; new devices are given " in shell.out


def test_init_sets_the_lifetimes_of_all_later_signatures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(tmp_path / "repo", capsys)
    days = {"root": 700, "targets": 200, "snapshot": 60, "timestamp": 2}
    assert shell("init", str(shell.directory), *(f"--{role}-days={count}" for role, count in days.items())) == 0
    for command in ("refresh", "publish"):
        assert shell(command) == 0
    assert shell("status", "--json") == 0
    roles = json.loads(shell.out)["roles"]
    assert {role["role"]: role["lifetime_days"] for role in roles} == days
    assert {role["role"]: round(role["days_left"]) for role in roles} == days


def test_root_keys_may_be_stored_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(tmp_path / "repo", capsys)
    assert shell("init", str(shell.directory), "--root-keys", "3", "--threshold", "2") == 0
    for number in (1, 2, 3):
        stick = tmp_path / f"stick-{number}"
        stick.mkdir()
        (shell.directory / "keys" / f"root-{number}.pem").rename(stick / f"root-{number}.pem")
    here, first, third = (["--keys", str(path)] for path in (shell.directory / "keys", tmp_path / "stick-1", stick))
    assert shell("refresh") == 0
    assert shell("rotate-key", "timestamp", *here, *first) == 78
    assert shell.err.startswith("root needs 2 of its 3 keys, found 1; searched ")
    assert shell("rotate-key", "timestamp", *here, *first, *third) == 0
    assert shell("refresh") == 0


@pytest.mark.parametrize(
    "arguments",
    [["--threshold", "2"], ["--root-keys", "2", "--threshold", "3"]],
)
def test_a_threshold_that_cannot_be_met_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["repo", "init", str(tmp_path / "repo"), *arguments]) == 78
    assert "expected 1 to " in capsys.readouterr().err
    assert not (tmp_path / "repo").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init", "x", "--root-keys", "0"], "expected a number from 1 to 100, found '0'"),
        (["init", "x", "--timestamp-days", "4000"], "expected a number from 1 to 3650"),
        (["add", "x", "--needs-perceptd", "1.2"], "expected three numbers like "),
        (["add", "x", "--needs-perceptd", "0.05.0"], "expected three numbers like "),
        (["add", "x", "--needs-perceptd", "٠.١.٢"], "expected three numbers like "),
        (["init", "x", "--root-keys", "٣"], "expected a number from 1 to 100"),
        (["rotate-key", "mirrors"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_explained(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit):
        main(["repo", *arguments])
    assert message in capsys.readouterr().err


def test_a_directory_that_cannot_be_written_is_reported(repo: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", str(repo.directory / "pending.new"))

    monkeypatch.setattr(os, "fsync", fail)
    assert repo("refresh") == 78
    assert repo.err == f"{repo.directory}/pending.new: No space left on device\n"


def test_refresh_signs_with_a_key_from_the_environment_and_never_prints_it(repo: Shell) -> None:
    path = repo.directory / "keys" / "timestamp.pem"
    secret = path.read_text()
    path.unlink()
    command = [sys.executable, "-m", "daemon", "repo", "refresh", "--repo", str(repo.directory)]
    environment = {**os.environ, "PERCEPTD_KEY_TIMESTAMP": secret}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert secret.splitlines()[1] not in done.stdout + done.stderr
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert done.stderr.startswith("timestamp needs 1 of its 1 keys, found 0; searched ")


def test_help_imports_no_library_for_signing() -> None:
    program = (
        "import sys; from daemon.cli.main import main\n"
        "try: main(['repo', 'refresh', '--help'])\n"
        "finally: print([name for name in ('tuf', 'cryptography', 'pydantic', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("\n[]\n")
    assert "perceptd repo refresh --repo /srv/models" in done.stdout
    assert "PERCEPTD_KEY_TIMESTAMP" in done.stdout
