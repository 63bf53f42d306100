"""Explains why nothing comes from a node: a broker drops what its access list does not allow, without a word. Pure."""

from collections.abc import Sequence

from daemon.mqtt.broker.permissions import Action, account_text, lines_text

Right = tuple[Action, str]


def unanswered(node: str, command: str, availability: bytes | None, username: str | None) -> str:
    """Return the likely cause of a missing answer.

    `availability` is what the node has published under this topic; None for nothing.
    """
    topic, answers = f"perceptd/{node}/command/{command}", "perceptd-send/+"
    of_asker: list[Right] = [("write", topic), ("read", answers), ("read", f"{topic}/result")]
    of_node: list[Right] = [("read", f"perceptd/{node}/command/+"), ("write", answers)]
    if availability is None:
        right = lines_text([("read", f"perceptd/{node}/availability")])
        return f"either there is no node {node} at this broker, or {account_text(username)} needs {right}"
    if availability != b"online":
        return "the node is offline"
    return (
        "the node is online, so probably the broker's access list drops the command or the answer: "
        f"{account_text(username)} needs {lines_text(of_asker)}, and the account of the node {lines_text(of_node)}"
    )


def nothing_heard(filters: Sequence[str], username: str | None) -> str:
    """Return the likely cause when no retained message has come under the filters of a node's own topics."""
    lines = lines_text([("read", topic_filter) for topic_filter in filters])
    return f"either no node has published there, or {account_text(username)} needs {lines} in the broker's access list"
