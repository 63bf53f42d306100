"""`perceptd verify`: follows a package, an image or a bundle back to the commit that it is made of."""

import argparse
import json
import sys
from collections.abc import Iterator

from daemon.core.errors import EXIT_REFUSED, Refused
from daemon.core.text import clean
from daemon.publisher.public_keys import read_public_keys
from daemon.publisher.verification import Component, Verified, verify_file


def verify(options: argparse.Namespace) -> int:
    """Print what was verified, or what differs."""
    try:
        verified = verify_file(options.file, read_public_keys(options.key), options.provenance, options.commit)
    except OSError as error:
        raise Refused(f"{error.filename or options.file}: {error.strerror or error}") from error
    except Refused as refused:
        if not options.json:
            raise
        print(json.dumps({"verified": False, "problem": str(refused)}, indent=2))
        print(refused, file=sys.stderr)
        return EXIT_REFUSED
    if options.json:
        print(json.dumps(_json(verified), indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(str(options.file), verified)))
    return 0


def _json(verified: Verified) -> dict[str, object]:
    provenance = verified.provenance
    return {
        "verified": True,
        "kind": provenance.kind,
        "files": dict(provenance.subjects),
        "commit": provenance.commit,
        "parameters": dict(provenance.parameters),
        "key": verified.key_id,
        "provenance": verified.provenance_file,
        "sbom": {
            "sha256": provenance.bom_sha256,
            "components": [
                {"name": one.name, "version": one.version, "licence": one.licence} for one in verified.components
            ],
        },
    }


def _lines(path: str, verified: Verified) -> Iterator[str]:
    provenance = verified.provenance
    yield f"{path}: is as it was signed"
    yield f"signature   by the key {verified.key_id[:16]}, in {verified.provenance_file}"
    if len(provenance.subjects) == 1:
        yield f"digest      sha256 {next(iter(provenance.subjects.values()))}"
    else:
        yield f"digest      of each of {len(provenance.subjects)} files"
    yield f"commit      {provenance.commit or 'none is named'}"
    yield f"SBOM        sha256 {provenance.bom_sha256}, with {len(verified.components)} components:"
    yield from (f"  {_component_text(one)}" for one in verified.components)


def _component_text(component: Component) -> str:
    return clean(" ".join(part for part in (component.name, component.version, component.licence) if part))
