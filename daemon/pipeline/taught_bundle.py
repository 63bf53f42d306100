"""Writes the directory of a bundle with labels that were taught: a complete copy of its base, and a second head."""

import hashlib
import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.bundle.files import bundle_files
from daemon.bundle.manifest import MANIFEST, Manifest
from daemon.bundle.taught import Taught, TaughtLabel
from daemon.core.document import dump_document, parse_document
from daemon.core.errors import BundleError
from daemon.core.files import create_own, open_regular, remove
from daemon.core.records import Array, Array64
from daemon.core.sealed import CHUNK_BYTES
from daemon.inference.graphs import write_head
from daemon.pipeline.taught_cases import logistic

TAUGHT_MODEL = "taught.tflite"
TAUGHT_CASES = "taught.npz"


class FittedHead(Protocol):
    """Weights (T, D + M) and bias (T,) of the labels that were taught, in the order of `labels`."""

    @property
    def weights(self) -> Array:
        """The weights; the last M columns belong to the `present` entries."""

    @property
    def bias(self) -> Array:
        """The bias."""

    @property
    def labels(self) -> Mapping[str, TaughtLabel]:
        """Where each label applies, with its thresholds."""


def write_taught_bundle(
    base: Path, target: Path, version: str, fitted: FittedHead, cases: Array, content: str | None = None
) -> None:
    """Write a bundle into the new directory `target`: the base with these labels in place of those it was taught.

    `cases` has the features (n, D + M) of the self-test of the taught labels. `content` is the hash of the file list of
    an installed base, whose files are then compared with it. Equal input gives equal bytes.
    Raises Refused where the base cannot be taught these labels, and OSError. Then there is no such directory.
    """
    bundle = load_bundle(base, content)
    taught = Taught(model=TAUGHT_MODEL, cases=TAUGHT_CASES, labels=dict(fitted.labels))
    written = {
        MANIFEST: _checked(target, taught_manifest(bundle.manifest, version, taught)),
        TAUGHT_MODEL: _model(bundle.manifest, fitted),
        TAUGHT_CASES: _cases(fitted, cases),
    }
    before = bundle.manifest.taught
    own = [] if before is None else [before.model, before.cases]
    copied = [name for name in bundle_files(base, bundle.manifest) if name not in (MANIFEST, *own)]
    for name in copied:
        if name in written:
            raise BundleError(f"{base / name}: this name is for taught labels; give the model another one")
    _write(bundle, target, copied, written)


def export_bundle(source: Path, target: Path, name: str, version: str) -> None:
    """Write a copy of a bundle under another name and version into the new directory `target`.

    Raises Refused and OSError as `write_taught_bundle` does.
    """
    bundle = load_bundle(source)
    content = dump_document(_plain(bundle.manifest) | {"name": name, "version": version})
    copied = [path for path in bundle_files(source, bundle.manifest) if path != MANIFEST]
    _write(bundle, target, copied, {MANIFEST: _checked(target, content)})


def taught_manifest(base: Manifest, version: str, taught: Taught) -> bytes:
    """Return the manifest of the base with other taught labels. Raises BundleError where the base has such a label."""
    known = sorted(set(base.base_labels) & set(taught.labels))
    if known:
        raise BundleError(f"{known[0]} is a label of {base.name} {base.base_version} itself; teach another name")
    value = _plain(base) | {"version": version, "labels": [*base.base_labels, *taught.labels]}
    value.pop("taught", None)
    return dump_document(value | {"taught": taught.model_dump(mode="json", exclude_none=True)})


def _plain(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest as it was written: without defaults."""
    return manifest.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def _checked(target: Path, content: bytes) -> bytes:
    """Return the content of a manifest. Raises DocumentError when it is none."""
    parse_document(target / MANIFEST, content, Manifest)
    return content


def _model(base: Manifest, fitted: FittedHead) -> bytes:
    """Return the head of the taught labels. The row of zeros is what their scores are compared with."""
    weights = np.concatenate([fitted.weights, np.zeros((1, fitted.weights.shape[1]))]).astype(np.float32)
    bias = np.append(fitted.bias, 0).astype(np.float32)
    sizes = [spec.size for spec in base.encoder_specs.values()]
    return write_head(weights, bias, sizes, "independent", background=len(fitted.bias))


def _cases(fitted: FittedHead, features: Array) -> bytes:
    logits: Array64 = features.astype(np.float64) @ fitted.weights.astype(np.float64).T + fitted.bias
    bias, features = fitted.bias.astype(np.float32), features.astype(np.float32)
    packed = io.BytesIO()
    np.savez_compressed(packed, bias=bias, features=features, scores=logistic(logits))
    return packed.getvalue()


def _write(base: Bundle, target: Path, copied: list[str], written: Mapping[str, bytes]) -> None:
    """Write and copy files. Raises DamagedBundle where a file is not as it was installed, and OSError.

    They are not flushed to disk: the updater does that when it takes them.
    """
    target.mkdir()
    try:
        for name in copied:
            _copy(base, name, target / name)
        for name, content in written.items():
            with create_own(target / name) as file:
                file.write(content)
    except BaseException:
        with suppress(OSError):
            remove(target)
        raise


def _copy(base: Bundle, name: str, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    with open_regular(base.file(name)) as reader, create_own(target) as writer:
        while chunk := reader.read(CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
    base.check_signed(name, digest.hexdigest())
