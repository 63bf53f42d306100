"""Whether the wall clock is set: metadata that expires can be judged by it alone. Pure."""

from datetime import datetime, timezone

SLACK_S = 60.0
"""A clock that is set is put back by less now and then."""


def clock_problem(now_s: float, seen_s: float) -> str | None:
    """Why the clock cannot be right, which says `now_s` where it was `seen_s` before; None if it can."""
    if now_s >= seen_s - SLACK_S:
        return None
    return f"the clock says {_words(now_s)}, before {_words(seen_s)}: waiting for it to be set"


def _words(wall_s: float) -> str:
    return f"{datetime.fromtimestamp(wall_s, timezone.utc):%Y-%m-%d %H:%M}"
