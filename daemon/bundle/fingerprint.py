"""Fingerprints of a bundle's encoders: embeddings with equal fingerprints can be compared."""

import hashlib
import json
from functools import partial
from typing import Any

from daemon.bundle.bundle import Bundle
from daemon.bundle.encoder_specs import EncoderSpec
from daemon.core.files import open_regular

# What the manifest says of when an encoder runs, of how long its embedding counts, and of other devices.
# The vector that an input gives does not depend on it.
NOT_IN_VECTOR: dict[str, Any] = {
    "model": True,
    "edgetpu": True,
    "max_age_ms": True,
    "rate_hz": True,
    "preprocessing": {"stride_frames": True, "stride_samples": True},
}

CHUNK_BYTES = 1 << 20


def encoder_fingerprints(bundle: Bundle) -> dict[str, str]:
    """Return by encoder the sha256 of what determines its vectors: its model, and its part of the manifest.

    Two encoders of one fingerprint give the same vector for the same input, whatever their names and bundles are.
    Reads the models that are not loaded. Raises BundleError when one cannot be read.
    """
    return {name: _fingerprint(bundle, name, spec) for name, spec in bundle.manifest.encoder_specs.items()}


def _fingerprint(bundle: Bundle, name: str, spec: EncoderSpec) -> str:
    # without defaults, so that a key that a later version of perceptd adds changes no fingerprint
    described = spec.model_dump(mode="json", exclude=NOT_IN_VECTOR, exclude_defaults=True)
    described["model"] = _sha256(bundle, name, spec.model)
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _sha256(bundle: Bundle, encoder: str, model: str) -> str:
    # what was loaded counts, even if the file has changed since
    if (loaded := bundle.hashes.get(model)) is not None:
        return loaded
    digest = hashlib.sha256()
    try:
        with open_regular(bundle.file(model)) as file:
            for chunk in iter(partial(file.read, CHUNK_BYTES), b""):
                digest.update(chunk)
    except OSError as error:
        message = f"{bundle.file(model)}: cannot be read: {error.strerror or error}"
        raise bundle.problem(message, *bundle.manifest.encoder_key(encoder), "model") from error
    return digest.hexdigest()
