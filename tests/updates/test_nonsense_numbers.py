"""Numbers that nobody can have meant, in every numeric field of what a device stores and of signed metadata."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.release import Offer
from daemon.bundle.signature_lifetimes import DEFAULT_DAYS, MAX_DAYS, sane_days
from daemon.core.errors import UpdateError
from daemon.node.models_payload import models_payload
from daemon.updates import taught_transitions as taught
from daemon.updates import transitions as to
from daemon.updates.metadata_cache import valid_until
from daemon.updates.policy import BuiltInBundle, clock_problem, plausible_seen_time
from daemon.updates.probation import ProbationPolicy, evaluate_probation
from daemon.updates.state import MAX_TIME, TIME_KEYS, BundleMetrics, Slot, UpdateState, slot_of
from daemon.updates.state_file import StateFile, TaughtFile
from daemon.updates.taught_state import NOTHING_TAUGHT
from daemon.updates.updater import Snapshot
from tests.helpers.plain_bundles import release_of, write_bundle
from tests.helpers.tufrepo import TufRepo
from tests.updates import fetching
from tests.updates.device import NOW_S, Device

NONSENSE = ["1e12", "1e400", "-1e400", "NaN", "Infinity", "-1", "-1.5", "true", "false", "null", '"7"', "1e308"]
NONSENSE += [str(2**63), str(2**70), "1" + "0" * 400, "1" + "0" * 5000, "[]", "{}", "0.5", "-0.0", "5e-324"]
BUILT_IN = BuiltInBundle("digits@0.4.0", Path("/none"))
METRICS = BundleMetrics(moments=10, errors=1, p99_ms=5.0, mean_top_score=0.5)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A state in which every field has a value, as parsed JSON."""
    release = release_of(write_bundle(tmp_path_factory.mktemp("source"), "0.6.0"))
    old = Slot(name="digits", version="0.5.0", content="0" * 64, memory_mb=8)
    state = to.begin_install(UpdateState(), "digits", "0.3.0", NOW_S, asked=True)
    state = to.refuse(state, "bad", NOW_S)
    state = to.note_check(state, NOW_S, [Offer(**release.signed.model_dump(), size=release.size)])
    state = to.switch(to.switch(state, old, BUILT_IN.id, METRICS, NOW_S), slot_of(release), BUILT_IN.id, METRICS, NOW_S)
    state = to.begin_stage(to.begin_install(state, "digits", "0.7.0", NOW_S, asked=False), "check", NOW_S, release)
    parsed: dict[str, Any] = json.loads(state.model_dump_json())
    return parsed


