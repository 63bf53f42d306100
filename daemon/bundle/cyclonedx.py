"""Parts of CycloneDX 1.6 documents, and their bytes: equal documents have equal bytes. Pure."""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

SPDX_EXPRESSION = re.compile(r"^\(?[A-Za-z0-9.+-]+\)?( (AND|OR|WITH) \(?[A-Za-z0-9.+-]+\)?)*$")


def document(metadata: Json, components: Sequence[Json]) -> bytes:
    """Return a document about one product, which is made of the components. `metadata` has the product.

    Its serial number follows from its content.
    """
    content: Json = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": metadata,
        "components": components,
        "dependencies": [
            {"ref": metadata["component"]["bom-ref"], "dependsOn": [each["bom-ref"] for each in components]}
        ],
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    content["serialNumber"] = f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}"
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def licences(texts: Sequence[str]) -> list[Json]:
    """Return licences as CycloneDX writes them: one SPDX expression, or names."""
    if len(texts) == 1 and SPDX_EXPRESSION.match(texts[0]):
        return [{"expression": texts[0]}]
    return [{"license": {"name": text}} for text in texts]


def hashes(sha256: str) -> list[Json]:
    """Return the hash of a component."""
    return [{"alg": "SHA-256", "content": sha256}]


def properties(values: Mapping[str, Sequence[str]]) -> list[Json]:
    """Return properties; a name may have several values."""
    return [{"name": name, "value": value} for name, texts in values.items() for value in texts]
