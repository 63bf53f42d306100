"""After an interruption at any step of a command, devices can use the repository and further commands work."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from daemon.core.errors import Refused
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.campaign import share
from tests.helpers.publishing import Repository
from tests.publisher.device import Device

# the calls that change names on the disk; content is always written under a temporary name first
STEPS = ((Path, "replace"), (Path, "rename"), (Path, "mkdir"), (os, "unlink"), (os, "rmdir"))


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip fsync: the tests interrupt processes, not machines, and hundreds of tries would wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Cut(BaseException):
    """The interruption; not an Exception, so that no cleanup for errors runs."""


@contextmanager
def cut_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[list[str]]:
    """Raise Cut instead of the step of that number and of every later step."""
    done: list[str] = []

    def cutting(name: str, real: Callable) -> Callable:
        def step(*arguments: object, **named: object) -> object:
            done.append(name)
            if len(done) >= number:
                raise Cut
            return real(*arguments, **named)

        return step

    with monkeypatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, cutting(name, getattr(owner, name)))
        yield done


ACTIONS: dict[str, Callable[[Repository], object]] = {
    "publish": lambda repository: repository.publish(),
    "refresh": lambda repository: repository.refresh(),
    "timestamp": lambda repository: repository.rotate("timestamp"),
    "targets": lambda repository: repository.rotate("targets"),
    "root": lambda repository: repository.rotate("root"),
}


@pytest.mark.campaign("interrupted-commands")
@pytest.mark.parametrize("action", ACTIONS)
def test_a_command_can_be_interrupted_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    bundles = [write_bundle(tmp_path / version, version=version) for version in ("1.0.0", "2.0.0", "3.0.0")]
    begun = Repository(tmp_path / "begun").init()
    begun.add(bundles[0])
    begun.publish()
    begun.add(bundles[1])
    with cut_at(monkeypatch, 1000) as steps:
        ACTIONS[action](Repository(shutil.copytree(begun.directory, tmp_path / "whole" / "repository")))
    assert len(steps) > 5, "the steps are not those that are cut"
    for number in share(range(1, len(steps) + 1), 6, f"interrupted {action}"):
        directory = tmp_path / f"try-{number}"
        repository = Repository(shutil.copytree(begun.directory, directory / "repository"))
        old, away = (Device(directory / name, repository.root, repository.public) for name in ("old", "away"))
        old.refresh()
        with cut_at(monkeypatch, number), suppress(Cut):
            ACTIONS[action](repository)
        found = old.bundles()
        assert found in ({"brightness@1.0.0"}, {"brightness@1.0.0", "brightness@2.0.0"})
        assert Device(directory / "new", repository.root, repository.public).bundles() == found
        repository.rotate("timestamp")
        repository.add(bundles[2])
        repository.publish()
        assert old.bundles() == away.bundles() == {"brightness@1.0.0", "brightness@2.0.0", "brightness@3.0.0"}


def test_the_creation_of_a_repository_can_be_interrupted_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 1000):
        repository = Repository(tmp_path / f"try-{number}")
        with cut_at(monkeypatch, number) as done, suppress(Cut):
            repository.init()
        try:
            repository.refresh()
        except Refused as error:
            assert "is not a repository" in str(error)
            shutil.rmtree(repository.keys, ignore_errors=True)  # as the message of a second try demands
            repository.init()
        repository.rotate("timestamp")
        assert Device(tmp_path / f"device-{number}", repository.root, repository.public).targets() == {}
        if len(done) < number:
            break
    assert number > 5, "the steps were not those that were cut"


def test_an_interrupted_rotation_is_completed(repository: Repository, device: Device) -> None:
    waiting = repository.directory / "pending"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("daemon.publisher.files.Pending.finish", lambda _: None)
        repository.rotate("timestamp")
    assert waiting.is_dir()
    device.refresh()
    assert device.version("root") == 1
    assert list(repository.refresh().roles) == ["timestamp"]
    device.refresh()
    assert (device.version("root"), device.version("timestamp")) == (2, 4)
    assert not waiting.exists()


def test_two_commands_at_once_wait_for_each_other(tmp_path: Path, repository: Repository) -> None:
    pid = os.fork()
    if pid == 0:
        for _ in range(20):
            repository.refresh()
        os._exit(0)
    for _ in range(20):
        repository.refresh()
    assert os.waitpid(pid, 0)[1] == 0
    assert {role.role: role.version for role in repository.report().roles}["timestamp"] == 42
