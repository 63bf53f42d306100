"""Build provenance: an in-toto statement with a SLSA v1 predicate, in a DSSE envelope that a release key has signed.

The statement says of which commit something was made, and which SBOM describes it. Equal input gives equal bytes.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from daemon.core.errors import Refused
from daemon.core.text import clean

# appended to the name of a file; in the directory of a release, the whole name
SUFFIX, IN_RELEASE = ".intoto.json", "provenance.intoto.json"

# a statement about 400 files has 60 kB
MAX_ENVELOPE_BYTES = 1024 * 1024

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUILD_TYPE, BUILDER = "urn:perceptd:build:", "urn:perceptd:builder:"

Kind = Literal["deb", "image", "bundle"]


@dataclass(frozen=True)
class Provenance:
    """What is signed of a package, an image or a release of a bundle.

    `subjects` has the SHA-256 of each file by its name: a bundle has several. `commit` is the full hash; None: nobody
    has said it. `bom_sha256` is of the SBOM within. `parameters` are what the build was asked for.
    """

    kind: Kind
    subjects: Mapping[str, str]
    commit: str | None
    bom_sha256: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def signed(provenance: Provenance, signer: CryptoSigner) -> bytes:
    """Return the envelope as JSON."""
    envelope = Envelope(json.dumps(_statement(provenance), sort_keys=True).encode(), PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), indent=1, sort_keys=True).encode() + b"\n"


def verified(content: bytes, keys: Sequence[SSlibKey], where: str) -> tuple[Provenance, str]:
    """Return what an envelope says, and the id of the key that has signed it.

    Raises Refused when none of the keys has, or it is no provenance of perceptd; `where` begins messages.
    """
    envelope = _envelope(content, where)
    try:
        accepted = envelope.verify(list(keys), 1)
    except (VerificationError, ValueError) as error:
        found = ", ".join(clean(key_id[:16]) for key_id in envelope.signatures) or "nobody"
        expected = ", ".join(key.keyid[:16] for key in keys)
        raise Refused(
            f"{where}: the signature differs: it is signed by {found}, and not validly by {expected} of --key"
        ) from error
    if envelope.payload_type != PAYLOAD_TYPE:
        raise Refused(f"{where}: the signed document is of type {clean(envelope.payload_type)}, not {PAYLOAD_TYPE}")
    return _provenance(envelope.payload, where), next(iter(accepted))


def _envelope(content: bytes, where: str) -> Envelope:
    if len(content) > MAX_ENVELOPE_BYTES:
        raise Refused(f"{where}: has more than {MAX_ENVELOPE_BYTES} bytes, so it is no provenance")
    try:
        # of two values of one key, another reader might take the other one
        value = json.loads(content, object_pairs_hook=_without_repetition)
        for part in (value["payload"], *(signature["sig"] for signature in value["signatures"])):
            # bits that a decoder ignores would be bytes that the signature does not cover
            if base64.b64encode(base64.b64decode(part, validate=True)).decode() != part:
                raise ValueError("base64")
        for text in (value["payloadType"], *(signature["keyid"] for signature in value["signatures"])):
            if not isinstance(text, str):
                raise TypeError("payloadType or keyid")
        return Envelope.from_dict(value)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, binascii.Error) as error:
        raise Refused(f"{where}: is no DSSE envelope in JSON") from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands there twice")
    return value


def _statement(provenance: Provenance) -> dict[str, Any]:
    sources = [] if provenance.commit is None else [{"name": "source", "digest": {"gitCommit": provenance.commit}}]
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in provenance.subjects.items()],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE + provenance.kind,
                "externalParameters": dict(provenance.parameters),
                "resolvedDependencies": sources,
            },
            "runDetails": {
                "builder": {"id": BUILDER + provenance.kind},
                "byproducts": [{"name": "SBOM", "digest": {"sha256": provenance.bom_sha256}}],
            },
        },
    }


def _provenance(payload: bytes, where: str) -> Provenance:
    """Return a signed statement. Raises Refused for one of another kind: the key may sign other documents too."""
    try:
        value = json.loads(payload)
        if (value["_type"], value["predicateType"]) != (STATEMENT, PREDICATE):
            raise ValueError("is no statement of SLSA provenance v1")
        definition, run = value["predicate"]["buildDefinition"], value["predicate"]["runDetails"]
        (bom,) = run["byproducts"]
        kind = definition["buildType"].removeprefix(BUILD_TYPE)
        if kind not in get_args(Kind):
            raise ValueError(f"is about a {kind!r}")
        commits = [source["digest"]["gitCommit"] for source in definition["resolvedDependencies"]]
        return Provenance(
            kind=kind,
            subjects={subject["name"]: subject["digest"]["sha256"] for subject in value["subject"]},
            commit=commits[0] if commits else None,
            bom_sha256=bom["digest"]["sha256"],
            parameters=definition["externalParameters"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Refused(f"{where}: the signed statement is no provenance of perceptd") from error
