"""The part of a config that commands to running nodes use: the broker, the login and the node."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from daemon.config.broker_options import ANY_NODE, check_node, override_broker
from daemon.config.mqtt import MqttConfig, TopicLevel
from daemon.config.node import Config
from daemon.config.streams import StreamConfig, StreamName
from daemon.core.document import load_document
from daemon.core.errors import DocumentError


class Account(Config):
    """A node's config, or a file for a person. Such a file needs only `mqtt`: the broker and the login there.

    `node` is the node that commands go to, if none is named. Without it `watch` shows all nodes.
    """

    node: TopicLevel = ""
    bundle: str = ""
    streams: Annotated[dict[StreamName, StreamConfig], Field(max_length=64)] = {}


def broker_and_node(
    broker: str | None, node: str | None, config: Path | None, *, any_node: bool = False
) -> tuple[MqttConfig, str]:
    """Return the broker and the name of the node to reach; `config` fills what the options omit.

    `any_node` says whether the node may be +, all nodes. Raises DocumentError.
    """
    if node is not None:
        check_node(node, any_node=any_node)
    if config is None:
        account, mqtt = Account(), MqttConfig()
    else:
        account = load_document(config, Account).document
        mqtt = account.mqtt.with_absolute_paths(config.resolve().parent)
    named = node or account.node or (ANY_NODE if any_node else "")
    if not named:
        raise DocumentError([f"{config}: node: is missing; write it there, or name the node by --node NAME"])
    return override_broker(broker, mqtt), named
