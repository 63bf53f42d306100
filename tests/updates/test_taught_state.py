"""The transitions of what was taught, by table and in any order."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.release import BundleFiles, BundleInfo, FileEntry, Release
from daemon.core.records import UPDATE_STAGES
from daemon.updates import taught_transitions as to
from daemon.updates.policy import BuiltInBundle, automatic_offer
from daemon.updates.state import REASON_CHARS, BundleMetrics, UpdateState
from daemon.updates.taught_state import (
    MAX_VERSIONS,
    NOTHING_TAUGHT,
    TaughtSlot,
    TaughtState,
    TaughtVersion,
    must_derive,
    plain_id,
    running_id,
    taught_slot_of,
    version_on,
)

BEFORE = BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)
BASES = [f"digits@0.{number}.0" for number in range(12)] + ["words@0.3.0"]


def taught_files(version: str, number: int) -> BundleFiles:
    info = BundleInfo(name="digits", version=f"{version}+taught.{number}", needs_perceptd="0.6.0", memory_mb=8)
    return BundleFiles(signed=info, files=(FileEntry(path="bundle.yaml", length=number, sha256="0" * 64),))


FILES = [taught_files("0.4.0", number) for number in range(1, 4)]
SLOTS = [taught_slot_of(files) for files in FILES]

Step = Callable[[TaughtState, float], TaughtState]


def steps() -> st.SearchStrategy[Step]:
    bases, files, slots = st.sampled_from(BASES), st.sampled_from(FILES), st.sampled_from([None, *SLOTS])
    reasons, flags, stages = st.text(max_size=2 * REASON_CHARS), st.booleans(), st.sampled_from(UPDATE_STAGES)
    return st.one_of(
        st.builds(lambda base, release: lambda s, t: to.begin_install(s, base, release, t), bases, files),
        st.builds(lambda stage: lambda s, t: to.begin_stage(s, stage, t), stages),
        st.just(lambda s, t: to.note_shutdown(s)),
        st.just(to.resume),
        st.builds(lambda reason: lambda s, t: to.drop(s, reason, t), reasons),
        st.builds(lambda reason: lambda s, t: to.put_off(s, reason, t), reasons),
        st.builds(lambda reason: lambda s, t: to.refuse(s, reason, t), reasons),
        st.builds(lambda reason: lambda s, t: to.reject(s, "digits@0.4.0+taught.1", reason, t), reasons),
        st.builds(lambda reason: lambda s, t: to.leave(s, "digits@0.4.0+taught.1", reason, t), reasons),
        st.builds(lambda base: lambda s, t: to.switch(s, base, "digits@0.4.0", BEFORE, t), bases),
        st.builds(lambda base, slot: lambda s, t: to.switch_base(s, base, slot, "digits@0.4.0"), bases, slots),
        st.builds(lambda base: lambda s, t: to.confirm(s, base, t), bases),
        st.builds(lambda base: lambda s, t: to.count_start(s, base), bases),
        st.builds(
            lambda base, stage, reason, no, back: (
                lambda s, t: to.revert(s, base, stage, reason, t, is_refused=no, to_base=back)
            ),
            bases,
            stages,
            reasons,
            flags,
            flags,
        ),
        st.builds(
            lambda base, stage, reason: lambda s, t: to.keep_active(s, base, stage, reason, t), bases, stages, reasons
        ),
        st.builds(lambda base, reason: lambda s, t: to.wait(s, base, reason, t), bases, reasons),
        st.builds(lambda base: lambda s, t: to.keep_for(s, {base}, base), bases),
        st.just(lambda s, t: to.forget(s)),
    )


@given(st.lists(st.tuples(steps(), st.floats(0, 1e10)), max_size=60))
def test_after_any_transitions_the_state_can_be_written_and_read(taken: list[tuple[Step, float]]) -> None:
    state = NOTHING_TAUGHT
    for step, now_s in taken:
        state = step(state, now_s)
        assert TaughtState.model_validate_json(state.model_dump_json()) == state
        assert len({version.base for version in state.versions}) == len(state.versions) <= MAX_VERSIONS


@given(st.lists(st.tuples(steps(), st.floats(0, 1e10)), max_size=60), st.sampled_from(BASES))
def test_after_any_number_of_reverts_the_base_runs(taken: list[tuple[Step, float]], base: str) -> None:
    state = NOTHING_TAUGHT
    for step, now_s in taken:
        state = step(state, now_s)
    for _ in range(3):
        state = to.revert(state, base, "switch", "damaged", 0.0)
    assert running_id(state, base) == base


def state_of(*versions: TaughtVersion) -> TaughtState:
    return TaughtState(versions=versions)


ON_4 = TaughtVersion(base="digits@0.4.0", slot=SLOTS[0], previous=SLOTS[1])
PLAIN_5 = TaughtVersion(base="digits@0.5.0", slot=None)


@pytest.mark.parametrize(
    ("versions", "base", "runs", "derives"),
    [
        ((), "digits@0.4.0", "digits@0.4.0", False),
        ((ON_4,), "digits@0.4.0", "digits@0.4.0+taught.1", False),
        ((ON_4,), "digits@0.5.0", "digits@0.4.0+taught.1", True),
        ((ON_4,), "digits@0.10.0", "digits@0.4.0+taught.1", True),
        ((ON_4,), "digits@0.3.0", "digits@0.3.0", False),
        ((ON_4,), "words@0.5.0", "words@0.5.0", False),
        ((ON_4, PLAIN_5), "digits@0.5.0", "digits@0.5.0", False),
        ((ON_4, PLAIN_5), "digits@0.4.0", "digits@0.4.0+taught.1", False),
        ((ON_4, PLAIN_5), "digits@0.6.0", "digits@0.4.0+taught.1", True),
    ],
)
def test_what_runs_on_a_base(versions: tuple[TaughtVersion, ...], base: str, runs: str, derives: bool) -> None:
    state = state_of(*versions)
    assert (running_id(state, base), must_derive(state, base)) == (runs, derives)


def test_a_candidate_is_refused_after_three_unclean_ends_and_not_after_clean_ones() -> None:
    state = to.begin_install(NOTHING_TAUGHT, "digits@0.4.0", FILES[0], 0.0)
    for _ in range(5):
        state = to.resume(to.note_shutdown(state), 0.0)
    state = to.begin_stage(state, "selftest", 0.0)
    assert state.candidate is not None
    for _ in range(2):
        state = to.resume(state, 0.0)
        assert state.candidate is not None
    state = to.resume(state, 0.0)
    assert state.candidate is None and state.refused is not None


def test_the_latest_refusal_is_enough_and_blocks_no_release() -> None:
    state = NOTHING_TAUGHT
    for files in FILES:
        state = to.refuse(to.begin_install(state, "digits@0.4.0", files, 0.0), "no", 0.0)
    assert state.refused is not None and state.refused.id == SLOTS[-1].id
    assert automatic_offer(UpdateState(), BuiltInBundle("digits@0.4.0", None), "9.0.0") is None  # type: ignore[arg-type]


def test_a_version_with_a_suffix_is_no_release() -> None:
    with pytest.raises(ValueError, match="three numbers"):
        Release.model_validate_json(FILES[0].model_dump_json())
    assert BundleFiles.model_validate_json(FILES[0].model_dump_json()) == FILES[0]
    assert isinstance(SLOTS[0], TaughtSlot) and plain_id(SLOTS[0].id) == "digits@0.4.0"


def test_versions_of_bases_that_no_rollback_reaches_are_forgotten() -> None:
    others = [TaughtVersion(base=f"digits@0.{number}.0", slot=SLOTS[2]) for number in (1, 2)]
    state = state_of(*others, ON_4, PLAIN_5)
    kept = to.keep_for(state, {"digits@0.4.0", "digits@0.5.0"}, "digits@0.5.0")
    assert [version.base for version in kept.versions] == ["digits@0.4.0", "digits@0.5.0"]
    assert kept.required_contents == {SLOTS[0].content, SLOTS[1].content}
    stale = to.keep_for(state_of(ON_4), {"digits@0.5.0"}, "digits@0.5.0")
    assert version_on(stale, "digits@0.5.0") == ON_4
