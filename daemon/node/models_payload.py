"""Makes the payload of the topic `models` from the updater's state. Pure."""

from operator import attrgetter

from daemon.bundle.release import Offer, version_key
from daemon.core.records import UPDATE_STAGES, UpdateStage
from daemon.core.timing import wall_time_of
from daemon.mqtt.update_payloads import (
    MAX_REFUSED,
    BundlePart,
    CandidatePart,
    CheckPart,
    ModelsPayload,
    ResultPart,
)
from daemon.updates.policy import BuiltInBundle, active_id
from daemon.updates.state import Candidate, Check, Refusal, Result, Slot, UpdateState
from daemon.updates.taught_state import TaughtSlot, TaughtState, must_derive, taught_slot, version_on
from daemon.updates.updater import Snapshot


def models_payload(
    node: str, source: str | None, built_in: BuiltInBundle, snapshot: Snapshot, now_s: float
) -> ModelsPayload:
    """Return the payload; `now_s` is wall time in seconds since the epoch."""
    state, taught = snapshot.state, snapshot.taught
    refused = [*state.refused, *([] if taught.refused is None else [taught.refused])]
    result = _latest(state.last_result, taught.last_result)
    return ModelsPayload(
        node=node,
        time=wall_time_of(now_s),
        source=source,
        active=_running(state.active, taught, built_in),
        previous=_previous(state, taught, built_in),
        candidate=_candidate(snapshot, built_in),
        latest=snapshot.latest,
        available=[offer.id for offer in _newest_first(state.available)],
        pinned=state.pinned,
        trouble=snapshot.trouble,
        last_check=None if state.last_check is None else _check(state.last_check),
        last_result=None if result is None else _result(result),
        refused=[_result(refusal) for refusal in refused[-MAX_REFUSED:]],
    )


def _running(base: Slot | None, taught: TaughtState, built_in: BuiltInBundle) -> BundlePart:
    """Return what runs on a base; None: on the built-in bundle."""
    base_id = built_in.id if base is None else base.id
    return _slot(taught_slot(taught, base_id) or base, built_in)


def _previous(state: UpdateState, taught: TaughtState, built_in: BuiltInBundle) -> BundlePart | None:
    """Return the bundle to which a rollback goes; None: there is none."""
    version = version_on(taught, active_id(state, built_in))
    if version is not None and version.slot is not None and not (version.previous is None and version.came_with_base):
        return _slot(version.previous or state.active, built_in)
    return None if state.active is None else _running(state.previous, taught, built_in)


def _slot(slot: Slot | None, built_in: BuiltInBundle) -> BundlePart:
    """Return the bundle in a slot; None: the built-in bundle."""
    if slot is None:
        return BundlePart(id=built_in.id, name=built_in.name, version=built_in.version, shipped=True)
    is_taught = isinstance(slot, TaughtSlot)
    return BundlePart(id=slot.id, name=slot.name, version=slot.version, shipped=False, taught=is_taught)


def _candidate(snapshot: Snapshot, built_in: BuiltInBundle) -> CandidatePart | None:
    state, taught, base = snapshot.state, snapshot.taught, active_id(snapshot.state, built_in)
    if taught.candidate is not None:
        slot, size = taught.candidate.slot, taught.candidate.release.size
        return _part(slot.id, taught.candidate.stage, taught.candidate.since, size, size, is_taught=True)
    if state.candidate is not None and _waits(taught, state.candidate.id) is None:
        return _fetched(state.candidate, snapshot)
    version = version_on(taught, base)
    if version is not None and version.slot is not None and version.probation is not None:
        return _part(version.slot.id, "probation", version.probation.since, is_taught=True)
    if state.active is not None and state.probation is not None:
        active = taught_slot(taught, base) or state.active
        return _part(active.id, "probation", state.probation.since, is_taught=active != state.active)
    if taught.waiting is not None and must_derive(taught, base) and taught.waiting.id == base:
        # config.yaml names a newer version of the base
        return _part(base, "switch", taught.waiting.since, waits=taught.waiting.reason)
    return None if state.candidate is None else _fetched(state.candidate, snapshot)


def _fetched(candidate: Candidate, snapshot: Snapshot) -> CandidatePart:
    total = candidate.release.size if candidate.release else 0
    stage = UPDATE_STAGES.index(candidate.stage)
    download = UPDATE_STAGES.index("download")
    done = 0 if stage < download else snapshot.bytes_done if stage == download else total
    waits = _waits(snapshot.taught, candidate.id)
    return _part(candidate.id, candidate.stage, candidate.since, min(done, total), total, waits=waits)


def _waits(taught: TaughtState, base: str) -> str | None:
    return taught.waiting.reason if taught.waiting is not None and taught.waiting.id == base else None


def _part(
    bundle: str,
    stage: UpdateStage,
    since_s: float,
    bytes_done: int = 0,
    bytes_total: int = 0,
    *,
    is_taught: bool = False,
    waits: str | None = None,
) -> CandidatePart:
    name, _, version = bundle.partition("@")
    return CandidatePart(
        id=bundle,
        name=name,
        version=version,
        stage=stage,
        since=wall_time_of(since_s),
        bytes_done=bytes_done,
        bytes_total=bytes_total,
        taught=is_taught,
        waits=waits,
    )


def _latest(one: Result | None, other: Result | None) -> Result | None:
    known = [result for result in (one, other) if result is not None]
    return max(known, key=attrgetter("time"), default=None)


def _check(check: Check) -> CheckPart:
    return CheckPart(ok=check.ok, reason=check.reason, time=wall_time_of(check.time))


def _result(result: Result | Refusal) -> ResultPart:
    return ResultPart(
        bundle=result.id,
        ok=isinstance(result, Result) and result.ok,
        stage=result.stage,
        reason=result.reason,
        time=wall_time_of(result.time),
    )


def _newest_first(offers: tuple[Offer, ...]) -> list[Offer]:
    return sorted(offers, key=lambda offer: (offer.name, version_key(offer.version)), reverse=True)
