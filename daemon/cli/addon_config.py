"""The config of a node that runs as an add-on of Home Assistant, made of the add-on's options. Pure."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from daemon.config.mqtt import TopicLevel
from daemon.core.document import StrictModel

STREAM = "main"

# Supervisor's own address in the network of add-ons: its proxy shows the page
INGRESS_PROXY = "172.30.32.2"


class Options(StrictModel):
    """What the person has chosen in Home Assistant. An empty text counts as none."""

    node: TopicLevel
    bundle: Literal["digits", "home"]
    camera: str | None = None
    microphone: str | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Broker(BaseModel):
    """The broker of which Supervisor knows. What else it says, such as the add-on that has the broker, is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65_535)]
    ssl: bool = False
    username: str | None = Field(default=None, repr=False)
    password: str | None = Field(default=None, repr=False)


class BrokerAnswer(BaseModel):
    """An answer of Supervisor."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    result: Literal["ok"]
    data: Broker


def config_of(options: Options, broker: Broker, bundle: Path, demo: Path) -> dict[str, Any]:
    """Return the config. The login at the broker is no part of it: the node gets it as a credential.

    Without a camera and a microphone the node replays the recording of the directory `demo`.
    """
    stream: dict[str, Any] = {}
    if options.camera:
        stream["camera"] = {"device": options.camera}
    if options.microphone:
        stream["microphone"] = {"device": options.microphone}
    if not stream:
        stream["replay"] = {"file": str(demo / "clip.mp4"), "text": str(demo / "clip.text.yaml")}
    mqtt: dict[str, Any] = {"host": broker.host, "port": broker.port}
    if broker.ssl:
        mqtt["tls"] = {}
    return {
        "node": options.node,
        "bundle": str(bundle),
        "log_level": options.log_level,
        "history": {},
        "page": {"trusted_proxies": [INGRESS_PROXY], "proxy_login": "owner"},
        "mqtt": mqtt,
        "streams": {STREAM: stream},
    }
