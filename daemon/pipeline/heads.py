"""Loads the heads of a bundle: its own, and that of the labels that were taught. Checks their tensors."""

from daemon.bundle.bundle import Bundle
from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.errors import BundleError, MismatchError, ModelError
from daemon.fusion.fuse import FusionHead
from daemon.fusion.taught import TaughtHead
from daemon.inference.interpreter import TfliteModel
from daemon.pipeline.taught_cases import load_taught_cases


def load_head(bundle: Bundle) -> FusionHead:
    """Load the head of a bundle, with that of its taught labels. Raises Refused."""
    manifest = bundle.manifest
    sizes = {name: spec.size for name, spec in manifest.encoder_specs.items()}
    background = manifest.labels.index(manifest.background[0]) if manifest.scoring == "independent" else None
    taught = load_taught_head(bundle)
    try:
        return FusionHead(load_head_model(bundle), sizes, background, taught)
    except ModelError as error:
        raise bundle.problem(str(error), "head", "model") from error


def load_taught_head(bundle: Bundle) -> TaughtHead | None:
    """Load the head of the taught labels; None: there are none. Raises Refused."""
    taught, model = bundle.manifest.taught, load_taught_model(bundle)
    if taught is None or model is None:
        return None
    states = [label.state_of for label in taught.labels.values()]
    return TaughtHead(model, load_taught_cases(bundle, taught).bias, states)


def load_head_model(bundle: Bundle) -> TfliteModel:
    """Load the head, with the outputs scores and shares. Raises BundleError when it does not match the manifest."""
    manifest = bundle.manifest
    labels = len(manifest.base_labels)
    try:
        return _head_model(bundle, manifest.head.model, labels)
    except MismatchError as error:
        raise _head_problem(bundle, labels, error, is_input=error.key[0] == "input") from error
    except ModelError as error:
        raise bundle.problem(str(error), "head", "model") from error


def load_taught_model(bundle: Bundle) -> TfliteModel | None:
    """Load the head of the taught labels as `load_head_model` does; None: there are none."""
    taught = bundle.manifest.taught
    if taught is None:
        return None
    try:
        return _head_model(bundle, taught.model, len(taught.labels) + 1)
    except ModelError as error:
        raise bundle.problem(str(error), "taught", "model") from error


def _head_model(bundle: Bundle, file: str, labels: int) -> TfliteModel:
    manifest = bundle.manifest
    features = TensorSpec(shape=[1, manifest.head_input_size], dtype="float32")
    scores = TensorSpec(shape=[1, labels], dtype="float32")
    shares = TensorSpec(shape=[1, len(manifest.encoder_specs), labels], dtype="float32")
    return TfliteModel(bundle.model(file), features, [scores, shares], by_shape=True)


def _head_problem(bundle: Bundle, labels: int, error: MismatchError, *, is_input: bool) -> BundleError:
    specs = bundle.manifest.encoder_specs
    lengths = " + ".join(f"{spec.size} of {encoder}" for encoder, spec in specs.items())
    if not is_input:
        return bundle.problem(f"{labels} labels do not match the head: {error}", "labels")
    what = f"embeddings of {lengths}, and {len(specs)} present entries"
    key = "modalities" if bundle.manifest.format == 1 else "encoders"
    return bundle.problem(f"{what} do not match the head: {error}", key)
