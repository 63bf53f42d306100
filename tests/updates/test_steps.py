import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from daemon.bundle.release import Release
from daemon.core.errors import ChildTimeout, UpdateError
from daemon.updates.messages import SourceRequest
from daemon.updates.steps import ChildRunner, Closing, Step, Steps
from tests.fakes.stage_runner import LocalRunner
from tests.helpers.plain_bundles import release_of, write_bundle
from tests.updates import walk


def nothing() -> None: ...


def source(tmp_path: Path) -> SourceRequest:
    return SourceRequest(source="file:///x", root="/root.json", metadata=str(tmp_path), perceptd="0.1.0")


def in_children(tmp_path: Path, function: Callable[[str], None]) -> Steps:
    runner = ChildRunner(dict.fromkeys(get_args(Step), function))
    return Steps(runner, source(tmp_path), None)


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return release_of(write_bundle(tmp_path, "0.5.0"))


def test_a_child_answers_and_reports_progress(tmp_path: Path, release: Release) -> None:
    steps = in_children(tmp_path, walk.answers)
    assert steps.bytes_done == 0
    steps.download(release, tmp_path, [], nothing)
    assert steps.bytes_done == 7
    steps.selftest(release, tmp_path, nothing)


@pytest.mark.parametrize(
    ("function", "fetching", "trying", "reason"),
    [
        (walk.refuses, "trust", "trust", "signed by a stranger"),
        (walk.crashes, "source", "bundle", ".*its process was ended by SIGSEGV"),
        (walk.raves, "source", "bundle", "the answer of step .* cannot be used: as a whole: .*"),
        (walk.not_importable(), "source", "bundle", "its process ended with code .*"),
    ],
)
def test_a_child_that_fails_fails_its_step(
    tmp_path: Path, release: Release, function: Callable[[str], None], fetching: str, trying: str, reason: str
) -> None:
    steps = in_children(tmp_path, function)
    asks: list[tuple[str, Callable[[], object]]] = [
        (fetching, lambda: steps.list_releases(nothing)),
        (fetching, lambda: steps.resolve("digits", "0.5.0", nothing)),
        (fetching, lambda: steps.verify(release, tmp_path, nothing)),
        (trying, lambda: steps.check(release, tmp_path, nothing)),
        (trying, lambda: steps.selftest(release, tmp_path, nothing)),
    ]
    for kind, ask in asks:
        with pytest.raises(UpdateError, match=f"^{reason}$") as caught:
            ask()
        assert caught.value.kind == kind


def test_a_child_that_hangs_is_ended_at_the_deadline(tmp_path: Path) -> None:
    runner = ChildRunner(dict.fromkeys(get_args(Step), walk.hangs))
    with pytest.raises(ChildTimeout):
        runner.run("check", "{}", 0.1, nothing)


def test_a_child_is_ended_when_the_daemon_stops(tmp_path: Path) -> None:
    def stop() -> None:
        raise Closing

    runner = ChildRunner(dict.fromkeys(get_args(Step), walk.hangs))
    with pytest.raises(Closing):
        runner.run("check", "{}", 3600.0, stop)


def test_another_release_than_the_requested_one_is_an_error(tmp_path: Path, release: Release) -> None:
    runner = LocalRunner(tmp_path)
    runner.faults["resolve"] = [{"ok": True, "result": {"release": json.loads(release.model_dump_json())}}]
    steps = Steps(runner, source(tmp_path), None)
    with pytest.raises(UpdateError, match=r"asked for digits@9\.0\.0, got digits@0\.5\.0"):
        steps.resolve("digits", "9.0.0", nothing)
