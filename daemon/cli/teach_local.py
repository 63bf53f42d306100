"""`perceptd teach play`, `export` and `import`: they work on the state directory of this machine."""

import argparse
import json
import shutil
import subprocess
from pathlib import Path
from tempfile import NamedTemporaryFile

from daemon.cli.node_state import node_state
from daemon.cli.ownership import give_to_caller
from daemon.cli.teach_state import opened
from daemon.core.errors import Refused
from daemon.core.text import clean
from daemon.teaching.records import Example
from daemon.teaching.report import SHOWN_ID
from daemon.teaching.store import TeachingStore

# programs that play a WAV file, the first that is there; a desktop's sound server comes before the device itself
PLAYERS = ("pw-play", "paplay", "aplay")

PLAY_S = 30.0


def teach_local(options: argparse.Namespace) -> int:
    """Execute one action."""
    if options.action == "play":
        return play(options)
    from daemon.cli.teach_export import export, import_

    return export(options) if options.action == "export" else import_(options)


def play(options: argparse.Namespace) -> int:
    """Play the sound of an example, or write its picture and sound into a directory."""
    with opened(node_state(options), read_only=True) as store:
        example = example_of(store, options.example)
    if example.picture is None and example.sound is None:
        raise Refused(f"{_title(example)} has no picture and no sound: only its embeddings were kept")
    files = [] if options.out is None else write_media(example, options.out)
    if options.json:
        found = {"picture": example.picture is not None, "sound": example.sound is not None}
        about = {"id": example.id, "label": example.label, "stream": example.stream}
        print(json.dumps(about | found | {"files": [str(file) for file in files]}, ensure_ascii=False))
        return 0
    print(_title(example))
    for file in files:
        print(f"  {file}")
    if options.out is not None:
        return 0
    if example.picture is not None:
        print("  it has a picture: --out DIR writes picture and sound as files")
    return 0 if example.sound is None else _play(example.sound)


def example_of(store: TeachingStore, shown: str) -> Example:
    """Return the example whose id begins so. Raises Refused where there is none, or more than one."""
    found = [info.id for info in store.examples() if info.id.startswith(shown)]
    if len(found) != 1:
        problem = "there are several; give more of it" if found else "there is none; perceptd teach list shows them"
        raise Refused(f"an example whose id begins with {clean(shown)}: {problem}")
    return store.example(found[0])


def write_media(example: Example, directory: Path) -> list[Path]:
    """Write picture and sound of an example into a directory; return the files. Raises Refused."""
    files = []
    try:
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True)
            give_to_caller(directory)
        for content, ending in ((example.picture, ".jpg"), (example.sound, ".wav")):
            if content is not None:
                file = directory / f"{example.id}{ending}"
                file.write_bytes(content)
                give_to_caller(file)
                files.append(file)
    except OSError as error:
        raise Refused(f"{error.filename or directory}: {error.strerror}") from error
    return files


def _play(sound: bytes) -> int:
    """Play a WAV; return 1 where that is not possible. No copy of it stays on the disk."""
    player = next(filter(None, map(shutil.which, PLAYERS)), None)
    if player is None:
        print(f"  to hear it, install one of {', '.join(PLAYERS)}, or write it as a file: --out DIR")
        return 1
    with NamedTemporaryFile(prefix="perceptd-", suffix=".wav") as file:
        file.write(sound)
        file.flush()
        try:
            done = subprocess.run([player, file.name], check=False, timeout=PLAY_S)  # noqa: S603  (found on PATH)
        except subprocess.TimeoutExpired:
            print(f"  {player} has not ended within {PLAY_S:g} s; write it as a file instead: --out DIR")
            return 1
    if done.returncode != 0:
        print(f"  {player} cannot play it here; write it as a file instead: --out DIR")
    return 0 if done.returncode == 0 else 1


def _title(example: Example) -> str:
    return f"{clean(example.label)}, example {clean(example.id)[:SHOWN_ID]}, {clean(example.stream)}"
