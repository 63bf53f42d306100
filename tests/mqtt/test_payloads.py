import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.errors import InputError
from daemon.core.records import MODALITIES, Event, Moment, Recognition
from daemon.mqtt.payloads import (
    EventPayload,
    RecognitionPayload,
    StatePayload,
    ended_by_restart,
    event_payload,
    recognition_json,
    state_payload,
)
from tests.mqtt.records import LABELS, recognition, view

TIME = "2026-01-31T12:00:00.000001Z"


def build(of: Recognition, top: int = 3, labels=LABELS) -> RecognitionPayload:
    fields = recognition_json(of, bundle=view("digits@0.1.0", labels), node="node", stream="front", top=top, time=TIME)
    payload = RecognitionPayload.model_validate_json(fields)
    assert payload.to_json() == fields, "written by hand, it is what the model writes"
    return payload


def test_a_recognition_has_exactly_these_fields_in_this_order():
    fields = json.loads(build(recognition(("image", "audio"), ages_ns=(0, 123_456_789)), top=2).to_json())
    assert list(fields) == [
        "schema", "id", "time", "node", "stream", "bundle", "scoring", "label", "score", "modalities", "labels",
    ]  # fmt: skip
    assert fields["schema"] == 1
    assert (fields["time"], fields["node"], fields["stream"], fields["bundle"]) == (
        TIME,
        "node",
        "front",
        "digits@0.1.0",
    )
    assert fields["modalities"] == {
        "image": {"age_ms": 0.0, "device": "cpu"},
        "audio": {"age_ms": 123.5, "device": "cpu"},
    }
    assert len(fields["labels"]) == 2
    assert list(fields["labels"][0]) == ["label", "score", "logit", "bias", "shares"]
    assert (fields["label"], fields["score"]) == (fields["labels"][0]["label"], fields["labels"][0]["score"])
    assert len(fields["id"]) == 32


SEVERAL = {"scene": "image", "people": "image", "sound": "audio"}


def several(**changes) -> RecognitionPayload:
    """The payload of three encoders, two of them of pictures, with the present ones of `changes`."""
    ages_ns = {"scene": 80_000_000, "people": 0, "sound": 250_000_000}
    present = changes.pop("present", tuple(SEVERAL))
    made = recognition(present, ages_ns=[ages_ns[name] for name in present], **changes)
    bundle = view("home@1.0.0", scoring="independent", encoders=SEVERAL, tells_encoders=True)
    fields = recognition_json(made, bundle=bundle, node="node", stream="front", top=2, time=TIME)
    payload = RecognitionPayload.model_validate_json(fields)
    assert payload.to_json() == fields, "written by hand, it is what the model writes"
    return payload


def test_a_bundle_of_format_2_tells_its_encoders_beneath_their_senses():
    fields = json.loads(several().to_json())
    assert list(fields) == [
        "schema", "id", "time", "node", "stream", "bundle", "scoring", "label", "score", "modalities", "encoders",
        "labels",
    ]  # fmt: skip
    assert fields["scoring"] == "independent"
    assert fields["modalities"] == {
        "image": {"age_ms": 0.0, "device": "cpu"},
        "audio": {"age_ms": 250.0, "device": "cpu"},
    }
    assert fields["encoders"] == {
        "scene": {"modality": "image", "age_ms": 80.0, "device": "cpu"},
        "people": {"modality": "image", "age_ms": 0.0, "device": "cpu"},
        "sound": {"modality": "audio", "age_ms": 250.0, "device": "cpu"},
    }
    assert list(fields["labels"][0]) == ["label", "score", "logit", "bias", "shares", "encoders"]


def test_a_sense_is_told_by_its_freshest_encoder_and_late_is_told_of_the_late_one():
    fields = json.loads(several(late_ns=700_000_000).to_json())
    assert "late_ms" not in fields["modalities"]["image"], "people is fresher, and in time"
    assert fields["encoders"]["scene"]["late_ms"] == 700.0
    assert "late_ms" not in fields["encoders"]["people"]


@given(st.integers(0, 1000), st.sets(st.sampled_from(list(SEVERAL)), min_size=1))
def test_shares_of_encoders_add_up_to_those_of_their_sense_and_with_the_bias_to_the_logit(seed, present):
    ordered = tuple(name for name in SEVERAL if name in present)
    for part in several(seed=seed, present=ordered).labels:
        assert set(part.encoders) == present
        for sense, share in part.shares.items():
            alike = [part.encoders[name] for name in ordered if SEVERAL[name] == sense]
            assert round(sum(alike), 4) == pytest.approx(share, abs=1e-9)
        assert round(part.bias + sum(part.shares.values()), 4) == pytest.approx(part.logit, abs=1e-9)


def test_an_embedding_that_was_fused_late_tells_its_age():
    payload = build(recognition(("image", "audio"), late_ns=612_340_000))
    assert json.loads(payload.to_json())["modalities"] == {
        "image": {"age_ms": 0.0, "device": "cpu", "late_ms": 612.3},
        "audio": {"age_ms": 0.0, "device": "cpu"},
    }


