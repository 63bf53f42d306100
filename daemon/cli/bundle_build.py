"""`perceptd bundle build`: makes a bundle of other people's encoders, as a recipe says."""

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from daemon.bundle.manifest import MANIFEST, SELFTEST_DIRECTORY, Manifest
from daemon.bundle.ml_bom_file import write_ml_bom
from daemon.bundle.model_card import CARD, ModelCard
from daemon.cli.bundle_models import models_of
from daemon.core.document import MAX_DOCUMENT_BYTES, Loaded, parse_document
from daemon.core.errors import BundleError, ChildError, DocumentError, Refused
from daemon.core.files import read_bounded
from daemon.core.records import Array
from daemon.core.sealed import SealedFile
from daemon.core.status_line import StatusLine
from daemon.inference.graphs import write_head
from daemon.pipeline.selftest import MEASUREMENT_S, print_confined_selftest
from daemon.recipes.cache import SourceCache, cache_directory
from daemon.recipes.directory import check_place, copy_parts, new_directory, parts_of, put
from daemon.recipes.head import constructed_head, read_head
from daemon.recipes.manifest import manifest_of
from daemon.recipes.recipe import HEAD_FILE, Recipe
from daemon.recipes.rules import check_recipe
from daemon.recipes.sources import LocalFiles, Show, find_sources
from daemon.runtime.child import Child


@dataclass(frozen=True, slots=True)
class BuiltSource:
    """A source of a bundle that was built."""

    name: str
    licence: str
    page: str
    sha256: str


@dataclass(frozen=True, slots=True)
class BuiltBundle:
    """A bundle that was built; `files` has the SHA-256 of each file by its path in the directory."""

    name: str
    version: str
    directory: str
    files: dict[str, str]
    sources: list[BuiltSource]


def bundle_build(options: argparse.Namespace) -> int:
    """Build a bundle, and print what it is made of."""
    with StatusLine() as status:
        built = build_bundle(options.recipe, options.out, options.from_dir, options.head, status.show)
    if options.json:
        print(json.dumps(asdict(built), indent=2))
        return 0
    print(f"{built.name}@{built.version}: built in {built.directory}, self-test good")
    for source in built.sources:
        print(f"licence     {source.name}: {source.licence} ({source.page})")
    return 0


def build_bundle(recipe_file: Path, out: Path, from_dir: Path | None, head: Path | None, show: Show) -> BuiltBundle:
    """Build the bundle of a recipe in the directory `out`, as a whole or not at all. Raises Refused.

    `from_dir` has the sources, so that no network is needed. `head` is a file with the weights.
    """
    place = out if out.name not in ("", "..") else out.resolve()
    loaded, recipe_sha256 = _read(recipe_file)
    check_recipe(loaded, has_head_file=head is not None)
    needed = [path for path in (recipe_file, from_dir, head) if path is not None]
    try:
        check_place(place, needed)
        parts = parts_of(recipe_file.parent)
        card = _card(recipe_file.parent / CARD)
        local = None if from_dir is None else LocalFiles(from_dir)
        sources = find_sources(loaded, local, SourceCache(cache_directory()), show)
        with new_directory(place) as new:
            show("making the models")
            manifest = _write(loaded, recipe_sha256, sources, head, new)
            copy_parts(recipe_file.parent, parts, new)
            write_ml_bom(new, manifest, card)
            show("running the self-test")
            _test(new, recipe_file)
            files = put(new, place, needed)
    except OSError as error:
        raise Refused(f"{error.filename or out}: {error.strerror or error}") from error
    recipe = loaded.document
    used = [BuiltSource(name, one.licence, one.page, one.sha256) for name, one in recipe.sources.items()]
    return BuiltBundle(recipe.name, recipe.version, str(out), files, used)


def _read(recipe_file: Path) -> tuple[Loaded[Recipe], str]:
    """Return the recipe, and the SHA-256 of its file."""
    try:
        raw = read_bounded(recipe_file, MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise DocumentError([f"{recipe_file}: cannot be read: {error.strerror or error}"]) from error
    return parse_document(recipe_file, raw, Recipe), hashlib.sha256(raw).hexdigest()


def _card(path: Path) -> ModelCard | None:
    """Return the model card beside a recipe; None: there is none. Raises DocumentError, and OSError."""
    if not path.exists():
        return None
    return parse_document(path, read_bounded(path, MAX_DOCUMENT_BYTES + 1), ModelCard).document


def _write(
    loaded: Loaded[Recipe], recipe_sha256: str, sources: Mapping[str, SealedFile], head: Path | None, new: Path
) -> Manifest:
    """Write models, head and manifest into a new directory; return the manifest. Raises Refused, and OSError."""
    tensors = models_of(loaded, sources, new)
    hashes = {"recipe": recipe_sha256} | {f"source {name}": copy.sha256 for name, copy in sources.items()}
    head_copy = None if head is None else SealedFile(head)
    if head_copy is not None:
        hashes["head"] = head_copy.sha256
    manifest, content = manifest_of(loaded, tensors, {name: f"sha256:{sha256}" for name, sha256 in hashes.items()})
    weights, bias = constructed_head(loaded, manifest) if head_copy is None else read_head(head_copy, manifest)
    (new / HEAD_FILE).write_bytes(_head_bytes(weights, bias, manifest))
    (new / MANIFEST).write_bytes(content)
    return manifest


def _head_bytes(weights: Array, bias: Array, manifest: Manifest) -> bytes:
    sizes = [spec.size for spec in manifest.encoder_specs.values()]
    background = manifest.labels.index(manifest.background[0]) if manifest.scoring == "independent" else None
    return write_head(weights, bias, sizes, manifest.scoring, background)


def _test(new: Path, recipe_file: Path) -> None:
    """Load the bundle and run its self-test in a child process. Raises BundleError with all failures."""
    try:
        with Child(print_confined_selftest, str(new)) as child:
            failures = json.loads(child.result(MEASUREMENT_S))["failures"]
    except ChildError as error:
        raise BundleError(f"{recipe_file}: loading the bundle or its self-test: {error}") from error
    if failures:
        # the self-test's files are copies of those beside the recipe
        copied, own = f"{new / SELFTEST_DIRECTORY}/", f"{recipe_file.parent / SELFTEST_DIRECTORY}/"
        shown = [failure.replace(copied, own).replace(f"{new}/", "") for failure in failures]
        raise BundleError("\n".join([f"{recipe_file}: the bundle fails its self-test:", *shown]))
