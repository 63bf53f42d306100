"""Texts about bundles: their wording, and that no text from the broker reaches a terminal as an escape sequence."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli.models_text import active_text, check_text, listing, progress_text, result_text, stage_text
from daemon.mqtt.update_payloads import CheckPart, ModelsPayload, without_updates
from tests.fakes.updates import TIME, bundle, candidate, models, result

ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (stage_text(candidate("download", done=500)), "digits@0.5.0: download"),
        (progress_text(candidate("download", done=500)), "digits@0.5.0: download 50 %"),
        (progress_text(candidate("download", done=5000)), "digits@0.5.0: download 100 %"),
        (progress_text(candidate("download", total=0)), "digits@0.5.0: download"),
        (progress_text(candidate("check", done=1000)), "digits@0.5.0: check"),
        (result_text(result("0.5.0")), "has installed digits@0.5.0"),
        (result_text(result("0.5.0", "check", "no")), "has given up digits@0.5.0 in check: no"),
        (active_text(models()), "runs digits@0.4.0"),
        (active_text(models(latest="0.5.0")), "runs digits@0.4.0; the latest is 0.5.0"),
        (check_text(models()), "none yet"),
        (check_text(models(last_check=CheckPart(ok=True, reason=None, time=TIME))), "good"),
        (check_text(models(last_check=CheckPart(ok=False, reason="404", time=TIME))), "failed: 404"),
    ],
)
def test_texts_about_bundles(text: str, expected: str) -> None:
    assert text == expected


def test_the_listing_tells_what_was_taught_and_what_waits_for_it() -> None:
    taught = bundle("0.4.0+taught.3").model_copy(update={"taught": True})
    waits = candidate("switch", "0.5.0").model_copy(update={"waits": "an example of kettle has no picture"})
    payload = models(active=taught, previous=bundle("0.4.0", shipped=True), latest="0.4.0+taught.3", candidate=waits)
    assert listing(payload)[:3] == [
        "active      digits@0.4.0+taught.3 (with what was taught here)",
        "previous    digits@0.4.0 (the config's own)",
        "waiting     digits@0.5.0 waits: an example of kettle has no picture, since 2026-01-31 12:00:04",
    ]
    without_source = listing(payload.model_copy(update={"source": None}))
    assert without_source[-1] == "source      none: models.source in config.yaml is not set"
    assert active_text(payload) == "runs digits@0.4.0+taught.3"


def test_the_listing_has_every_field() -> None:
    payload = models(
        active=bundle("0.4.1"),
        previous=bundle("0.4.0", shipped=True),
        candidate=candidate("download", "0.6.0", 420),
        latest="0.6.0",
        available=["digits@0.6.0", "letters@1.0.0"],
        pinned=True,
        last_check=CheckPart(ok=False, reason="404", time=TIME),
        last_result=result("0.4.1"),
        refused=[result("0.5.0", "check", "two labels are missing")],
    )
    assert listing(payload) == [
        "active       digits@0.4.1",
        "previous     digits@0.4.0 (the config's own)",
        "installing   digits@0.6.0: download 42 %, since 2026-01-31 12:00:04",
        "latest       digits@0.6.0",
        "available    digits@0.6.0",
        "             letters@1.0.0",
        "refused      digits@0.5.0 in check: two labels are missing, 2026-01-31 12:00:04",
        "last result  has installed digits@0.4.1, 2026-01-31 12:00:04",
        "pinned       yes: another is installed only when somebody asks",
        "last check   failed: 404, 2026-01-31 12:00:04",
        "source       https://models.example/repo",
    ]


def test_without_a_source_the_listing_explains_what_that_means() -> None:
    assert listing(without_updates("node", "digits", "0.4.0", TIME)) == [
        "active      digits@0.4.0 (the config's own)",
        "latest      digits@0.4.0",
        "pinned      no",
        "last check  none yet",
        "source      none: models.source in config.yaml is not set, so the config's own bundle always runs",
    ]


@given(ANY)
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    odd = {"id": text, "name": text, "version": text}
    payload = models(
        source=text,
        active=bundle("1").model_copy(update=odd),
        previous=bundle("1").model_copy(update=odd),
        candidate=candidate("download").model_copy(update=odd),
        latest=text,
        available=[text],
        last_check=CheckPart(ok=False, reason=text, time=TIME),
        last_result=result("1", "check", text).model_copy(update={"bundle": text}),
        refused=[result("1", "check", text).model_copy(update={"bundle": text})],
    )
    assert ModelsPayload.model_validate_json(payload.to_json()).latest == text
    for line in [*listing(payload), active_text(payload), check_text(payload)]:
        assert line.isprintable()
        assert len(line) < 400
