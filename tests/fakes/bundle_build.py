"""A build of a bundle, without recipe and sources."""

from collections.abc import Callable
from pathlib import Path

from daemon.cli.bundle_build import BuiltBundle
from daemon.core.errors import BundleError
from tests.helpers.bundle_builder import manifest, write_bundle


class FakeBuild:
    """Stands in for `build_bundle`: writes a small real bundle of `version`, and calls `then` with its directory.

    With `problem` it fails halfway.
    """

    def __init__(
        self, version: str = "1.2.3", *, problem: str | None = None, then: Callable[[Path], None] | None = None
    ) -> None:
        self._version, self._problem, self._then = version, problem, then

    def __call__(
        self, recipe_file: Path, out: Path, from_dir: Path | None, head: Path | None, show: Callable[[str], None]
    ) -> BuiltBundle:
        show(f"making {recipe_file.parent.name} of {from_dir}")
        write_bundle(out, version=self._version)
        for path in (out, *out.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        if self._problem is not None:
            raise BundleError(self._problem)
        if self._then is not None:
            self._then(out)
        return BuiltBundle(manifest()["name"], self._version, str(out), {}, [])
