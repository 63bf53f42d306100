"""Which files of a directory belong to its bundle."""

import re
from pathlib import Path

from daemon.bundle.manifest import MANIFEST, SELFTEST_DIRECTORY, Manifest
from daemon.core.errors import BundleError

# belongs to the bundle where there is one, under either name
LICENCES = ("LICENCE", "LICENSE")

# what the bundle is made of, as a CycloneDX document; belongs to the bundle where there is one
ML_BOM = "ml-bom.cdx.json"


def bundle_files(directory: Path, manifest: Manifest) -> list[str]:
    """Return the sorted paths of a bundle's files: manifest, models, ML-BOM, licence, self-test.

    Hidden files of the self-test, which editors leave, are left out. Raises BundleError where a name has other
    characters than a release may have.
    """
    unnamed = unnamed_files(directory)
    for path in unnamed:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", Path(path).name):
            raise BundleError(f"{directory / path}: expected a name of letters, digits and . _ - only; rename it")
    return sorted({MANIFEST} | set(named_files(manifest)) | unnamed)


def unnamed_files(directory: Path) -> set[str]:
    """Return the paths of the files that belong to a bundle without being named in its manifest."""
    optional = {name for name in (*LICENCES, ML_BOM) if (directory / name).is_file()}
    selftest = directory / SELFTEST_DIRECTORY
    return optional | {f"{SELFTEST_DIRECTORY}/{path.name}" for path in selftest.glob("[!.]*") if path.is_file()}


def named_files(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """Return the files that a manifest names, each with its key there: models, and the cases of taught labels."""
    named: dict[str, tuple[str, ...]] = {}
    for name, spec in manifest.encoder_specs.items():
        key = manifest.encoder_key(name)
        named[spec.model] = (*key, "model")
        if spec.edgetpu is not None:
            named[spec.edgetpu.model] = (*key, "edgetpu")
    named[manifest.head.model] = ("head", "model")
    if manifest.taught is not None:
        named[manifest.taught.model] = ("taught", "model")
        named[manifest.taught.cases] = ("taught", "cases")
    return named
