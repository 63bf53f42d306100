"""As root, doctor and check-config test what the user of the service may use. No account is made for the tests."""

import os
import pwd
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.config.node import load_config
from daemon.doctor.node import NodeChecks
from daemon.doctor.service_files import STATE_DIRECTORY, access_findings, needs_of
from daemon.doctor.service_user import Need, Service, denials, find_service

# neither a user nor a group of this number exists
STRANGER, GROUP = 54_321, 54_322

CONFIG = """\
node: n
bundle: bundle
models: {source: "file:///srv/models", root: root.json}
devices: {gpu_delegate: {library: ./delegate.so}}
mqtt:
  password_file: password
  tls: {ca_file: ca.pem, certificate_file: own.pem, key_file: own.key}
metrics: {token_file: token}
streams:
  a: {camera: 7, microphone: default}
  b: {camera: /dev/v4l/by-id/cam, microphone: default}
  c: {camera: "rtsp://u:p@cam/x"}
  d: {replay: {file: clip.mp4, text: lines.txt}}
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


@pytest.fixture
def service() -> Service:
    return Service("stranger", STRANGER, STRANGER, (GROUP,))


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may enter: pytest's own belong to one user alone."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def make(public: Path) -> Callable[..., Path]:
    """A function that makes a file which only root and a group may read."""

    def file(name: str, mode: int = 0o640, gid: int = 0) -> Path:
        path = public / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.chown(path, 0, gid)
        path.chmod(mode)
        return path

    return file


def denied(service: Service, *needs: Need) -> list[str]:
    return [denial.need.where for denial in denials(service, needs)]


def test_everything_that_a_config_names_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    needs = {need.path.removeprefix(f"{tmp_path}/"): need for need in needs_of(load_config(path))}
    essential = {"config.yaml", "bundle", "password", "ca.pem", "own.pem", "own.key"}
    assert {path for path, need in needs.items() if need.essential} == essential
    others = {"root.json", "token", "delegate.so", "/srv/models", "clip.mp4", "lines.txt", STATE_DIRECTORY}
    devices = {"/dev/video7", "/dev/v4l/by-id/cam"}
    assert set(needs) == essential | others | devices
    assert {path for path, need in needs.items() if need.use == "device"} == devices
    assert needs["password"].where == f"{path}:6: mqtt.password_file"


@needs_root
def test_files_are_readable_by_owner_group_or_others(service: Service, make: Callable[..., Path]) -> None:
    of_root, of_group, of_all = make("root"), make("group", gid=GROUP), make("all", 0o644)
    needs = [Need(path.name, str(path)) for path in (of_root, of_group, of_all)]
    assert denied(service, *needs, Need("missing", str(of_root.parent / "none"))) == ["root"]
    (denial,) = denials(service, needs)
    assert str(denial) == (
        f"root: the service's user stranger may not read {of_root}; "
        f"sudo chgrp {STRANGER} {of_root}; sudo chmod g+r {of_root}"
    )


@needs_root
def test_what_is_in_the_way_of_a_path_is_named(service: Service, make: Callable[..., Path], public: Path) -> None:
    inside = make("bundle/model.tflite", 0o644)
    make("bundle/head.tflite", 0o600)
    bundle = inside.parent
    bundle.chmod(0o755)
    (denial,) = denials(service, [Need("bundle", str(bundle), "directory")])
    assert denial.found.endswith(f"because of {bundle / 'head.tflite'}")
    assert denial.remedy == f"sudo chgrp -R {STRANGER} {bundle}; sudo chmod -R g+rX {bundle}"
    link = public / "link"
    link.symlink_to(inside)
    bundle.chmod(0o700)
    for path in (inside, link):
        (denial,) = denials(service, [Need("model", str(path))])
        assert denial.found.endswith(f"may not read {path}, because of {bundle}")
        assert denial.remedy == "copy it to where stranger may read it, such as /etc/perceptd"


@needs_root
def test_devices_and_the_state_are_written_too(service: Service, make: Callable[..., Path]) -> None:
    camera = make("camera", 0o640, GROUP)
    link = camera.with_name("by-id")
    link.symlink_to(camera)
    for path in (camera, link):
        (denial,) = denials(service, [Need("camera", str(path), "device")])
        assert denial.remedy == f"sudo usermod -aG {GROUP} stranger, and restart the service"
    camera.chmod(0o660)
    assert denied(service, Need("camera", str(camera), "device")) == []
    state = make("state/outbox", 0o644).parent
    state.chmod(0o755)
    (denial,) = denials(service, [Need("state", str(state), "state")])
    assert denial.remedy == f"sudo chown -R stranger: {state}"
    os.chown(state, STRANGER, STRANGER)
    assert denied(service, Need("state", str(state), "state")) == []


@needs_root
def test_directories_that_the_unit_hides_are_named(service: Service) -> None:
    hiding = Service(service.user, STRANGER, STRANGER, (), ("/root", "/usr/share"))
    (denial,) = denials(hiding, [Need("bundle", "/usr/share/doc", "directory"), Need("a", "/usr/bin/env")])
    assert denial.found == "the unit hides /usr/share from the service, and /usr/share/doc is there"
    assert denial.remedy == "copy it into /etc/perceptd or /var/lib/stranger"


@needs_root
@pytest.mark.parametrize("is_hidden", [True, False])
def test_a_bundle_that_a_person_got_is_got_again_for_the_service(public: Path, is_hidden: bool) -> None:
    home = public / "sam"
    bundle = home / ".local" / "share" / "perceptd" / "bundles" / "home"
    bundle.mkdir(parents=True)
    home.chmod(0o700)
    service = Service("stranger", STRANGER, STRANGER, (), (str(home),) if is_hidden else ())
    (denial,) = denials(service, [Need("config.yaml:2: bundle", str(bundle), "directory", essential=True)])
    reason = f"the unit hides {home} from the service" if is_hidden else f"because of {home};"
    assert reason in str(denial)
    assert str(denial).endswith("; get it for the service: sudo perceptd bundle get home")


@needs_root
def test_findings_of_doctor(service: Service, make: Callable[..., Path]) -> None:
    config = make("config.yaml", 0o644)
    make("password", 0o600)
    make("clip.mp4", 0o600)
    config.write_text("node: n\nbundle: b\nmqtt: {password_file: password}\nstreams: {s: {replay: {file: clip.mp4}}}\n")
    first, second = access_findings(service, load_config(config))
    assert (first.level, second.level) == ("failure", "warning")
    assert first.line().startswith(f"FAIL  access            {config}:3: mqtt.password_file: the service's user")
    for name in ("password", "clip.mp4"):
        make(name, 0o644)
    (good,) = access_findings(service, load_config(config))
    assert good.level == "good"


def test_doctor_looks_at_the_state_of_the_service(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("node: n\nbundle: b\nstreams: {s: {camera: 0}}\n")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    (finding,) = NodeChecks(config, service).state_disk()
    assert finding.found.split(",")[0].endswith(f"MB free for {STATE_DIRECTORY}")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    (finding,) = NodeChecks(config, service).state_disk()
    assert finding.found.split(",")[0].endswith(f"MB free for {tmp_path}")


@needs_root
def test_user_groups_and_hidden_directories_come_from_the_unit(tmp_path: Path) -> None:
    account = pwd.getpwuid(1)
    assert find_service([tmp_path]) is None or pwd.getpwnam("perceptd")
    drop_ins = tmp_path / "perceptd.service.d"
    drop_ins.mkdir()
    (tmp_path / "perceptd.service").write_text("[Service]\nUser=perceptd\nProtectHome=yes\nPrivateTmp=yes\n")
    (drop_ins / "override.conf").write_text(f"[Service]\nUser={account.pw_name}\nPrivateTmp=no\n")
    service = find_service([tmp_path])
    assert service is not None
    assert (service.user, service.uid, service.gid) == (account.pw_name, account.pw_uid, account.pw_gid)
    assert service.hidden == ("/home", "/root", "/run/user")
