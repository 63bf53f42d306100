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


def test_weights_of_another_shape_are_refused() -> None:
    weights, bias = weights_of(1)
    with pytest.raises(ValueError, match="expected"):
        write_head(weights, bias, [4, 3])
