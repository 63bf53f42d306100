"""The archive of an image that docker and podman load, as the same image always gives it.

It has manifest.json, the configuration, and the layers, which are compressed: podman of Debian 12 loads no .tar.gz.
"""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any

MANIFEST = "manifest.json"
# names of the container in which buildah has made the image, which differ each time
OF_THE_BUILD = ("container", "container_config")


def write_archive(source: Path, target: Path) -> None:
    """Write the archive of buildah anew, without what differs each time."""
    with tarfile.open(source) as plain, tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as packed:
        (described,) = json.load(content_of(plain, MANIFEST))
        config = settled(json.load(content_of(plain, described["Config"])))
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        _add(packed, MANIFEST, io.BytesIO(_json([{**described, "Config": name}])))
        _add(packed, name, io.BytesIO(config))
        for layer in described["Layers"]:
            with tempfile.TemporaryFile() as compressed:
                with gzip.GzipFile(filename="", fileobj=compressed, mode="wb", compresslevel=6, mtime=0) as file:
                    shutil.copyfileobj(content_of(plain, layer), file, 1 << 20)
                _add(packed, layer, compressed)


def settled(config: dict[str, Any]) -> bytes:
    """Return a configuration without the names of the container in which it was made."""
    kept = {key: value for key, value in config.items() if key not in OF_THE_BUILD}
    kept["config"] = {key: value for key, value in config["config"].items() if key != "Hostname"}
    return _json(kept)


def content_of(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """Return a file of an archive. Raises KeyError where there is none."""
    found = archive.extractfile(name)
    if found is None:
        raise KeyError(name)
    return found


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o644
    entry.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    archive.addfile(entry, content)


def _json(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
