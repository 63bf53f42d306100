"""The payload of bundles: it hides passwords, and a hostile reason makes it no bigger."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.mqtt.subscriber import MAX_PAYLOAD_BYTES
from daemon.mqtt.update_payloads import MAX_AVAILABLE, MAX_REASON, MAX_REFUSED, CheckPart, ModelsPayload, ResultPart
from tests.fakes.updates import TIME, bundle, models, result


@given(st.text(max_size=3000))
def test_a_reason_is_cut_and_nothing_else_is_lost(reason: str) -> None:
    text = CheckPart(ok=False, reason=reason, time=TIME).reason
    assert text is not None
    assert len(text) <= MAX_REASON
    assert text == reason or "***@" in text or text.endswith("…")


def test_passwords_in_addresses_are_hidden() -> None:
    fields = models().model_dump(by_alias=True) | {"source": "https://me:secret@models.example/repo"}
    payload = ModelsPayload.model_validate(fields)
    assert payload.source == "https://***@models.example/repo"
    refused = ResultPart(bundle="a", ok=False, stage="check", reason="https://me:secret@x: 404", time=TIME)
    assert refused.reason == "https://***@x: 404"


def test_the_biggest_payload_is_one_that_readers_take() -> None:
    name = "n" * 64
    full = bundle("999999999.999999999.999999999", name)
    refused = result("0.5.0", "check", "€" * MAX_REASON).model_copy(update={"bundle": full.id})
    payload = models(
        active=full,
        previous=full,
        available=[full.id] * MAX_AVAILABLE,
        last_result=refused,
        refused=[refused] * MAX_REFUSED,
    )
    wire = payload.to_json()
    assert len(wire) < MAX_PAYLOAD_BYTES
    assert ModelsPayload.model_validate_json(wire) == payload


@pytest.mark.parametrize(
    "change", [{"active": None}, {"pinned": "perhaps"}, {"candidate": {"stage": "sleep"}}, {"time": "now"}]
)
def test_what_is_no_payload_is_not_taken(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        ModelsPayload.model_validate(models().model_dump(by_alias=True) | change)
