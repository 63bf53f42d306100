"""Discovery of bundles: templates give values that an update entity accepts, and commands exist."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.mqtt.commands import InstallArguments, NoArguments, PinArguments, Request, parse_arguments
from daemon.mqtt.update_payloads import CheckPart, ModelsPayload
from tests.fakes.updates import TIME, bundle, candidate, models, result
from tests.helpers.home_assistant import UPDATE_KEYS, rendered
from tests.mqtt.home_assistant.nodes import components

ENTITIES = components(name="node")
NOT_LOOKED = CheckPart(ok=False, reason="models.example does not answer", time=TIME)

OFFER = {
    "latest_version": "0.5.0",
    "release_summary": "digits 0.5.0 is offered by https://models.example/repo",
}


def state(payload: ModelsPayload) -> dict[str, Any]:
    return json.loads(rendered(ENTITIES["models"]["value_template"], payload.to_json()))


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (models(), {}),
        (models(latest="0.5.0"), OFFER),
        (models(latest="0.5.0", last_check=NOT_LOOKED), OFFER),
        (models(latest="0.5.0", last_result=result("0.5.0", "selftest", "case 3: 7 instead of 4")), OFFER),
        (models(candidate=candidate("resolve", total=0)), {"in_progress": True}),
        (models(candidate=candidate("download", total=0)), {"in_progress": True}),
        (models(candidate=candidate("download", done=425)), {"in_progress": True, "update_percentage": 42}),
        (models(candidate=candidate("download", done=2000)), {"in_progress": True, "update_percentage": 100}),
        (models(candidate=candidate("selftest", done=1000)), {"in_progress": True}),
        (models(candidate=candidate("selftest").model_copy(update={"taught": True})), {}),
        (models(candidate=candidate("switch").model_copy(update={"waits": "an example has no picture"})), {}),
        (
            models(active=bundle("0.4.0+taught.3"), latest="0.4.0+taught.3"),
            {"installed_version": "0.4.0+taught.3", "latest_version": "0.4.0+taught.3"},
        ),
        (
            models(candidate=candidate("probation"), active=bundle("0.5.0"), latest="0.5.0"),
            {"installed_version": "0.5.0", "latest_version": "0.5.0"},
        ),
        (models(last_result=result("0.5.0")), {}),
        (
            models(last_result=result("0.5.0", "selftest", "case 3: 7 instead of 4"), last_check=NOT_LOOKED),
            {},
        ),
        (models(last_check=NOT_LOOKED), {}),
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


@given(st.text(max_size=500), st.integers(0, 2**40), st.integers(0, 2**40))
def test_the_state_is_always_one_that_is_taken(source: str, done: int, total: int) -> None:
    shown = state(models(source=source, latest="0.5.0", candidate=candidate("download", done=done, total=total)))
    assert set(shown) == UPDATE_KEYS
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
        ("models_rollback", "payload_press", NoArguments()),
        ("models_pin", "payload_on", PinArguments(on=True)),
        ("models_pin", "payload_off", PinArguments(on=False)),
    ],
)
def test_what_they_ask_can_be_obeyed(key: str, payload: str, order: object) -> None:
    entity = ENTITIES[key]
    base, _, name = entity["command_topic"].rpartition("/")
    assert (base, entity["qos"]) == ("perceptd/node/command", 1)
    assert [availability["topic"] for availability in entity["availability"]] == ["perceptd/node/availability"]
    assert parse_arguments(Request(name, entity[payload].encode())) == order


@pytest.mark.parametrize(("pinned", "shown"), [(True, "ON"), (False, "OFF")])
def test_the_switch_shows_whether_the_bundle_is_pinned(pinned: bool, shown: str) -> None:
    entity = ENTITIES["models_pin"]
    assert rendered(entity["value_template"], models(pinned=pinned).to_json()) == shown
    assert entity["state_topic"] == "perceptd/node/models"


def test_they_are_there_only_where_bundles_can_be_replaced() -> None:
    about_bundles = {"models", "models_check", "models_rollback", "models_pin", "models_problem"}
    assert set(components()) - set(components(has_updates=False)) == about_bundles
