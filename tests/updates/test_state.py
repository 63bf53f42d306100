from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.records import UPDATE_STAGES
from daemon.updates import transitions as to
from daemon.updates.state import MAX_REFUSALS, REASON_CHARS, BundleMetrics, Candidate, Slot, UpdateState

BEFORE = BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)
SLOTS = [Slot(name="digits", version=f"0.{number}.0", content=f"{number:064x}", memory_mb=1) for number in range(5)]

Step = Callable[[UpdateState, float], UpdateState]


def steps() -> st.SearchStrategy[Step]:
    slots, reasons, flags = st.sampled_from(SLOTS), st.text(max_size=2 * REASON_CHARS), st.booleans()
    stages = st.sampled_from(UPDATE_STAGES)
    return st.one_of(
        st.builds(
            lambda slot, asked: lambda s, t: to.begin_install(s, slot.name, slot.version, t, asked=asked), slots, flags
        ),
        st.builds(lambda stage: lambda s, t: to.begin_stage(s, stage, t), stages),
        st.just(lambda s, t: to.note_shutdown(s)),
        st.just(to.resume),
        st.builds(lambda reason: lambda s, t: to.drop(s, reason, t), reasons),
        st.builds(lambda reason: lambda s, t: to.refuse(s, reason, t), reasons),
        st.builds(lambda slot: lambda s, t: to.switch(s, slot, "digits@0.0.1", BEFORE, t), slots),
        st.just(to.confirm),
        st.just(lambda s, t: to.count_start(s)),
        st.builds(
            lambda stage, reason, no: lambda s, t: to.revert(s, stage, reason, t, is_refused=no), stages, reasons, flags
        ),
        st.builds(lambda stage, reason: lambda s, t: to.keep_active(s, stage, reason, t), stages, reasons),
        st.just(lambda s, t: to.revert_to_built_in(s)),
        st.builds(lambda reason: lambda s, t: to.note_failed_check(s, reason, t), reasons),
        st.builds(lambda on: lambda s, t: to.pin(s, t, on=on), flags),
        st.just(to.note_time),
    )


@given(st.lists(st.tuples(steps(), st.floats(0, 1e10)), max_size=60))
def test_after_any_transitions_the_state_can_be_written_and_read(taken: list[tuple[Step, float]]) -> None:
    state = UpdateState()
    for step, now_s in taken:
        seen_s = state.seen_time
        state = step(state, now_s)
        assert UpdateState.model_validate_json(state.model_dump_json()) == state
        assert state.seen_time >= seen_s
        assert len({refusal.id for refusal in state.refused}) == len(state.refused)


def test_the_latest_refusals_are_remembered() -> None:
    state = UpdateState()
    for number in range(MAX_REFUSALS + 5):
        state = to.refuse(to.begin_install(state, "digits", f"0.{number}.0", 0.0, asked=False), "no", 0.0)
    assert [state.refused[0].id, state.refused[-1].id] == ["digits@0.5.0", f"digits@0.{MAX_REFUSALS + 4}.0"]
    assert len(state.refused) == MAX_REFUSALS


@pytest.mark.parametrize(
    ("stage", "closed", "tries"),
    [
        ("check", False, 3),
        ("selftest", False, 3),
        ("switch", False, 3),
        ("download", False, None),
        ("check", True, None),
    ],
)
def test_a_bundle_is_refused_after_repeated_unclean_ends(stage: str, closed: bool, tries: int | None) -> None:
    state = to.begin_install(UpdateState(), "digits", "0.5.0", 0.0, asked=True)
    ended = 0
    while state.candidate is not None and ended < 20:
        state = to.begin_stage(to.begin_stage(state, "resolve", 0.0), stage, 0.0)  # type: ignore[arg-type]
        state = to.resume(to.note_shutdown(state) if closed else state, 0.0)
        ended += 1
    assert ended == (tries or 20)
    if tries is not None:
        assert state.refused[0].reason == f"the daemon ended 3 times during {stage}"


def test_unclean_ends_in_different_stages_do_not_add_up() -> None:
    state = to.begin_install(UpdateState(), "digits", "0.5.0", 0.0, asked=True)
    for stage in ("check", "selftest", "check", "selftest"):
        state = to.resume(to.begin_stage(state, stage, 0.0), 0.0)
    assert state.candidate is not None


def test_required_contents() -> None:
    state = to.switch(to.switch(UpdateState(), SLOTS[1], "x@1.0.0", BEFORE, 0.0), SLOTS[2], "x@1.0.0", BEFORE, 0.0)
    assert state.required_contents == {SLOTS[1].content, SLOTS[2].content}
    assert to.revert(state, "probation", "", 0.0).required_contents == {SLOTS[1].content}
    assert Candidate(name="a", version="1.0.0", stage="check", since=0.0, asked=False).id == "a@1.0.0"