def numbers(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all numbers in parsed JSON; of a list, those of its first element."""
    if isinstance(value, (bool, int, float)):
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, part in parts:
        yield from numbers(part, (*path, key))


def replaced(document: Any, path: tuple[str | int, ...], number: str) -> str:
    """The JSON with a number in one place, written as it is."""
    copy = json.loads(json.dumps(document))
    parent = copy
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = "HERE"
    return json.dumps(copy).replace('"HERE"', number)


def check_usable(path: Path) -> StateFile:
    """Assert that a daemon starts with the file, shows its state, and judges a bundle by it."""
    found = StateFile(path, lambda: NOW_S)
    state = found.state
    assert models_payload("n", "s", BUILT_IN, Snapshot(state, "0.4.0", 0, None), NOW_S).to_json()
    assert clock_problem(NOW_S, state.seen_time) is None or state.seen_time <= MAX_TIME
    if state.probation is not None:
        evaluate_probation(state.probation.before, METRICS, 1.0, 0, ProbationPolicy())
    return found


def test_every_number_of_the_state(tmp_path: Path, full: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    path, kept = tmp_path / "state.json", 0
    paths = list(numbers(full))
    assert {place[-1] for place in paths} > {*TIME_KEYS, "starts", "moments", "memory_mb", "size", "length", "format"}
    for place in paths:
        for number in NONSENSE:
            caplog.clear()
            path.write_text(replaced(full, place, number))
            found = check_usable(path)
            is_kept = not found.is_lost
            kept += is_kept
            if place[-1] in TIME_KEYS and len(number) < 1000:
                assert is_kept, (place, number)
            texts = ("which is no time: it is ignored", "is damaged", "a later version of perceptd has written")
            said = any(text in caplog.text for text in texts)
            assert said or is_kept, (place, number)
    assert kept


def test_every_number_of_what_was_taught(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    release = release_of(write_bundle(tmp_path / "source", "0.6.0"))
    state = taught.begin_install(NOTHING_TAUGHT, BUILT_IN.id, release, NOW_S)
    state = taught.begin_install(
        taught.switch(state, BUILT_IN.id, BUILT_IN.id, METRICS, NOW_S), BUILT_IN.id, release, NOW_S
    )
    state = taught.wait(
        taught.refuse(taught.begin_stage(state, "check", NOW_S), "no", NOW_S), "digits@0.9.0", "", NOW_S
    )
    full = json.loads(taught.begin_install(state, BUILT_IN.id, release, NOW_S).model_dump_json())
    path, kept = tmp_path / "state.json", 0
    for place in numbers(full):
        for number in NONSENSE:
            caplog.clear()
            path.write_text(replaced(full, place, number))
            found = TaughtFile(path, lambda: NOW_S)
            kept += not found.is_lost
            resumed = taught.count_start(taught.resume(found.state, NOW_S), BUILT_IN.id)
            assert models_payload(
                "n", "s", BUILT_IN, Snapshot(UpdateState(), "0.4.0", 0, None, resumed), NOW_S
            ).to_json()
            texts = ("is ignored", "is damaged", "a later version of perceptd has written")
            assert not found.is_lost or any(text in caplog.text for text in texts), (place, number)
    assert kept


@given(st.data())
def test_any_numbers_of_the_state(tmp_path_factory: pytest.TempPathFactory, full: dict, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("state") / "state.json"
    number = st.one_of(st.floats(), st.integers(), st.integers(-(2**70), 2**70))
    path.write_text(replaced(full, data.draw(st.sampled_from(list(numbers(full)))), json.dumps(data.draw(number))))
    found = check_usable(path)
    found.update(to.count_start(to.note_check(found.state, NOW_S, found.state.available)))
    again = StateFile(path, lambda: NOW_S)
    assert found.trouble is None and not again.is_lost and again.state == found.state


@pytest.mark.parametrize("seen_s", [NOW_S + 30 * 86400, NOW_S + 1e9])
def test_a_time_after_every_signature_does_not_stop_the_checks(
    tmp_path: Path, seen_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Signatures of the cached timestamp end a week from now, so no valid metadata can have been seen later."""
    device = Device(tmp_path)
    device.publish("0.5.0")
    cache = device.directory / "tuf"
    cache.mkdir(parents=True)
    expires = datetime.fromtimestamp(NOW_S, timezone.utc) + timedelta(days=7)
    (cache / "timestamp.json").write_text(json.dumps({"signed": {"expires": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}}))
    (device.directory / "state.json").write_text(UpdateState(seen_time=seen_s).model_dump_json())
    with device, caplog.at_level(logging.WARNING):
        assert device.updater.check() is None
        found = device.until(lambda status: status.state.last_check is not None)
        assert found.state.last_check is not None and found.state.last_check.ok
        assert found.state.seen_time == NOW_S
    assert "seen_time in state.json is later than any signature in tuf/ is valid: it is ignored" in caplog.text


def test_without_a_cached_signature_the_latest_time_counts() -> None:
    assert plausible_seen_time(NOW_S, None) == NOW_S
    assert plausible_seen_time(NOW_S, NOW_S) == NOW_S
    assert plausible_seen_time(NOW_S + 86400, NOW_S) == 0.0


EXPIRES = ['"9999-12-31T23:59:59Z"', '"2026-01-01"', "7", "1e400", "null", "{}", "[]", '"99999-01-01T00:00:00Z"']


@pytest.mark.parametrize("text", [*(f'{{"signed":{{"expires":{each}}}}}' for each in EXPIRES), "", "[", "[" * 10**5])
def test_the_expiry_of_a_cached_timestamp_is_a_time_or_not_known(tmp_path: Path, text: str) -> None:
    (tmp_path / "timestamp.json").write_text(text)
    until = valid_until(tmp_path)
    assert until is None or 0 < until < 1e12


@pytest.mark.parametrize("place", ["version", "expires", "meta"])
@pytest.mark.parametrize("number", NONSENSE)
def test_nonsense_in_metadata_is_an_error_of_the_source(
    repo: TufRepo, device: fetching.Device, place: str, number: str
) -> None:
    path = repo.metadata / "timestamp.json"
    document = json.loads(path.read_bytes())
    key = ("signed", place) if place != "meta" else ("signed", "meta", "snapshot.json", "version")
    device.metadata.mkdir(parents=True)
    (device.metadata / "timestamp.json").write_text(replaced(document, key, number))
    assert device.list_releases().releases  # a cached file is fetched again
    path.write_text(replaced(document, key, number))
    with pytest.raises(UpdateError) as caught:
        device.list_releases()
    assert caught.value.kind in ("source", "trust")


@pytest.mark.parametrize("found", [None, True, -1, 0, 2**70, float("nan"), float("inf"), "7", [], MAX_DAYS + 1])
def test_a_nonsensical_lifetime_is_the_default(found: object) -> None:
    assert sane_days("timestamp", found) == DEFAULT_DAYS["timestamp"]
    assert sane_days("timestamp", 3) == 3
