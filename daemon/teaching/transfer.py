"""Examples in a folder, for another device. Reading takes a folder that anybody may have made.

FOLDER/ID/example.json          its label, stream, time and moments
FOLDER/ID/picture.jpg           if there is one
FOLDER/ID/sound.wav             if there is one
FOLDER/ID/embeddings-NAME.npy   float32 (n, D): the embeddings of encoder NAME, in the order of the moments
"""

import io
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError

from daemon.bundle.encoder_specs import Name, Number
from daemon.core.document import StrictModel, expected_text
from daemon.core.errors import InputError, TeachingError
from daemon.core.files import read_foreign, replace_file, sync_directory
from daemon.core.records import Array
from daemon.core.text import clean
from daemon.teaching.blobs import MAX_ENCODERS, MAX_FINGERPRINT, MAX_MOMENTS, MAX_TIME_MS, MAX_VECTOR
from daemon.teaching.pictures import picture_from
from daemon.teaching.records import MAX_EXAMPLES, Example, Origin, StoredMoment
from daemon.teaching.sounds import sound_from
from daemon.teaching.store import TeachingStore
from daemon.teaching.stored import ID, MAX_MEDIA_BYTES, MAX_NAME

MAX_JSON_BYTES = 1 << 16
MAX_ARRAY_BYTES = 8 << 20

DOCUMENT, PICTURE, SOUND = "example.json", "picture.jpg", "sound.wav"

Text = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Fingerprint = Annotated[str, Field(min_length=1, max_length=MAX_FINGERPRINT)]


class MomentDocument(StrictModel):
    """One moment: its time, and the encoders that have an embedding of it."""

    time_ms: Annotated[int, Field(ge=0, le=MAX_TIME_MS)]
    encoders: Annotated[list[Name], Field(min_length=1, max_length=MAX_ENCODERS)]


class ExampleDocument(StrictModel):
    """The file `example.json`. `encoders` has the fingerprint of each encoder; `picture` and `sound`: has a file."""

    format: Literal[1]
    label: Text
    stream: Text
    taken_s: Number
    origin: Origin
    encoders: Annotated[dict[Name, Fingerprint], Field(min_length=1, max_length=MAX_ENCODERS)]
    moments: Annotated[list[MomentDocument], Field(min_length=1, max_length=MAX_MOMENTS)]
    picture: bool
    sound: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """How many examples were added, and how many were there already."""

    added: int
    present: int


def export_examples(store: TeachingStore, folder: Path, labels: Sequence[str] = ()) -> int:
    """Write the examples of these labels, or all, to a folder that is new or empty; return how many.

    Raises TeachingError. A folder that could not be completed is removed again.
    """
    infos = [info for info in store.examples() if not labels or info.label in labels]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise TeachingError("invalid", f"{folder} is not empty: name a new folder for the examples")
        try:
            for info in infos:
                _write(store.example(info.id), folder / info.id)
            sync_directory(folder)
        except BaseException:
            for info in infos:
                shutil.rmtree(folder / info.id, ignore_errors=True)
            raise
    except OSError as error:
        raise TeachingError("disk", f"the examples cannot be written to {folder}: {error.strerror}") from error
    return len(infos)


def import_examples(
    store: TeachingStore, folder: Path, *, pictures: bool, sounds: bool, stream: str | None = None
) -> Imported:
    """Add the examples of a folder, all of them or none. Examples that are there already are left as they are.

    `pictures` and `sounds` say whether theirs are kept. `stream` takes the place of the streams that the folder names.
    Raises TeachingError.
    """
    try:
        names = _names(folder)
        known = {info.id for info in store.examples()}
        new = [name for name in names if name not in known]
        if new:
            with store.step(f"the import of {len(new)} examples"):
                for name in new:
                    example = _read(folder / name)
                    store.add_example(
                        replace(
                            example,
                            stream=stream or example.stream,
                            picture=example.picture if pictures else None,
                            sound=example.sound if sounds else None,
                        )
                    )
    except OSError as error:
        where = error.filename or folder
        raise TeachingError("invalid", f"nothing was imported: {where}: {_lower(error.strerror)}") from error
    except InputError as error:
        raise TeachingError("invalid", f"nothing was imported: {error}") from error
    return Imported(len(new), len(names) - len(new))


