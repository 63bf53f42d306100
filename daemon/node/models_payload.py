"""Makes the payload of the topic `models` from the updater's state. Pure."""

from daemon.bundle.release import Offer, version_key
from daemon.core.records import UPDATE_STAGES
from daemon.core.timing import wall_time_of
from daemon.mqtt.update_payloads import BundlePart, CandidatePart, CheckPart, ModelsPayload, ResultPart
from daemon.updates.policy import BuiltInBundle, active_id
from daemon.updates.state import Check, Refusal, Result, UpdateState
from daemon.updates.updater import Snapshot


def models_payload(
    node: str, source: str | None, built_in: BuiltInBundle, snapshot: Snapshot, now_s: float
) -> ModelsPayload:
    """Return the payload; `now_s` is wall time in seconds since the epoch."""
    state = snapshot.state
    return ModelsPayload(
        node=node,
        time=wall_time_of(now_s),
        source=source,
        active=_bundle(active_id(state, built_in), is_shipped=state.active is None),
        previous=_previous(state, built_in),
        candidate=_candidate(snapshot),
        latest=snapshot.latest,
        available=[offer.id for offer in _newest_first(state.available)],
        pinned=state.pinned,
        trouble=snapshot.trouble,
        last_check=None if state.last_check is None else _check(state.last_check),
        last_result=None if state.last_result is None else _result(state.last_result),
        refused=[_result(refusal) for refusal in state.refused],
    )


def _previous(state: UpdateState, built_in: BuiltInBundle) -> BundlePart | None:
    if state.active is None:
        return None
    if state.previous is None:
        return _bundle(built_in.id, is_shipped=True)
    return _bundle(state.previous.id, is_shipped=False)


def _bundle(bundle: str, *, is_shipped: bool) -> BundlePart:
    name, _, version = bundle.partition("@")
    return BundlePart(id=bundle, name=name, version=version, shipped=is_shipped)


def _candidate(snapshot: Snapshot) -> CandidatePart | None:
    state = snapshot.state
    if state.candidate is None:
        return _on_probation(state)
    candidate = state.candidate
    total = candidate.release.size if candidate.release else 0
    stage = UPDATE_STAGES.index(candidate.stage)
    download = UPDATE_STAGES.index("download")
    done = 0 if stage < download else snapshot.bytes_done if stage == download else total
    return CandidatePart(
        id=candidate.id,
        name=candidate.name,
        version=candidate.version,
        stage=candidate.stage,
        since=wall_time_of(candidate.since),
        bytes_done=min(done, total),
        bytes_total=total,
    )


def _on_probation(state: UpdateState) -> CandidatePart | None:
    if state.active is None or state.probation is None:
        return None
    return CandidatePart(
        id=state.active.id,
        name=state.active.name,
        version=state.active.version,
        stage="probation",
        since=wall_time_of(state.probation.since),
        bytes_done=0,
        bytes_total=0,
    )


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
