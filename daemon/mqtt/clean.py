"""Text from a broker, made fit for a terminal."""

MAX_SHOWN = 80


def clean(text: str, longest: int = MAX_SHOWN) -> str:
    """Control characters, line ends and direction marks replaced, and no longer than `longest` characters."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:longest])
    return shown + ("…" if len(text) > longest else "")
