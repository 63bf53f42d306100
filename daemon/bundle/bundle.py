"""Read a bundle's directory: its manifest, and that every file it names is there."""

from dataclasses import dataclass
from pathlib import Path

from daemon.documents import Loaded, load_document
from daemon.errors import BundleError
from daemon.manifest import Manifest

MANIFEST = "bundle.yaml"


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest is valid and whose files exist."""

    directory: Path
    loaded: Loaded[Manifest]

    @property
    def manifest(self) -> Manifest:
        """What `bundle.yaml` says."""
        return self.loaded.document

    def file(self, name: str) -> Path:
        """The path of one of the bundle's files."""
        return self.directory / name

    def problem(self, message: str, *key: str | int) -> BundleError:
        """An error that names the manifest's line for `key`."""
        return BundleError(f"{self.loaded.where(*key)}: {message}")


def load_bundle(directory: Path) -> Bundle:
    """Read a bundle. Raises DocumentError or BundleError, naming file, line and key."""
    if not directory.is_dir():
        raise BundleError(f"{directory}: no such directory; expected a bundle there (see docs/bundle.md)")
    bundle = Bundle(directory, load_document(directory / MANIFEST, Manifest))
    for modality, spec in bundle.manifest.modalities.present().items():
        _must_exist(bundle, spec.model, "modalities", modality, "model")
        if spec.edgetpu is not None:
            _must_exist(bundle, spec.edgetpu, "modalities", modality, "edgetpu")
    _must_exist(bundle, bundle.manifest.head.model, "head", "model")
    return bundle


def _must_exist(bundle: Bundle, name: str, *key: str) -> None:
    if not bundle.file(name).is_file():
        raise bundle.problem(f"no file {name} in {bundle.directory}", *key)
