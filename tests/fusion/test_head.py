"""The fusion head: scores and shares, with plain arithmetic and with the TFLite graph."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.errors import ModelError
from daemon.core.records import MODALITIES, Embedding, Modality, Moment
from daemon.core.sealed import SealedFile
from daemon.fusion.fuse import FusionHead
from daemon.inference.graphs import write_head
from daemon.inference.interpreter import TfliteModel
from tests.fakes.models import PlainHead

SIZES: dict[Modality, int] = {"image": 4, "audio": 3, "text": 2}
LABELS = 5


def float_tensor(*shape: int) -> TensorSpec:
    return TensorSpec(shape=list(shape), dtype="float32")


def weights_of(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(LABELS, sum(SIZES.values()) + len(SIZES))).astype(np.float32)
    return weights, generator.normal(size=LABELS).astype(np.float32)


def moment_of(seed: int, present: set[Modality]) -> Moment:
    generator = np.random.default_rng(seed)
    vectors = {modality: generator.normal(size=size).astype(np.float32) for modality, size in SIZES.items()}
    return Moment(7, {name: Embedding(name, vectors[name], 0, 7) for name in MODALITIES if name in present})


@pytest.fixture(scope="module")
def tflite_head(tmp_path_factory: pytest.TempPathFactory) -> tuple[FusionHead, np.ndarray, np.ndarray]:
    weights, bias = weights_of(1)
    path = tmp_path_factory.mktemp("head") / "head.tflite"
    path.write_bytes(write_head(weights, bias, list(SIZES.values())))
    outputs = [float_tensor(1, LABELS), float_tensor(1, 3, LABELS)]
    model = TfliteModel(SealedFile(path), float_tensor(1, weights.shape[1]), outputs)
    return FusionHead(model, SIZES), weights, bias


subsets = st.sets(st.sampled_from(MODALITIES), min_size=1)


@given(st.integers(0, 1000), subsets)
def test_bias_and_shares_sum_to_the_logit_and_explain_the_scores(
    tflite_head: tuple[FusionHead, np.ndarray, np.ndarray], seed: int, present: set[Modality]
) -> None:
    head, weights, bias = tflite_head
    moment = moment_of(seed, present)
    recognition = head.recognise(moment)
    features = [moment.embeddings[m].vector if m in present else np.zeros(SIZES[m]) for m in MODALITIES]
    flags = [[1.0 if modality in present else 0.0 for modality in MODALITIES]]
    logits = weights @ np.concatenate([*features, *flags]) + bias
    explained = recognition.bias + sum(recognition.shares.values())
    assert set(recognition.shares) == present
    np.testing.assert_allclose(explained, logits - logits.mean(), atol=1e-4)
    np.testing.assert_allclose(recognition.scores, np.exp(explained) / np.exp(explained).sum(), atol=1e-5)
    for share in (recognition.bias, *recognition.shares.values()):
        assert abs(float(share.sum())) < 1e-4


@given(st.integers(0, 1000), subsets)
def test_the_graph_computes_the_formula(
    tflite_head: tuple[FusionHead, np.ndarray, np.ndarray], seed: int, present: set[Modality]
) -> None:
    head, weights, bias = tflite_head
    plain = FusionHead(PlainHead(weights, bias, list(SIZES.values())), SIZES)
    ours, theirs = head.recognise(moment_of(seed, present)), plain.recognise(moment_of(seed, present))
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)
    for modality in present:
        np.testing.assert_allclose(ours.shares[modality], theirs.shares[modality], atol=1e-4)


def test_a_bias_that_makes_a_score_zero_is_refused() -> None:
    weights, _ = weights_of(1)
    bias = np.array([0, 0, 0, 0, -1000], np.float32)
    with pytest.raises(ModelError, match="bias"):
        FusionHead(PlainHead(weights, bias, list(SIZES.values())), SIZES)


# a bundle of format 2: two encoders of pictures and one of sound
SEVERAL = {"scene": 4, "people": 1, "sound": 3}
NONE = 2


@pytest.fixture(scope="module")
def independent_head(tmp_path_factory: pytest.TempPathFactory) -> tuple[FusionHead, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(4)
    weights = generator.normal(size=(LABELS, 8 + 3)).astype(np.float32)
    bias = generator.normal(size=LABELS).astype(np.float32)
    path = tmp_path_factory.mktemp("head") / "head.tflite"
    path.write_bytes(write_head(weights, bias, list(SEVERAL.values()), "independent", NONE))
    outputs = [float_tensor(1, LABELS), float_tensor(1, 3, LABELS)]
    model = TfliteModel(SealedFile(path), float_tensor(1, weights.shape[1]), outputs)
    return FusionHead(model, SEVERAL, NONE), weights, bias


@given(st.integers(0, 1000), st.sets(st.sampled_from(list(SEVERAL)), min_size=1))
def test_independent_scores_compare_each_label_with_the_background_alone(
    independent_head: tuple[FusionHead, np.ndarray, np.ndarray], seed: int, present: set[str]
) -> None:
    head, weights, bias = independent_head
    generator = np.random.default_rng(seed)
    vectors = {name: generator.normal(size=size).astype(np.float32) for name, size in SEVERAL.items()}
    moment = Moment(7, {name: Embedding(name, vectors[name], 0, 7) for name in SEVERAL if name in present})
    recognition = head.recognise(moment)
    features = [vectors[name] if name in present else np.zeros(size) for name, size in SEVERAL.items()]
    logits = weights @ np.concatenate([*features, [float(name in present) for name in SEVERAL]]) + bias
    differences = logits - logits[NONE]
    expected = 1 / (1 + np.exp(-differences))
    expected[NONE] = 1 - np.delete(expected, NONE).max()
    assert set(recognition.shares) == present
    explained = recognition.bias + sum(recognition.shares.values())
    np.testing.assert_allclose(explained, differences, atol=1e-4)
    np.testing.assert_allclose(recognition.scores, expected, atol=1e-5)
    np.testing.assert_allclose(np.delete(1 / (1 + np.exp(-explained)) - recognition.scores, NONE), 0, atol=1e-5)
    assert all(share[NONE] == 0 for share in (recognition.bias, *recognition.shares.values()))


def test_a_recognition_does_not_change_an_earlier_one(
    independent_head: tuple[FusionHead, np.ndarray, np.ndarray],
) -> None:
    head, *_ = independent_head
    moments = [Moment(7, {"people": Embedding("people", np.full(1, value, np.float32), 0, 7)}) for value in (-3, 3)]
    first = head.recognise(moments[0])
    before = first.scores.copy(), first.shares["people"].copy()
    head.recognise(moments[1])
    np.testing.assert_array_equal(before, (first.scores, first.shares["people"]))


@pytest.mark.parametrize("number", [-1000, 1000])
def test_a_bias_that_makes_an_independent_score_0_or_1_is_refused(number: float) -> None:
    plain = PlainHead(np.zeros((2, 2), np.float32), np.array([number, 0], np.float32), [1], background=1)
    with pytest.raises(ModelError, match="bias"):
        FusionHead(plain, {"scene": 1}, 1)


def test_independent_scoring_needs_a_background() -> None:
    weights, bias = weights_of(1)
    with pytest.raises(ValueError, match="background"):
        write_head(weights, bias, list(SIZES.values()), "independent")


def test_weights_of_another_shape_are_refused() -> None:
    weights, bias = weights_of(1)
    with pytest.raises(ValueError, match="expected"):
        write_head(weights, bias, [4, 3])
