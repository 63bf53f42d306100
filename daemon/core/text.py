"""Makes text from outside safe to show: credentials removed, control characters replaced, length bounded."""

import re

# greedy up to the last @: a password may contain slashes, quotes and spaces
_USER_INFO = re.compile(r"(?<=://).*@")

MAX_SHOWN = 80


def redact(text: str) -> str:
    """Return the text with user and password of every URL replaced by stars."""
    return _USER_INFO.sub("***@", text)


def clean(text: str, longest: int = MAX_SHOWN) -> str:
    """Return at most `longest` characters; control characters, line ends and direction marks are replaced."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:longest])
    return shown + ("…" if len(text) > longest else "")
