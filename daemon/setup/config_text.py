"""The text of a config that setup writes: the keys that differ from their defaults, each with a comment. Pure."""

from collections.abc import Iterator, Mapping
from textwrap import indent
from typing import Any

from daemon.core.dumper import dump_document

HEADER = """# Written by `perceptd setup`. Run it again to change this: it offers these values, and keeps all others.
# Every key with its default: {reference}
"""

# where a comment begins that stands beside its key, as in the shipped config
COMMENT_COLUMN = 33

# the keys that setup asks for; * is the name of any stream
COMMENTS = {
    ("node",): "the name of this device in topics: perceptd/<node>/...",
    ("bundle",): "the directory of the models to run",
    ("mqtt",): "the broker to which this node publishes",
    ("mqtt", "port"): "usually 8883 with TLS",
    ("mqtt", "tls"): "{}: verify the broker with the system's certificates",
    ("mqtt", "username"): "the account of this node at the broker",
    ("mqtt", "password_file"): "its first line is the password",
    ("streams",): "the places to watch. Their names are part of the topics",
    ("streams", "*", "camera"): "a number, a device, or a URL, with user and password where the camera asks for them",
    ("streams", "*", "microphone"): "a name from `perceptd devices`, or camera: the sound of the camera's stream",
}

# whose keys stand in lines of their own
SECTIONS = frozenset({("mqtt",), ("streams",), ("streams", "*")})

DEVICES = (("streams", "*", "camera"), ("streams", "*", "microphone"))

# the first key that setup does not ask for follows this line
OTHERS = "# kept from the config before"

# the last line of each mapping that `_entry` dumps. No key of a config, and no stream, has this name
END = "$: {}"

ASKED = ("node", "bundle", "mqtt", "streams")


def config_text(values: Mapping[str, Any], reference: str) -> str:
    """Return the text of a config with these values; `reference` is the file that shows all keys.

    Equal values give equal text.
    """
    lines = [f"{HEADER.format(reference=reference)}\n"]
    for key in ASKED:
        lines += _lines({key: values[key]}, ()) if key in values else ()
        lines += "\n" if key != "node" else ()
    others = {key: value for key, value in values.items() if key not in ASKED}
    if others:
        lines += [f"{OTHERS}\n", *(_entry(key, value) for key, value in others.items())]
    return "".join(lines).rstrip("\n") + "\n"


def _lines(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for key, value in values.items():
        here = (*path, "*" if path == ("streams",) else key)
        comment, margin = COMMENTS.get(here), "  " * len(path)
        if here in SECTIONS and value:
            yield _commented(indent(_entry(key, {}).replace(" {}\n", "\n"), margin), comment, margin)
            yield from _lines(value, here)
        else:
            # a device without settings of its own stands alone
            alone = value["device"] if here in DEVICES and value.keys() == {"device"} else value
            yield _commented(indent(_entry(key, alone), margin), comment, margin)


def _entry(key: str, value: Any) -> str:
    """Return the lines of one key of a mapping."""
    # a mapping of simple values alone would be one line in braces
    return dump_document({key: value, "$": {}}).decode().removesuffix(f"{END}\n")


def _commented(text: str, comment: str | None, margin: str) -> str:
    """Return a key and its value with a comment, beside them if they are one line, else above."""
    if comment is None:
        return text
    line = text.rstrip("\n")
    if "\n" in line or len(line) > COMMENT_COLUMN - 2:
        return f"{margin}# {comment}\n{text}"
    return f"{line:<{COMMENT_COLUMN}}# {comment}\n"


def is_own_text(text: str) -> bool:
    """Return whether setup has written a config."""
    return text.startswith(HEADER.partition("\n")[0])
