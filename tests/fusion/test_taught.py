"""The head of taught labels beside the head of a bundle: what was known before stays, and shares are exact."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.records import Array, Embedding, Moment, Scoring
from daemon.fusion.fuse import FusionHead
from daemon.fusion.taught import NO_TAUGHT, TaughtHead
from tests.fakes.models import PlainHead

SIZES = {"scene": 4, "sound": 3}
COLUMNS = 9
BASE, NONE, TAUGHT = 5, 4, 3


def heads(
    scoring: Scoring, seed: int, states: Sequence[str | None] = (None,) * TAUGHT
) -> tuple[FusionHead, FusionHead, Array, Array]:
    """Return the head of a bundle, the same with three taught labels, and their weights and bias."""
    generator = np.random.default_rng(seed)
    base = generator.normal(size=(BASE, COLUMNS)).astype(np.float32), generator.normal(size=BASE).astype(np.float32)
    weights = np.vstack([generator.normal(0, 2, (TAUGHT, COLUMNS)), np.zeros(COLUMNS)]).astype(np.float32)
    bias = np.append(generator.normal(0, 2, TAUGHT), 0).astype(np.float32)
    background = NONE if scoring == "independent" else None
    taught = TaughtHead(PlainHead(weights, bias, list(SIZES.values()), background=TAUGHT), bias[:-1], states)
    plain, beside = (PlainHead(*base, list(SIZES.values()), background) for _ in range(2))
    return FusionHead(plain, SIZES, background), FusionHead(beside, SIZES, background, taught), weights[:-1], bias[:-1]


def moment(seed: int, present: set[str]) -> tuple[Moment, Array]:
    """Return a moment with some of the encoders, and its features F."""
    generator = np.random.default_rng(seed)
    vectors = {name: generator.normal(size=size).astype(np.float32) for name, size in SIZES.items()}
    parts = [vectors[name] if name in present else np.zeros(size, np.float32) for name, size in SIZES.items()]
    features = np.concatenate([*parts, np.array([name in present for name in SIZES], np.float32)])
    return Moment(7, {name: Embedding(name, vectors[name], 0, 7) for name in SIZES if name in present}), features


seeds = st.integers(0, 1000)
senses = st.sets(st.sampled_from(list(SIZES)), min_size=1)
scopes = st.sets(st.integers(0, TAUGHT - 1)).map(sorted)


@given(seeds, senses, scopes)
def test_independent_scores_of_before_stay_bit_for_bit(seed: int, present: set[str], scope: list[int]) -> None:
    before, after, weights, bias = heads("independent", seed)
    at, features = moment(seed, present)
    old, new = before.recognise(at), after.recognise(at, np.array(scope, np.intp))
    np.testing.assert_array_equal(np.delete(new.scores[:BASE], NONE), np.delete(old.scores, NONE))
    np.testing.assert_array_equal(new.bias[:BASE], old.bias)
    for name in present:
        np.testing.assert_array_equal(new.shares[name][:BASE], old.shares[name])
    np.testing.assert_allclose(new.scores[BASE:], 1 / (1 + np.exp(-(weights @ features + bias)[scope])), atol=1e-5)
    assert new.scores[NONE] == 1 - np.delete(new.scores, NONE).max()


@given(seeds, senses, scopes)
def test_exclusive_scores_of_before_keep_their_proportions(seed: int, present: set[str], scope: list[int]) -> None:
    before, after, *_ = heads("exclusive", seed)
    at, _ = moment(seed, present)
    old, new = before.recognise(at), after.recognise(at, np.array(scope, np.intp))
    assert len(new.scores) == BASE + len(scope)
    np.testing.assert_allclose(new.scores.sum(), 1, atol=1e-5)
    np.testing.assert_allclose(new.scores[:BASE] / new.scores[:BASE].sum(), old.scores, atol=1e-5)


@pytest.mark.parametrize("scoring", ["exclusive", "independent"])
@given(seed=seeds, present=senses, scope=scopes)
def test_bias_and_shares_of_taught_labels_add_up_to_the_logits(
    scoring: Scoring, seed: int, present: set[str], scope: list[int]
) -> None:
    _, head, weights, bias = heads(scoring, seed)
    at, features = moment(seed, present)
    recognition = head.recognise(at, np.array(scope, np.intp))
    logits = recognition.bias + sum(recognition.shares.values())
    np.testing.assert_allclose(logits[BASE:], (weights @ features + bias)[scope], atol=1e-3)
    explained = np.exp(logits) / np.exp(logits).sum() if scoring == "exclusive" else 1 / (1 + np.exp(-logits))
    compared = np.arange(len(logits)) if scoring == "exclusive" else np.delete(np.arange(len(logits)), NONE)
    np.testing.assert_allclose(explained[compared], recognition.scores[compared], atol=1e-4)


@given(seeds, senses)
def test_a_state_does_not_keep_anything_else_from_being_recognised(seed: int, present: set[str]) -> None:
    at, _ = moment(seed, present)
    for scoring, columns in (("independent", BASE), ("exclusive", BASE + 1)):
        _, events, *_ = heads(scoring, seed)
        _, both, *_ = heads(scoring, seed, [None, "garage", "garage"])
        alone, beside = events.recognise(at, np.array([0], np.intp)), both.recognise(at)
        np.testing.assert_allclose(beside.scores[:columns], alone.scores[:columns], atol=1e-6)


@given(seeds, senses)
def test_each_group_of_states_stands_beside_the_labels_of_an_exclusive_bundle(seed: int, present: set[str]) -> None:
    at, _ = moment(seed, present)
    _, one_group, *_ = heads("exclusive", seed, ["gate"] * TAUGHT)
    before, after, weights, bias = heads("exclusive", seed, ["gate", "garage", "garage"])
    _, features = moment(seed, present)
    old, new = before.recognise(at), after.recognise(at)
    np.testing.assert_allclose(new.scores[:BASE], old.scores, atol=1e-6)
    exponentials = np.exp(weights @ features + bias)
    rest = np.exp(old.bias + np.sum(list(old.shares.values()), axis=0)).sum()
    garage = exponentials[1:] / (rest + exponentials[1:].sum())
    np.testing.assert_allclose(new.scores[BASE:], [exponentials[0] / (rest + exponentials[0]), *garage], atol=1e-5)
    # with others of their group, as if they were the only labels that were taught
    np.testing.assert_allclose(
        one_group.recognise(at).scores[BASE:].sum(), 1 - rest / (rest + exponentials.sum()), atol=1e-5
    )


@pytest.mark.parametrize("scoring", ["exclusive", "independent"])
def test_without_a_taught_label_in_scope_everything_is_as_before(scoring: Scoring) -> None:
    before, after, *_ = heads(scoring, 3)
    at, _ = moment(3, set(SIZES))
    old, new = before.recognise(at), after.recognise(at, NO_TAUGHT)
    np.testing.assert_array_equal(new.scores, old.scores)
    np.testing.assert_array_equal(new.bias, old.bias)


@pytest.mark.parametrize("scoring", ["exclusive", "independent"])
def test_without_a_scope_every_taught_label_counts(scoring: Scoring) -> None:
    _, head, *_ = heads(scoring, 3)
    at, _ = moment(3, set(SIZES))
    assert len(head.recognise(at).scores) == BASE + TAUGHT


@pytest.mark.parametrize("scoring", ["exclusive", "independent"])
def test_a_taught_label_that_is_not_finite_shows(scoring: Scoring) -> None:
    _, head, *_ = heads(scoring, 3)
    at, _ = moment(3, {"sound"})
    at.embeddings["sound"].vector[0] = np.nan
    assert not np.isfinite(head.recognise(at).scores).all()


def test_scores_far_from_one_half_do_not_overflow() -> None:
    weights = np.array([[300, -300, 0], [0, 0, 0]], np.float32)
    taught = TaughtHead(PlainHead(weights, np.zeros(2, np.float32), [2], background=1), np.zeros(1, np.float32), [None])
    head = FusionHead(PlainHead(np.zeros((2, 3), np.float32), np.zeros(2, np.float32), [2]), {"scene": 2}, None, taught)
    loud = Moment(7, {"scene": Embedding("scene", np.array([1, 0], np.float32), 0, 7)})
    quiet = Moment(7, {"scene": Embedding("scene", np.array([0, 1], np.float32), 0, 7)})
    np.testing.assert_allclose(head.recognise(loud).scores, [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(head.recognise(quiet).scores, [0.5, 0.5, 0], atol=1e-6)


@pytest.mark.parametrize("number", [-90, 90])
def test_a_large_bias_is_exact(number: float) -> None:
    weights, bias = np.array([[-number, 0], [0, 0]], np.float32), np.array([number, 0], np.float32)
    taught = TaughtHead(PlainHead(weights, bias, [1], background=1), bias[:1], [None])
    head = FusionHead(PlainHead(np.zeros((2, 2), np.float32), np.zeros(2, np.float32), [1], 1), {"scene": 1}, 1, taught)
    recognition = head.recognise(Moment(7, {"scene": Embedding("scene", np.ones(1, np.float32), 0, 7)}))
    assert recognition.bias[2] + recognition.shares["scene"][2] == 0
    assert recognition.scores[2] == 0.5
