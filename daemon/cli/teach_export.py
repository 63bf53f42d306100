"""`perceptd teach export` and `import`: what a node was taught, for other devices."""

import argparse
import json
from pathlib import Path

from daemon.bundle.bundle import load_bundle
from daemon.cli.node_state import node_state
from daemon.cli.ownership import give_to_caller
from daemon.cli.teach_state import active_bundle, opened, stream_of
from daemon.cli.teach_text import counted
from daemon.core.errors import Refused
from daemon.core.text import clean
from daemon.pipeline.taught_bundle import export_bundle
from daemon.teaching.transfer import export_examples, import_examples


def export(options: argparse.Namespace) -> int:
    """Write all examples into a directory, or the taught bundle."""
    return export_bundle_of(options) if options.examples is None else export_all(options)


def export_all(options: argparse.Namespace) -> int:
    """Write all examples of a node of this machine into a new directory."""
    with opened(node_state(options), read_only=True) as store:
        count = export_examples(store, options.examples)
    for path in (options.examples, *options.examples.rglob("*")):
        give_to_caller(path)
    if options.json:
        print(json.dumps({"examples": count, "directory": str(options.examples)}))
    else:
        print(f"{counted(count, 'example')}: {options.examples}. They may hold pictures and sound")
    return 0


def import_(options: argparse.Namespace) -> int:
    """Add the examples of a directory to those of a node of this machine."""
    state = node_state(options)
    config = state.config.document
    stream = options.stream
    if stream is not None or len(config.streams) == 1:
        stream = stream_of(options, state)
    with opened(state, read_only=False) as store:
        done = import_examples(
            store, options.directory, pictures=config.teaching.pictures, sounds=config.teaching.sounds, stream=stream
        )
    if options.json:
        print(json.dumps({"added": done.added, "present": done.present}))
    else:
        there = f"; {done.present} were there already" if done.present else ""
        print(f"added {counted(done.added, 'example')}{there}")
    return 0


def export_bundle_of(options: argparse.Namespace) -> int:
    """Write the bundle that a node of this machine was taught under another name and version."""
    if options.version is None or options.out is None:
        raise Refused("--name needs --version and --out: the version of the bundle, and its new directory")
    state = node_state(options)
    source = active_bundle(state)
    manifest = load_bundle(source).manifest
    if manifest.taught is None:
        raise Refused(
            f"{manifest.id} was taught nothing. If the node runs another bundle than {state.config.path} names, write "
            "that one into it"
        )
    check_new(options.out)
    try:
        export_bundle(source, options.out, options.name, options.version, everywhere=options.everywhere)
        for path in (options.out, *options.out.rglob("*")):
            give_to_caller(path)
    except OSError as error:
        raise Refused(f"{error.filename or options.out}: {error.strerror}") from error
    labels = list(manifest.taught.labels)
    if options.json:
        print(json.dumps({"bundle": f"{options.name}@{options.version}", "labels": labels}, ensure_ascii=False))
    else:
        print(f"{options.name}@{options.version}: {options.out}, with {', '.join(map(clean, labels))}")
        places = {
            stream for label in manifest.taught.labels.values() if label.everywhere is None for stream in label.streams
        }
        if places and not options.everywhere:
            print(
                f"on other nodes they apply to streams named {', '.join(sorted(places))}; --everywhere: to all streams"
            )
    return 0


def check_new(directory: Path) -> None:
    """Raise Refused where a new directory cannot be made."""
    if directory.exists():
        raise Refused(f"{directory}: is there already; name a new directory")
    if not directory.absolute().parent.is_dir():
        raise Refused(f"{directory.absolute().parent}: there is no such directory")
