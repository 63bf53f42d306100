"""Writes the list of all that is installed beside the program, with the licence of each part."""

from collections.abc import Sequence
from pathlib import Path

from packages.libraries import Library

HEAD = """# What is installed with perceptd, and under which licence

perceptd itself is under the Apache License 2.0: `LICENSE`. The models of `models/digits` have a licence of their
own: `models/digits/LICENCE`. The files of others that the page loads are described in `daemon/web/vendor`.

This list is made from the metadata of the packages. The texts lie in the directory
`{site_packages}`, at the path that is named here.

| package | version | licence | texts |
|---|---|---|---|
{packages}
## Shared libraries inside of these packages

The packages above bring these libraries, which are loaded into the same process. Whoever passes them on has the
duties of their licences too. Those under the GPL or LGPL demand that their source text can be had: `docs/packages.md`
says what you owe. `/usr/share/common-licenses` has the texts of both. `bom.cdx.json` beside this list has the hash of
each file.

| library | licence |
|---|---|
{natives}"""


def licence_list(libraries: Sequence[Library], site_packages: Path) -> str:
    """Return the list as Markdown. `site_packages` is relative to the directory of the program."""
    natives = [native for library in libraries for native in library.native]
    return HEAD.format(
        site_packages=site_packages,
        packages="".join(map(_package_row, libraries)),
        natives="".join(f"| `{native.path}` | {native.licence} |\n" for native in natives),
    )


def _package_row(library: Library) -> str:
    texts = ", ".join(f"`{path}`" for path in library.licence_files) or "none: the package brings no text"
    return f"| {library.name} | {library.version} | {library.licence} | {texts} |\n"
