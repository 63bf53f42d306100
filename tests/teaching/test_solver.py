"""The solver of taught labels: its slopes, its views, and its way back from the basis to F."""

import numpy as np
import pytest

from daemon.core.records import Array
from daemon.teaching.basis import basis_of
from daemon.teaching.logistic import Problem, Weights, log_loss, margins, solve
from daemon.teaching.material import views_of
from daemon.teaching.rows import Row
from tests.helpers.taught_world import MODALITIES, SIZES, World

RNG = np.random.default_rng(5)


def problem(*, exclusive: bool) -> Problem:
    rows = [RNG.normal(0, 1, (40, 4)).astype(np.float32), RNG.normal(0, 1, (40, 3)).astype(np.float32)]
    label = RNG.integers(-1, 2, 40)
    targets = (label[:, np.newaxis] == np.arange(2)).astype(np.float32)
    weights = RNG.uniform(0.5, 1, (40, 2)).astype(np.float32) / 40
    views = views_of(2)
    counts = np.full((40, len(views)), 1 / len(views), np.float32)
    offsets = RNG.normal(0, 1, (len(views), 40)).astype(np.float32) if exclusive else None
    return Problem(rows, targets, weights, views, counts, offsets)


def whole(of: Problem) -> Problem:
    """The same rows, shown whole only."""
    counts = np.zeros_like(of.view_weights)
    counts[:, 0] = 1
    return Problem(of.rows, of.targets, of.weights, of.views, counts, of.offsets)


@pytest.mark.parametrize("exclusive", [False, True])
def test_the_solution_is_where_the_loss_is_smallest(exclusive: bool) -> None:
    rows, everything = whole(problem(exclusive=exclusive)), np.ones(40, bool)
    found = solve(rows, 0.01, steps=500)

    def loss(weights: Weights) -> float:
        squares = sum(float(np.square(block).sum()) for block in weights.blocks)
        return log_loss(rows, weights, everything) + 0.01 / 2 * squares

    least = loss(found)
    for _ in range(20):
        step = [RNG.normal(0, 0.05, block.shape).astype(np.float32) for block in found.blocks]
        moved = Weights([block + each for block, each in zip(found.blocks, step, strict=True)], found.bias + 0.05)
        assert loss(moved) > least


def test_a_view_leaves_out_what_it_does_not_show() -> None:
    rows = problem(exclusive=False)
    found = solve(rows, 0.01)
    alone = found.logits(rows.rows, np.array([False, True]))
    assert alone == pytest.approx(rows.rows[1] @ found.blocks[1] + found.bias, abs=1e-5)


def test_margins_are_the_logits_of_a_softmax() -> None:
    logits, offset = RNG.normal(0, 3, (30, 4)).astype(np.float32), RNG.normal(0, 3, 30).astype(np.float32)
    powers = np.exp(np.column_stack([logits, offset]).astype(np.float64))
    scores = powers[:, :4] / powers.sum(axis=1, keepdims=True)
    assert 1 / (1 + np.exp(-margins(logits, offset))) == pytest.approx(scores, abs=1e-5)


def test_the_whole_view_is_the_first_and_no_view_comes_twice() -> None:
    assert views_of(1).tolist() == [[True]]
    assert views_of(2).tolist() == [[True, True], [True, False], [False, True]]
    assert len(views_of(3)) == 7 and views_of(3)[0].all()


def simple(rows: Array, targets: Array) -> Problem:
    """One modality and one label; each row counts the same."""
    weights = np.full((len(rows), 1), 1 / len(rows), np.float32)
    return Problem([rows], targets.reshape(-1, 1), weights, views_of(1), np.ones((len(rows), 1), np.float32))


FEW = (np.arange(10) < 3).astype(np.float32)
NORMAL = RNG.normal(0, 1, (10, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("rows", "targets"),
    [
        (FEW[:, np.newaxis] * 20 - 10, FEW),
        (NORMAL, FEW),
        (np.ones((1, 3), np.float32), np.ones(1, np.float32)),
        (NORMAL, np.ones(10, np.float32)),
        (np.ones((10, 4), np.float32), FEW),
        (np.zeros((10, 0), np.float32), FEW),
        (NORMAL * np.float32(1e8), FEW),
        (NORMAL * np.float32(1e30), FEW),
        (np.full((10, 4), np.nan, np.float32), FEW),
    ],
    ids=["separable", "normal", "one", "all", "constant", "empty", "large", "huge", "not finite"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_are_finite_and_the_same_in_each_run(rows: Array, targets: Array) -> None:
    first, second = (solve(simple(rows, targets), 0.001) for _ in range(2))
    assert np.isfinite(first.blocks[0]).all() and np.isfinite(first.bias).all()
    assert np.array_equal(first.blocks[0], second.blocks[0]) and np.array_equal(first.bias, second.bias)


def test_what_is_separable_is_separated() -> None:
    found = solve(simple(FEW[:, np.newaxis] * 20 - 10, FEW), 0.001)
    logits = found.logits([FEW[:, np.newaxis] * 20 - 10])[:, 0]
    assert logits[FEW == 1].min() > 3 and logits[FEW == 0].max() < -3


class TooLarge(np.ndarray):  # type: ignore[type-arg]
    """Rows that fit into memory for three products, and then no more."""

    products = 0

    def __matmul__(self, other: Array) -> Array:  # type: ignore[override]
        TooLarge.products += 1
        if TooLarge.products > 3:
            raise MemoryError
        return np.asarray(np.asarray(self) @ other)


def test_a_fit_that_does_not_fit_into_memory_says_so() -> None:
    """After the first evaluation NLopt gives an error of its own, as when no step is better."""
    with pytest.raises(MemoryError):
        solve(simple(NORMAL.view(TooLarge), FEW), 0.001)
    assert TooLarge.products > 3


def features(vectors: dict[str, Array]) -> Array:
    parts = [vectors.get(name, np.zeros(size, np.float32)) for name, size in SIZES.items()]
    return np.concatenate([*parts, np.array([name in vectors for name in SIZES], np.float32)])


def test_weights_of_the_basis_are_turned_into_weights_of_f() -> None:
    world = World()
    senses = [{"scene": "room"}, {"sound": "bell"}, {"scene": "room", "sound": "quiet"}, {"scene": "hall"}]
    rows = [Row(world.vectors(senses[place % 4]), "background") for place in range(60)]
    basis = basis_of(rows, SIZES, MODALITIES)
    blocks = basis.reduce(rows)
    weights = [RNG.normal(0, 1, (block.shape[1], 3)).astype(np.float32) for block in blocks]
    reduced = sum(block @ part for block, part in zip(blocks, weights, strict=True))
    whole = np.stack([features(dict(row.vectors)) for row in rows]) @ basis.to_features(weights).T
    assert whole == pytest.approx(np.asarray(reduced), abs=1e-3)


def test_an_encoder_that_never_changes_has_no_direction() -> None:
    rows = [Row({"sound": np.ones(SIZES["sound"], np.float32)}, "background") for _ in range(5)]
    basis = basis_of(rows, SIZES, MODALITIES)
    assert [each.directions.shape[1] for each in basis.encoders] == [0, 0]
    assert np.isfinite(basis.to_features([np.ones((1, 1), np.float32)] * 2)).all()
