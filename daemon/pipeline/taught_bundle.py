"""Writes the directory of a bundle with labels that were taught: a complete copy of its base, and a second head."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.bundle.files import ML_BOM, bundle_files
from daemon.bundle.manifest import MANIFEST, Manifest
from daemon.bundle.ml_bom_file import read_card, write_ml_bom
from daemon.bundle.taught import Taught, TaughtLabel
from daemon.core.document import parse_document
from daemon.core.dumper import dump_document
from daemon.core.errors import BundleError
from daemon.core.files import create_own, open_regular, remove
from daemon.core.records import Array
from daemon.core.sealed import CHUNK_BYTES
from daemon.inference.graphs import write_head
from daemon.pipeline.inherited import Inherited, load_inherited
from daemon.pipeline.taught_cases import scores_of

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
    base: Path,
    target: Path,
    version: str,
    fitted: FittedHead,
    cases: Array,
    content: str | None = None,
    *,
    is_final: bool = False,
) -> None:
    """Write a bundle into the new directory `target`: the base with these labels in place of those it was taught.

    Labels that the base was published with stay, and come first.
    `cases` has the features (n, D + M) of the self-test of the taught labels. `content` is the hash of the file list of
    an installed base, whose files are then compared with it. With `is_final` later labels do not replace these.
    Equal input gives equal bytes.
    Raises Refused where the base cannot be taught these labels, and OSError. Then there is no such directory.
    """
    bundle = load_bundle(base, content)
    inherited = load_inherited(bundle)
    labels = {**inherited.labels, **fitted.labels}
    kept = [*labels] if is_final else [*inherited.labels]
    taught = Taught(model=TAUGHT_MODEL, cases=TAUGHT_CASES, labels=labels, inherited=kept)
    written = {
        MANIFEST: _checked(target, taught_manifest(bundle.manifest, version, taught, list(fitted.labels))),
        **_head_files(bundle.manifest, inherited, fitted, cases),
    }
    before = bundle.manifest.taught
    own = [] if before is None else [before.model, before.cases]
    copied = [name for name in bundle_files(base, bundle.manifest) if name not in (MANIFEST, *own)]
    for name in copied:
        if name in written:
            raise BundleError(f"{base / name}: this name is for taught labels; give the model another one")
    _write(bundle, target, copied, written)


def export_bundle(source: Path, target: Path, name: str, version: str, *, everywhere: bool = False) -> None:
    """Write a copy of a taught bundle under another name and version into the new directory `target`.

    With `everywhere` its taught labels apply to all streams, of any name.
    Raises Refused and OSError as `write_taught_bundle` does.
    """
    bundle = load_bundle(source)
    value = _plain(bundle.manifest) | {"name": name, "version": version}
    if (taught := bundle.manifest.taught) is not None:
        labels = {label: about.on_all_streams() if everywhere else about for label, about in taught.labels.items()}
        value["taught"] = _taught_value(taught.model_copy(update={"labels": labels, "inherited": []}))
    content = dump_document(value)
    copied = [path for path in bundle_files(source, bundle.manifest) if path != MANIFEST]
    _write(bundle, target, copied, {MANIFEST: _checked(target, content)})


def taught_manifest(base: Manifest, version: str, taught: Taught, new: Sequence[str]) -> bytes:
    """Return the manifest of the base with other taught labels; `new` are those that the base must not have itself.

    Raises BundleError where it has.
    """
    for label in new:
        if (reason := base.why_fixed(label)) is not None:
            raise BundleError(f"{reason}; teach another name")
    value = _plain(base) | {"version": version, "labels": [*base.base_labels, *taught.labels]}
    value.pop("taught", None)
    return dump_document(value | {"taught": _taught_value(taught)})


def _taught_value(taught: Taught) -> dict[str, Any]:
    return taught.model_dump(mode="json", exclude_defaults=True)


def _plain(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest as it was written: without defaults."""
    return manifest.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def _checked(target: Path, content: bytes) -> bytes:
    """Return the content of a manifest. Raises DocumentError when it is none."""
    parse_document(target / MANIFEST, content, Manifest)
    return content


def _head_files(base: Manifest, inherited: Inherited, fitted: FittedHead, cases: Array) -> dict[str, bytes]:
    """Return the files of the second head: the inherited rows as they are, then the fitted ones."""
    weights = np.concatenate([inherited.weights, fitted.weights]).astype(np.float32)
    bias = np.concatenate([inherited.bias, fitted.bias]).astype(np.float32)
    return {TAUGHT_MODEL: _model(base, weights, bias), TAUGHT_CASES: _cases(weights, bias, cases.astype(np.float32))}


def _model(base: Manifest, weights: Array, bias: Array) -> bytes:
    """Return the head of the taught labels. The row of zeros is what their scores are compared with."""
    rows = np.concatenate([weights, np.zeros((1, weights.shape[1]), np.float32)])
    sizes = [spec.size for spec in base.encoder_specs.values()]
    return write_head(rows, np.append(bias, np.float32(0)), sizes, "independent", background=len(bias))


def _cases(weights: Array, bias: Array, features: Array) -> bytes:
    packed = io.BytesIO()
    np.savez_compressed(packed, bias=bias, features=features, scores=scores_of(weights, bias, features))
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
        _renew_ml_bom(target, parse_document(target / MANIFEST, written[MANIFEST], Manifest).document)
    except BaseException:
        with suppress(OSError):
            remove(target)
        raise


def _renew_ml_bom(target: Path, manifest: Manifest) -> None:
    """Write the ML-BOM anew, with the model card of the base. One that others have made describes other files."""
    if (target / ML_BOM).is_file():
        card = read_card(target)
        (target / ML_BOM).unlink()
        if card is not None:
            write_ml_bom(target, manifest, card)


def _copy(base: Bundle, name: str, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    with open_regular(base.file(name)) as reader, create_own(target) as writer:
        while chunk := reader.read(CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
    base.check_signed(name, digest.hexdigest())