def _names(folder: Path) -> list[str]:
    """Return the names of the folders of examples. Raises OSError and InputError."""
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(names) == MAX_EXAMPLES:
                raise InputError(f"{folder} has more than {MAX_EXAMPLES} entries")
            if ID.fullmatch(entry.name) is None or not stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
                raise InputError(f"{folder} has {clean(entry.name)}, expected nothing but the folders of examples")
            names.append(entry.name)
    if not names:
        raise InputError(f"{folder} has no examples: expected the folder that `perceptd teach export` has written")
    return sorted(names)


def _write(example: Example, folder: Path) -> None:
    document = ExampleDocument(
        format=1,
        label=example.label,
        stream=example.stream,
        taken_s=example.taken_s,
        origin=example.origin,
        encoders=dict(example.encoders),
        moments=[MomentDocument(time_ms=each.time_ms, encoders=list(each.vectors)) for each in example.moments],
        picture=example.picture is not None,
        sound=example.sound is not None,
    )
    files: dict[str, bytes] = {}
    for name in example.encoders:
        rows = [each.vectors[name] for each in example.moments if name in each.vectors]
        content = io.BytesIO()
        np.lib.format.write_array(content, np.stack(rows).astype("<f4"), version=(1, 0), allow_pickle=False)
        files[_array_file(name)] = content.getvalue()
    files |= {name: media for name, media in ((PICTURE, example.picture), (SOUND, example.sound)) if media is not None}
    files[DOCUMENT] = document.model_dump_json(indent=1).encode() + b"\n"
    for name, data in files.items():
        replace_file(folder / name, data, 0o600)


def _read(folder: Path) -> Example:
    """Return the example of a folder. Raises OSError and InputError."""
    document = _document(folder / DOCUMENT)
    picture = read_foreign(folder / PICTURE, MAX_MEDIA_BYTES) if document.picture else None
    sound = read_foreign(folder / SOUND, MAX_MEDIA_BYTES) if document.sound else None
    try:
        if picture is not None:
            picture_from(picture)
        if sound is not None:
            sound_from(sound)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    arrays = {name: _array(folder / _array_file(name)) for name in document.encoders}
    return Example(
        id=folder.name,
        label=document.label,
        stream=document.stream,
        taken_s=document.taken_s,
        origin="import",
        encoders=document.encoders,
        moments=list(_moments(folder, document, arrays)),
        picture=picture,
        sound=sound,
    )


def _document(path: Path) -> ExampleDocument:
    try:
        return ExampleDocument.model_validate_json(read_foreign(path, MAX_JSON_BYTES))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {clean(where)}: {clean(expected_text(first), 200)}") from error


def _moments(folder: Path, document: ExampleDocument, arrays: Mapping[str, Array]) -> Iterator[StoredMoment]:
    """Give the rows of the arrays to the moments. Raises InputError when they are too few or too many."""
    used = dict.fromkeys(arrays, 0)
    for moment in document.moments:
        vectors = {}
        for name in moment.encoders:
            if name not in arrays or used[name] == len(arrays[name]):
                raise InputError(f"{folder}: a moment has no embedding of {name}")
            vectors[name] = arrays[name][used[name]]
            used[name] += 1
        yield StoredMoment(moment.time_ms, vectors)
    for name, count in used.items():
        if count != len(arrays[name]):
            raise InputError(f"{folder}: {len(arrays[name])} embeddings of {name}, expected {count}")


def _array(path: Path) -> Array:
    """Return an array of float32 (n, D). Raises OSError and InputError; nothing in the file is run."""
    content = io.BytesIO(read_foreign(path, MAX_ARRAY_BYTES))
    try:
        version = np.lib.format.read_magic(content)
        if version != (1, 0):
            raise ValueError("the version of the format is not 1.0")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(content)
    except Exception as error:  # numpy parses Python literals, which fail in many ways
        raise InputError(f"{path}: no array of numpy: {clean(str(error))}") from error
    rest = content.read()
    is_expected = dtype == np.dtype("<f4") and len(shape) == 2 and not is_fortran
    if not is_expected or not 1 <= shape[0] <= MAX_MOMENTS or not 1 <= shape[1] <= MAX_VECTOR:
        raise InputError(f"{path}: expected float32 of shape (moments, numbers), in C order")
    if len(rest) != shape[0] * shape[1] * dtype.itemsize:
        raise InputError(f"{path}: its numbers are cut off, or there are too many")
    return np.frombuffer(rest, dtype).astype(np.float32).reshape(shape)


def _array_file(encoder: str) -> str:
    return f"embeddings-{encoder}.npy"


def _lower(text: str | None) -> str:
    return text[0].lower() + text[1:] if text else "cannot be read"
