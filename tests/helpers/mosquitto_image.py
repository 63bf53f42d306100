"""An image of mosquitto, as that of Docker Hub, which tests cannot reach: the broker of Debian in a small system."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

NAME = "eclipse-mosquitto:2"
# the folders and the number of the user, as in the image of Docker Hub
PREPARE = (
    "usermod --root $1 --uid 1883 mosquitto && mkdir -p $1/mosquitto/config $1/mosquitto/data "
    "&& chown -R 1883:1883 $1/mosquitto"
)
CONFIG = {
    "Cmd": ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"],
    "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    "User": "",
    "Volumes": {"/mosquitto/data": {}},
}


def mosquitto_image(directory: Path) -> Path:
    """Write the archive of the image into a directory, and return it."""
    layer = directory / "mosquitto-layer.tar"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=mosquitto", f"--customize-hook={PREPARE}"]
    subprocess.run([*command, "trixie", str(layer)], check=True, capture_output=True, timeout=600)
    content = layer.read_bytes()
    layer.unlink()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": CONFIG,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
        "history": [{"created_by": "mmdebstrap"}],
    }
    described = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    archive = directory / "mosquitto.tar"
    parts = {
        "manifest.json": json.dumps(described).encode(),
        "config.json": json.dumps(config).encode(),
        "layer.tar": gzip.compress(content, 1),
    }
    with tarfile.open(archive, "w") as written:
        for name, part in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(part)
            written.addfile(entry, io.BytesIO(part))
    return archive