def test_the_same_recognition_gives_the_same_bytes_apart_from_its_id():
    one, two = build(recognition(seed=3)), build(recognition(("audio", "image"), seed=3))
    assert one.id != two.id
    assert one.model_copy(update={"id": ""}).to_json() == two.model_copy(update={"id": ""}).to_json()


def test_the_best_labels_come_first_and_equal_ones_in_the_bundles_order():
    scores = np.array([0.1, 0.4, 0.1, 0.4], np.float32)
    zeros = np.zeros(4, np.float32)
    of = Recognition(Moment(0, recognition().moment.embeddings), scores, zeros, {"image": zeros})
    assert [part.label for part in build(of, top=9, labels=["a", "b", "c", "d"]).labels] == ["b", "d", "a", "c"]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 40),
    st.lists(st.sampled_from(MODALITIES), unique=True),
    st.integers(1, 64),
)
def test_bias_and_shares_add_up_to_the_logit_as_printed(seed, labels, present, top):
    of = recognition(present, labels=labels, seed=seed)
    fields = json.loads(build(of, top, [str(n) for n in range(labels)]).to_json())
    assert len(fields["labels"]) == min(top, labels)
    for part in fields["labels"]:
        assert part["bias"] + sum(part["shares"].values()) == pytest.approx(part["logit"], abs=1e-9)
        exact = of.bias[int(part["label"])] + sum(of.shares[m][int(part["label"])] for m in of.shares)
        assert part["logit"] == pytest.approx(exact, abs=3e-4)
        assert set(part["shares"]) == set(present) == set(fields["modalities"])
    assert [part["score"] for part in fields["labels"]] == sorted((p["score"] for p in fields["labels"]), reverse=True)
    assert RecognitionPayload.model_validate(fields).labels[0].label == fields["label"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    of = recognition()
    of.shares["audio"][...] = bad  # centred, one number that is none makes all so
    with pytest.raises(InputError, match="front: the head gave numbers that are not finite"):
        build(of)


def test_scores_slightly_beyond_1_are_1():
    scores = np.array([1.0000002, -1e-9], np.float32)
    zeros = np.zeros(2, np.float32)
    of = Recognition(recognition().moment, scores, zeros, {"image": zeros})
    assert [part.score for part in build(of, labels=["a", "b"]).labels] == [1.0, 0.0]
    assert b"-0.0" not in build(of, labels=["a", "b"]).to_json()


SHARES = {"image": 2 / 3, "audio": 1 / 3, "text": 0.0}


@pytest.mark.parametrize("parts", [(1, 1, 1), (2, 3, 7), (1, 1e-9, 0), (0.00005, 0.99995, 0), (0, 0, 0)])
def test_the_shares_of_an_event_add_up(parts):
    shares = {m: part / (sum(parts) or 1) for m, part in zip(MODALITIES, parts, strict=True)}
    event = Event("start", "7", "abc", 0, 0, 0.9, 0.9, None, shares)
    made = event_payload(event, node="node", stream="front", bundle_id="digits@0.1.0", time=TIME, started=TIME)
    assert sum(made.shares.values()) == pytest.approx(1 if any(parts) else 0, abs=1e-12)
    assert made.shares == pytest.approx(shares, abs=1e-4)


def test_an_event_of_an_older_version_has_no_shares():
    """The outbox may hold some, and other nodes may send some."""
    event = Event("start", "7", "abc", 0, 0, 0.9, 0.9)
    fields = json.loads(event_payload(event, node="n", stream="s", bundle_id="b", time=TIME, started=TIME).to_json())
    del fields["shares"]
    read = EventPayload.model_validate(fields)
    assert (read.shares, ended_by_restart(read).ended_by) == ({}, "restart")


def test_an_event_has_exactly_these_fields():
    event = Event("end", "7", "abc", 1_000_000_000, 4_200_000_000, 0.31, 0.98765, "absent", SHARES)
    made = event_payload(event, node="node", stream="front", bundle_id="digits@0.1.0", time=TIME, started=TIME)
    assert json.loads(made.to_json()) == {
        "schema": 1,
        "sequence": 0,
        "id": "abc",
        "phase": "end",
        "label": "7",
        "score": 0.31,
        "peak": 0.9877,
        "shares": {"image": 0.6667, "audio": 0.3333, "text": 0.0},
        "time": TIME,
        "started": TIME,
        "duration_s": 3.2,
        "ended_by": "absent",
        "node": "node",
        "stream": "front",
        "bundle": "digits@0.1.0",
    }
    assert EventPayload.model_validate_json(made.to_json()) == made


def test_a_state_may_be_nothing():
    assert state_payload(label=None, score=None, since=TIME).to_json() == (
        b'{"schema":1,"label":null,"score":null,"since":"%s","open":[]}' % TIME.encode()
    )
    seven = state_payload(label="7", score=0.91234, since=TIME)
    assert StatePayload.model_validate_json(seven.to_json()) == seven
    assert seven.score == 0.9123
