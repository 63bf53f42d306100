"""The bundles of a node: what is said of them, and, where there is a source, what replaces them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from daemon import __version__
from daemon.bundle.manifest import Manifest
from daemon.bundle.release import Offer, version_key
from daemon.config.node import Config
from daemon.core.records import UPDATE_STAGES
from daemon.core.timing import NS_PER_S, monotonic_ns, wall_time_of
from daemon.mqtt.session import Session
from daemon.mqtt.update_payloads import BundlePart, CandidatePart, CheckPart, ModelsPayload, ResultPart
from daemon.pipeline import trial
from daemon.pipeline.recogniser import Recogniser
from daemon.updates.fetch import main as fetch
from daemon.updates.policy import BuiltInBundle, active_id
from daemon.updates.startup import Startup
from daemon.updates.state import Check, Refusal, Result, UpdateState
from daemon.updates.steps import ChildRunner, Host, Step
from daemon.updates.updater import Snapshot, Updater

BYTES_EVERY_NS = 5 * NS_PER_S
"""How often it is told how much has been fetched: on a slow link each time takes from what is fetched."""


UPDATE_STEPS: Mapping[Step, Callable[[str], None]] = {
    "list": fetch.list_releases,
    "resolve": fetch.resolve,
    "download": fetch.download,
    "verify": fetch.verify,
    "check": trial.check,
    "selftest": trial.selftest,
}


@dataclass(frozen=True)
class Bundles:
    """Where a node's bundle comes from: `start` knows which, `load` makes one ready.

    `check` raises Refused for a manifest that does not fit the config, which is the file `config`.
    """

    start: Startup
    load: Callable[[Path], Recogniser]
    check: Callable[[Manifest], None]
    config: Path


class BundleUpdates:
    """Owns the updater, and publishes what there is to say of it."""

    def __init__(self, config: Config, bundles: Bundles, host: Host, session: Session) -> None:
        self._node, self._source = config.node, config.models.source
        self._built_in = bundles.start.built_in
        self._session = session
        self._told: Snapshot | None = None
        self._told_ns = 0
        self.updater = Updater(
            config.models,
            bundles.start,
            ChildRunner(UPDATE_STEPS),
            host,
            __version__,
            bundles.config,
            on_change=self.tell,
        )

    def tell(self) -> None:
        """Publish what has changed since it was told last: called once at first, then by the updater's thread."""
        snapshot, now_ns = self.updater.status(), monotonic_ns()
        if snapshot == self._told:
            return
        are_bytes_alone = self._told is not None and replace(snapshot, bytes_done=self._told.bytes_done) == self._told
        if not are_bytes_alone or now_ns - self._told_ns >= BYTES_EVERY_NS:
            self._told, self._told_ns = snapshot, now_ns
            payload = models_payload(self._node, self._source, self._built_in, snapshot, time.time())
            self._session.publish("models", payload.to_json(), retain=True, qos=1)


def models_payload(
    node: str, source: str | None, built_in: BuiltInBundle, snapshot: Snapshot, now_s: float
) -> ModelsPayload:
    """What is said of a node's bundles."""
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
