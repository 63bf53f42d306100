"""Discovery of bundles: templates give values that an update entity accepts, and commands exist."""

import json
from typing import Any

import pytest
from daemon.mqtt.home_assistant.discovery import discovery_payload, platforms
from hypothesis import given
from hypothesis import strategies as st

from daemon.mqtt.commands import InstallArguments, NoArguments, PinArguments, Request, parse_arguments
from daemon.mqtt.update_payloads import CheckPart, ModelsPayload
from tests.fakes.updates import TIME, bundle, candidate, models, result
from tests.mqtt.home_assistant.test_discovery import rendered

ENTITIES = discovery_payload("node", "1.0", [], {}, has_updates=True).components
NOT_LOOKED = CheckPart(ok=False, reason="models.example does not answer", time=TIME)


def state(payload: ModelsPayload) -> dict[str, Any]:
    return json.loads(rendered(ENTITIES["models"]["value_template"], payload.to_json()))


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (models(), {}),
        (models(latest="0.5.0"), {"latest_version": "0.5.0"}),
        (models(candidate=candidate("resolve", total=0)), {"in_progress": True}),
        (models(candidate=candidate("download", total=0)), {"in_progress": True}),
        (models(candidate=candidate("download", done=425)), {"in_progress": True, "update_percentage": 42}),
        (models(candidate=candidate("download", done=2000)), {"in_progress": True, "update_percentage": 100}),
        (models(candidate=candidate("selftest", done=1000)), {"in_progress": True}),
        (
            models(candidate=candidate("probation"), active=bundle("0.5.0"), latest="0.5.0"),
            {"installed_version": "0.5.0", "latest_version": "0.5.0"},
        ),
        (models(last_result=result("0.5.0")), {}),
        (
            models(last_result=result("0.5.0", "selftest", "case 3: 7 instead of 4"), last_check=NOT_LOOKED),
            {"release_summary": "digits@0.5.0 was given up in selftest: case 3: 7 instead of 4"},
        ),
        (
            models(last_check=NOT_LOOKED),
            {"release_summary": "The source could not be looked at: models.example does not answer"},
        ),
        (models(last_check=NOT_LOOKED.model_copy(update={"ok": True, "reason": None})), {}),
    ],
)
def test_the_update_entity_shows_what_is_there_and_how_it_goes(payload: ModelsPayload, shown: dict[str, Any]) -> None:
    unchanged = {
        "installed_version": "0.4.0",
        "latest_version": "0.4.0",
        "title": "digits",
        "in_progress": False,
        "update_percentage": None,
        "release_summary": "",
    }
    assert state(payload) == unchanged | shown


@given(st.text(max_size=2000), st.integers(0, 2**40), st.integers(0, 2**40))
def test_the_state_is_always_one_that_is_taken(reason: str, done: int, total: int) -> None:
    payload = models(
        last_result=result("0.5.0", "check", reason), candidate=candidate("download", done=done, total=total)
    )
    shown = state(payload)
    assert len(shown["release_summary"]) <= 255
    assert shown["in_progress"] is True
    assert shown["update_percentage"] is None or 0 <= shown["update_percentage"] <= 100
    assert all(isinstance(shown[key], str) for key in ("installed_version", "latest_version", "title"))


def test_attributes_have_the_latest_results() -> None:
    payload = models(previous=bundle("0.3.0"), last_check=NOT_LOOKED)
    shown = json.loads(rendered(ENTITIES["models"]["json_attributes_template"], payload.to_json()))
    assert shown == {"last_check": NOT_LOOKED.model_dump(), "last_result": None, "previous": "digits@0.3.0"}


@pytest.mark.parametrize(
    ("key", "payload", "order"),
    [
        ("models", "payload_install", InstallArguments()),
        ("models_check", "payload_press", NoArguments()),
        ("models_pin", "payload_on", PinArguments(on=True)),
        ("models_pin", "payload_off", PinArguments(on=False)),
    ],
)
def test_what_they_ask_can_be_obeyed(key: str, payload: str, order: object) -> None:
    entity = ENTITIES[key]
    base, _, name = entity["command_topic"].rpartition("/")
    assert (base, entity["qos"]) == ("perceptd/node/command", 1)
    assert entity["availability"] == [{"topic": "perceptd/node/availability"}]
    assert parse_arguments(Request(name, entity[payload].encode())) == order


@pytest.mark.parametrize(("pinned", "shown"), [(True, "ON"), (False, "OFF")])
def test_the_switch_shows_whether_the_bundle_is_pinned(pinned: bool, shown: str) -> None:
    entity = ENTITIES["models_pin"]
    assert rendered(entity["value_template"], models(pinned=pinned).to_json()) == shown
    assert entity["state_topic"] == "perceptd/node/models"


def test_they_are_there_only_where_bundles_can_be_replaced_and_go_with_the_source() -> None:
    before = discovery_payload("node", "1.0", [], {}, has_updates=True)
    after = discovery_payload("node", "1.0", [], platforms(before), has_updates=False)
    removed = {key: component for key, component in after.components.items() if set(component) == {"platform"}}
    expected = {"models": "update", "models_check": "button", "models_pin": "switch"}
    assert removed == {key: {"platform": platform} for key, platform in expected.items()}
    assert not set(expected) & set(discovery_payload("node", "1.0", [], {}, has_updates=False).components)
