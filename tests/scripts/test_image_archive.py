"""Archives of one image are the same, whatever buildah has called the container in which it made the image."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from packages.image_archive import content_of, write_archive

LAYER = b"the files of the image" * 100


def archive_of_buildah(path: Path, container: str) -> Path:
    """Write an archive as `buildah push docker-archive:` does, with what it adds for old engines."""
    config: dict[str, Any] = {
        "architecture": "amd64",
        "container": container,
        "container_config": {"Hostname": container[:12]},
        "config": {"User": "900:900", "Hostname": container[:12]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(LAYER).hexdigest()}"]},
    }
    raw = json.dumps(config).encode()
    name = f"{hashlib.sha256(raw).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": ["perceptd:1.0"], "Layers": ["l.tar"]}]
    with tarfile.open(path, "w") as archive:
        for each, content in (("l.tar", LAYER), (name, raw), (f"{container}/json", b"{}")):
            entry = tarfile.TarInfo(each)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        content = json.dumps(manifest).encode()
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return path


def test_two_builds_of_one_image_have_one_archive_which_is_whole(tmp_path: Path) -> None:
    written = [tmp_path / "first", tmp_path / "second"]
    for path, container in zip(written, ("5ba1" * 16, "90cd" * 16), strict=True):
        write_archive(archive_of_buildah(path.with_suffix(".tar"), container), path)
    assert written[0].read_bytes() == written[1].read_bytes()
    with tarfile.open(written[0]) as archive:
        (manifest,) = json.load(content_of(archive, "manifest.json"))
        raw = content_of(archive, manifest["Config"]).read()
        # engines know an image by the hash of its configuration, and its layers by their own hashes
        assert manifest["Config"] == f"{hashlib.sha256(raw).hexdigest()}.json"
        config = json.loads(raw)
        (layer,) = manifest["Layers"]
        unpacked = gzip.decompress(content_of(archive, layer).read())
        assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(unpacked).hexdigest()}"]
        assert config["config"] == {"User": "900:900"}
        assert archive.getnames() == ["manifest.json", manifest["Config"], layer]
