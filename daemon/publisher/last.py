"""The versions that were signed last, beside the root: a `public/` that is older is not signed on."""

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from daemon.errors import Refused
from daemon.files import replace_file
from daemon.publisher.edition import Edition

_VERSIONS: TypeAdapter[dict[str, int]] = TypeAdapter(dict[str, int])


class LastSigned:
    """A small file. Devices refuse versions that are lower than those they have seen, so nothing may begin there."""

    def __init__(self, path: Path) -> None:
        """Where it is missing nothing is known, and nothing refused."""
        self._path = path

    def note(self, documents: Iterable[bytes]) -> None:
        """Keep the versions of signed documents. Raises Refused when the file is damaged, and OSError."""
        signed = [json.loads(document)["signed"] for document in documents]
        versions = self._read() | {document["_type"]: document["version"] for document in signed}
        replace_file(self._path, json.dumps(versions).encode())

    def refuse_older(self, edition: Edition) -> None:
        """Raises Refused when a document is older than the last one signed, or the file is damaged; and OSError."""
        for role, last in self._read().items():
            found = edition.document(role).signed.version
            if found < last:
                older = f"public/ or root.json is older than what was published: {role} has version {found}"
                raise Refused(
                    f"{older}, but {last} was signed, and devices that have seen it refuse what is lower: restore the "
                    "newer copy, from where it is served say; if there is none, remove "
                    f"{self._path}, and rotate the keys of timestamp and snapshot"
                )

    def _read(self) -> dict[str, int]:
        try:
            return _VERSIONS.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            raise Refused(f"{self._path}: is damaged; restore it from a backup, or remove it") from error
