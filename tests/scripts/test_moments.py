"""The moments that the head is fitted to."""

import numpy as np
from training.moments import CLEAR, LabelledEmbeddings, make_moments
from training.specs import LABELS, NONE

SIZE = len(LABELS)
SURE = CLEAR + 0.5
ONE_HOT = LabelledEmbeddings(SURE * np.eye(SIZE, dtype=np.float32), np.arange(SIZE))
EMBEDDED = {"image": ONE_HOT, "audio": ONE_HOT, "text": ONE_HOT}


def moments(subsets: tuple[int, ...] = tuple(range(1, 8))) -> tuple[np.ndarray, np.ndarray]:
    return make_moments(EMBEDDED, 5_000, np.random.default_rng(1), subsets)


def test_absent_modalities_are_zeros_and_present_ones_are_not() -> None:
    features, _ = moments()
    evidence, present = features[:, : 3 * SIZE].reshape(-1, 3, SIZE), features[:, 3 * SIZE :]
    assert np.array_equal(evidence.sum(axis=2), SURE * present)
    assert {tuple(row) for row in present.tolist()} == {
        (a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1) if a + b + c
    }


def test_the_target_is_the_shown_digit_or_is_divided_between_contradicting_digits() -> None:
    features, targets = moments()
    votes = features[:, : 3 * SIZE].reshape(-1, 3, SIZE)[:, :, :NONE].sum(axis=1) / SURE
    shown = votes.sum(axis=1) > 0
    assert np.allclose(targets.sum(axis=1), 1)
    assert (targets[~shown, NONE] == 1).all()
    assert np.allclose(targets[shown, :NONE], votes[shown] / votes[shown].sum(axis=1, keepdims=True))
    assert ((votes > 0).sum(axis=1) == 2).any()


def test_only_the_requested_subsets_occur() -> None:
    features, _ = moments((0b101,))
    assert (features[:, 3 * SIZE :] == [1, 0, 1]).all()


def test_only_clear_items_contradict() -> None:
    unsure, sure = 2.0 * np.eye(SIZE, dtype=np.float32), SURE * np.eye(SIZE, dtype=np.float32)
    embedded = LabelledEmbeddings(np.concatenate([unsure, sure]), np.tile(np.arange(SIZE), 2))
    features, targets = make_moments(dict.fromkeys(EMBEDDED, embedded), 5_000, np.random.default_rng(1))
    evidence = features[:, : 3 * SIZE].reshape(-1, 3, SIZE)
    divided = targets.max(axis=1) < 1
    assert divided.any()
    assert set(np.unique(evidence[divided])) == {0.0, SURE}
    assert 2.0 in evidence[~divided]


def test_an_encoder_without_clear_items_contradicts_with_unclear_ones() -> None:
    unsure = LabelledEmbeddings(2.0 * np.eye(SIZE, dtype=np.float32), np.arange(SIZE))
    _, targets = make_moments(dict.fromkeys(EMBEDDED, unsure), 5_000, np.random.default_rng(1))
    assert (targets.max(axis=1) < 1).any()
