"""Whether a bundle on disk is the release that was signed, and can be tried."""

from collections.abc import Iterator, Sequence, Set

from daemon.bundles.load import Bundle
from daemon.bundles.selftest import CASES, Case, load_cases
from daemon.release import SELFTEST, Release


def must_be(release: Release, bundle: Bundle) -> None:
    """Raises BundleError when the bundle is not the release, names files that are not signed, or cannot be tried."""
    for key in ("name", "version"):
        found, signed = getattr(bundle.manifest, key), getattr(release.signed, key)
        if found != signed:
            raise bundle.problem(f"is {found}, but was signed as {signed}", key)
    files = {entry.path for entry in release.files}
    if SELFTEST + CASES not in files:
        raise bundle.problem(f"there is no {SELFTEST}{CASES}, and what cannot be tried is not used", "selftest")
    cases = [case for case, _ in load_cases(bundle)]
    _must_be_signed(bundle, cases, files)
    _must_try_all(bundle, cases)


def _must_be_signed(bundle: Bundle, cases: Sequence[Case], files: Set[str]) -> None:
    for name, where in (*_models(bundle), *_inputs(cases)):
        if name not in files:
            raise bundle.problem(f"{name} is not among its signed files", *where)


def _must_try_all(bundle: Bundle, cases: Sequence[Case]) -> None:
    for modality in bundle.manifest.modalities.present():
        if all(getattr(case, modality) is None for case in cases):
            raise bundle.problem(f"no case has {modality}, so that its model cannot be tried", "selftest")


def _models(bundle: Bundle) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each model's file, with the key that names it in the manifest."""
    for modality, spec in bundle.manifest.modalities.present().items():
        yield spec.model, ("modalities", modality, "model")
        if spec.edgetpu is not None:
            yield spec.edgetpu, ("modalities", modality, "edgetpu")
    yield bundle.manifest.head.model, ("head", "model")


def _inputs(cases: Sequence[Case]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for case in cases:
        for name in (case.image, case.audio):
            if name is not None:
                yield SELFTEST + name, ("selftest",)
