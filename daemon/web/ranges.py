"""Which bytes of a file a request wants (RFC 9110, section 14). Pure."""

import re

_ONE_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


class Unsatisfiable(ValueError):
    """The range lies outside the file."""


def range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte that is wanted, and the one behind the last; None: the whole file.

    Several ranges, and what is no range, are answered with the whole file, as the standard permits. Raises
    Unsatisfiable.
    """
    matched = _ONE_RANGE.fullmatch(header.strip()) if header else None
    if matched is None or matched.groups() == ("", ""):
        return None
    first, last = matched.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= end:
        raise Unsatisfiable
    return start, end
