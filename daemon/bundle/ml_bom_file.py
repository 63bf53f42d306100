"""The ML-BOM in the directory of a bundle: writes it, and reads it."""

import hashlib
from pathlib import Path

from daemon.bundle.files import ML_BOM, bundle_files
from daemon.bundle.manifest import Manifest
from daemon.bundle.ml_bom import ml_bom
from daemon.bundle.ml_bom_reader import card_of
from daemon.bundle.model_card import ModelCard
from daemon.bundle.release import FileEntry
from daemon.core.files import read_bounded

# 400 files, 4,096 labels and a long card have less than 1 MB
MAX_ML_BOM_BYTES = 4 * 1024 * 1024


def write_ml_bom(directory: Path, manifest: Manifest, card: ModelCard | None) -> None:
    """Write the ML-BOM of a bundle whose other files are all there. Raises BundleError and OSError."""
    paths = [path for path in bundle_files(directory, manifest) if path != ML_BOM]
    (directory / ML_BOM).write_bytes(ml_bom(manifest, [_entry(directory, path) for path in paths], card))


def read_card(directory: Path) -> ModelCard | None:
    """Return the model card of a bundle; None: it has no ML-BOM, or one that others have made. Raises OSError."""
    try:
        return card_of(read_bounded(directory / ML_BOM, MAX_ML_BOM_BYTES))
    except (FileNotFoundError, ValueError):
        return None


def _entry(directory: Path, path: str) -> FileEntry:
    content = (directory / path).read_bytes()
    return FileEntry(path=path, length=len(content), sha256=hashlib.sha256(content).hexdigest())
