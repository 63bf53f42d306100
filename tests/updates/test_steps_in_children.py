"""The steps as the updater asks for them, in real processes."""

from pathlib import Path

import pytest

from daemon.core.errors import ChildError, ChildTimeout, UpdateError
from daemon.node.bundle_updates import UPDATE_STEPS
from daemon.pipeline.trial import answer_check, answer_selftest
from daemon.updates import steps as stages
from daemon.updates.messages import SourceRequest
from daemon.updates.steps import ChildRunner, Step, Steps
from tests.helpers import hostile_models
from tests.helpers.bundle_builder import release_of, write_bundle
from tests.runtime import children
from tests.updates.fetching import FILES, Device

ORIGIN = SourceRequest(source="file:///none", root="/none", metadata="/none", perceptd="0.1.0")
SHORT_S = 1.0


def beat() -> None:
    """Go on."""


def steps(origin: SourceRequest = ORIGIN, runner: ChildRunner | None = None) -> Steps:
    return Steps(runner or ChildRunner(UPDATE_STEPS), origin, None)


def test_a_bundle_passes_all_steps_up_to_the_check(device: Device, tmp_path: Path) -> None:
    asked, into = steps(SourceRequest(**device.from_source())), tmp_path / "into"
    into.mkdir()
    assert [offer.id for offer in asked.list_releases(beat).releases] == ["digits@1.0.0"]
    release = asked.resolve("digits", "1.0.0", beat)
    asked.download(release, into, [], beat)
    assert asked.bytes_done == release.size == sum(map(len, FILES.values()))
    asked.verify(release, into, beat)
    with pytest.raises(UpdateError, match=r"bundle\.yaml") as caught:
        asked.check(release, into, beat)
    assert caught.value.kind == "bundle"


def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match="/none: cannot be read: No such file or directory") as found:
        steps(ORIGIN.model_copy(update={"metadata": str(tmp_path / "tuf")})).list_releases(beat)
    assert found.value.kind == "trust"


def test_a_model_that_crashes_the_runtime_is_an_error_of_the_bundle(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "image.tflite").write_bytes(hostile_models.split_into_none())
    with pytest.raises(UpdateError, match=r"^its models crash the runtime: its process was ended by SIG") as caught:
        steps().check(release_of(bundle, memory_mb=32), bundle, beat)
    assert caught.value.kind == "bundle"


@pytest.mark.parametrize("step", ["check", "list"])
def test_a_step_that_never_returns_is_ended_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    for name in ("CHECK_S", "METADATA_STEP_S"):
        monkeypatch.setattr(stages, name, SHORT_S)
    asked = steps(runner=ChildRunner(dict.fromkeys(("check", "list"), children.hang_with_request)))
    release = release_of(write_bundle(tmp_path / "bundle"))
    with pytest.raises(UpdateError, match=r"^did not finish within 1 s$") as caught:
        asked.list_releases(beat) if step == "list" else asked.check(release, tmp_path, beat)
    assert isinstance(caught.value.__cause__, ChildTimeout)


@pytest.mark.parametrize("step", list(stages.FETCH_MEMORY_MB))
def test_a_step_that_allocates_without_end_is_ended(step: Step) -> None:
    with pytest.raises(ChildError, match="its process ended with code 70"):
        ChildRunner({step: children.allocate_without_end}).run(step, "", 60.0, None)


def test_every_step_has_a_limit_of_memory() -> None:
    confined = {"check": answer_check, "selftest": answer_selftest}
    assert {step for step in UPDATE_STEPS if step not in stages.FETCH_MEMORY_MB} == confined.keys()
    assert {step: UPDATE_STEPS[step] for step in confined} == confined  # these confine themselves: test_trial.py


@pytest.mark.parametrize(
    ("answer", "problem"), [("[]", "as a whole: "), ('{"ok":true,"result":{}}', "releases: Field required")]
)
def test_an_answer_that_cannot_be_parsed_is_an_error(answer: str, problem: str) -> None:
    class Runner:
        def run(self, *_: object) -> str:
            return answer

    with pytest.raises(UpdateError, match=f"^the answer of step list cannot be used: {problem}"):
        Steps(Runner(), ORIGIN, None).list_releases(beat)
