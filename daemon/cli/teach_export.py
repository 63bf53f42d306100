"""`perceptd teach export` and `import`: what a node was taught, for other devices."""

import argparse
import json
from pathlib import Path

from daemon.bundle.bundle import load_bundle
from daemon.cli.teach_local import give_to_caller
from daemon.cli.teach_state import active_bundle, node_state
from daemon.core.errors import Refused
from daemon.core.text import clean
from daemon.pipeline.taught_bundle import export_bundle


def export_taught(options: argparse.Namespace) -> int:
    """Write the bundle that a node of this machine was taught under another name and version."""
    if options.version is None or options.out is None:
        raise Refused("--name needs --version and --out: the version of the bundle, and its new directory")
    state = node_state(options)
    source = active_bundle(state)
    manifest = load_bundle(source).manifest
    if manifest.taught is None:
        raise Refused(f"{manifest.id} was taught nothing: it has the labels of the bundle alone")
    check_new(options.out)
    try:
        export_bundle(source, options.out, options.name, options.version)
        for path in (options.out, *options.out.rglob("*")):
            give_to_caller(path)
    except OSError as error:
        raise Refused(f"{error.filename or options.out}: {error.strerror}") from error
    labels = list(manifest.taught.labels)
    if options.json:
        print(json.dumps({"bundle": f"{options.name}@{options.version}", "labels": labels}, ensure_ascii=False))
    else:
        print(f"{options.name}@{options.version}: {options.out}, with {', '.join(map(clean, labels))}")
    return 0


def check_new(directory: Path) -> None:
    """Raise Refused where a new directory cannot be made."""
    if directory.exists():
        raise Refused(f"{directory}: is there already; name a new directory")
    if not directory.absolute().parent.is_dir():
        raise Refused(f"{directory.absolute().parent}: there is no such directory")
