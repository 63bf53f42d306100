"""Says which line of the broker's access list gives a right that an account lacks. Pure.

The lines have the form of mosquitto's access list. docs/security.md shows a whole list.
"""

from collections.abc import Sequence
from typing import Literal

from daemon.core.text import clean

Action = Literal["read", "write"]

VERBS: dict[Action, str] = {"read": "read", "write": "publish to"}

# far above every topic of the daemon: a program that sends commands may name any topic for the answer
MAX_TOPIC_CHARS = 200


def remedy(action: Action, topic: str, username: str | None) -> str:
    """Return which right an account lacks, and the line that gives it; `topic` may be a filter.

    `username` is None for a client that gives none: it is anonymous, or has a certificate.
    """
    place = f"below `user {clean(username)}` in" if username is not None else "to its rights in"
    lack = f"{account_text(username)} may not {VERBS[action]} {clean(topic, MAX_TOPIC_CHARS)}"
    return f"{lack}: add `{access_line(action, topic)}` {place} the broker's access list"


def lines_text(rights: Sequence[tuple[Action, str]]) -> str:
    """Return the lines that give several rights, each once."""
    return ", ".join(dict.fromkeys(f"`{access_line(action, topic)}`" for action, topic in rights))


def account_text(username: str | None) -> str:
    """Return the account of a client as the subject of a sentence."""
    return "this client" if username is None else f"the account {clean(username)}"


def access_line(action: Action, topic: str) -> str:
    """Return the line that allows the action on a topic or filter, and on topics that the same program needs too."""
    return f"topic {action} {clean(_allowed(action, topic), MAX_TOPIC_CHARS)}"


def _allowed(action: Action, topic: str) -> str:
    """Return the filter of the access list."""
    match topic.split("/"):
        case ["perceptd", node, "command", _]:
            return f"perceptd/{node}/command/+"
        case ["perceptd", node, "command", _, "result"] if action == "read":
            return f"perceptd/{node}/command/+/result"
        case ["perceptd", _, _, "text"]:
            return topic
        case ["perceptd", node, *_] if action == "write":
            return f"perceptd/{node}/#"
        case ["perceptd-send", _]:
            return "perceptd-send/+"
        case [prefix, "device", _, "config"]:
            return f"{prefix}/device/+/config"
        case [prefix, _, _, _, "config"]:
            return f"{prefix}/+/+/+/config"
    return topic
