"""Takes credentials out of text before anyone sees it."""

import re

_USER_INFO = re.compile(r"(?<=://).*@")
"""As far as it can reach: a password as people write it may hold slashes, quotes and spaces."""


def redact(text: str) -> str:
    """The text with user and password of every URL in it replaced by stars."""
    return _USER_INFO.sub("***@", text)


MAX_SHOWN = 80


def clean(text: str, longest: int = MAX_SHOWN) -> str:
    """Control characters, line ends and direction marks replaced, and no longer than `longest` characters."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:longest])
    return shown + ("…" if len(text) > longest else "")
