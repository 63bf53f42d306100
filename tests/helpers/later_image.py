"""An image of another version, made of one by a layer with other texts in files of daemon/."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packages.image_archive import MANIFEST, content_of

from daemon import __version__

DAEMON = "opt/perceptd/daemon"
BYTECODE = "cpython-313.pyc"
LAYER = "later.tar"

Edits = Mapping[str, Sequence[tuple[str, str]]]


def another_image(archive: Path, target: Path, version: str, edits: Edits) -> Path:
    """Write the archive of an image with this version of the program. `edits` are by the file below daemon/."""
    edits = {"__init__.py": [(f'"{__version__}"', f'"{version}"')], **edits}
    with tarfile.open(archive) as before, tarfile.open(target, "w") as written:
        (described,) = json.load(content_of(before, MANIFEST))
        config = json.load(content_of(before, described["Config"]))
        for name in described["Layers"]:
            member = before.getmember(name)
            written.addfile(member, content_of(before, name))
        layer = _layer(before, described["Layers"][-1], edits)
        config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
        config["history"].append({"created_by": f"version {version}"})
        raw = json.dumps(config).encode()
        told: dict[str, Any] = {
            "Config": f"{hashlib.sha256(raw).hexdigest()}.json",
            "RepoTags": [f"perceptd:{version}"],
            "Layers": [*described["Layers"], LAYER],
        }
        _add(written, LAYER, gzip.compress(layer, 1))
        _add(written, told["Config"], raw)
        _add(written, MANIFEST, json.dumps([told]).encode())
    return target


def _layer(archive: tarfile.TarFile, program: str, edits: Edits) -> bytes:
    """Return the layer. The bytecode of a file that is changed goes: it counts without a look at the file."""
    written = io.BytesIO()
    with tarfile.open(fileobj=content_of(archive, program)) as files, tarfile.open(fileobj=written, mode="w") as layer:
        for name, pairs in edits.items():
            path = Path(DAEMON, name)
            text = content_of(files, str(path)).read().decode()
            for before, after in pairs:
                assert before in text, f"{name}: {before}"
                text = text.replace(before, after)
            _add(layer, str(path), text.encode())
            _add(layer, str(path.parent / "__pycache__" / f".wh.{path.stem}.{BYTECODE}"), b"")
    return written.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))
