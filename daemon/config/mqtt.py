"""The schema of `mqtt:` in config.yaml: how to reach the broker, what is published, and which commands are obeyed."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, SecretStr, Tag, model_validator

from daemon.bundle.encoder_specs import Number
from daemon.bundle.manifest import LanguageCode
from daemon.core.document import StrictModel

Command = Literal[
    "pause",
    "resume",
    "mute",
    "unmute",
    "camera",
    "microphone",
    "log_level",
    "describe",
    "models_check",
    "models_install",
    "models_rollback",
    "models_pin",
    "teach",
    "teach_label",
    "teach_missed",
    "teach_wrong",
    "teach_answer",
    "teach_list",
    "teach_remove",
    "teach_forget",
    "teach_fit",
    "teach_report",
    "teach_undo",
]


def _topic_level(name: str) -> str:
    if not name or len(name) > 64 or any(c in "+#/$" or c.isspace() or not c.isprintable() for c in name):
        expected = "expected 1 to 64 characters without spaces and none of + # / $"
        if any(c.isspace() for c in name):
            expected += f"; this name contains a space: write {'_'.join(name.split())}, for example"
        raise ValueError(expected)
    return name


def _host(host: str) -> str:
    if not host or any(c in "/@" or c.isspace() for c in host):
        raise ValueError("expected only the name or address of a host, without scheme or user")
    if "," in host:
        raise ValueError("expected one host; several are a list: [first, second]")
    if host.startswith("["):
        raise ValueError("expected an address of IPv6 without brackets")
    if host.count(":") == 1:
        raise ValueError("expected only the name or address of a host; mqtt.port takes the port")
    return host


def _number_of_hosts(value: object) -> Literal["one", "several"]:
    return "several" if isinstance(value, list) else "one"


TopicLevel = Annotated[str, AfterValidator(_topic_level)]
Host = Annotated[str, Field(max_length=253), AfterValidator(_host)]
Hosts = Annotated[list[Host], Field(min_length=1, max_length=16)]


def _not_off(mode: object) -> object:
    if mode is False:
        raise ValueError("expected 'every', 'rate', 'change' or 'none'; YAML reads off and no as false: write none")
    return mode


class RecognitionsConfig(StrictModel):
    """Which recognitions are published."""

    publish: Annotated[Literal["every", "rate", "change", "none"], BeforeValidator(_not_off)] = "rate"
    max_rate_hz: Annotated[Number, Field(ge=0.001, le=1000)] = 5.0
    labels: Annotated[int, Field(ge=1, le=64)] = 3


class OutboxConfig(StrictModel):
    """The limits of the outbox on disk, which stores events until the broker acknowledges them."""

    max_mb: Annotated[Number, Field(ge=1, le=10_000)] = 64.0
    max_age_h: Annotated[Number, Field(ge=0.1, le=8760)] = 168.0


class CommandsConfig(StrictModel):
    """The commands that are refused over MQTT."""

    forbidden: list[Command] = []


class HomeAssistantConfig(StrictModel):
    """Whether and how the node announces itself to Home Assistant.

    `devices` is None for a node that keeps the devices it has announced before. `language` selects the names of labels.
    """

    discovery: bool = True
    prefix: TopicLevel = "homeassistant"
    devices: Literal["node", "stream"] | None = None
    language: LanguageCode | None = None


class TlsConfig(StrictModel):
    """The files that verify the broker and identify the node; without a CA file the system's certificates count."""

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    @model_validator(mode="after")
    def _check_key(self) -> "TlsConfig":
        if self.key_file is not None and self.certificate_file is None:
            raise ValueError("key_file needs certificate_file")
        return self


class MqttConfig(StrictModel):
    """The broker, the login, and the limits of what is published."""

    # the discriminator makes a mistake appear once, not once for each member of the union
    host: Annotated[Annotated[Host, Tag("one")] | Annotated[Hosts, Tag("several")], Discriminator(_number_of_hosts)] = (
        "127.0.0.1"
    )
    port: Annotated[int, Field(ge=1, le=65_535)] = 1883
    transport: Literal["tcp", "websockets"] = "tcp"
    websocket_path: Annotated[str, Field(pattern="^/", max_length=256)] = "/mqtt"
    tls: TlsConfig | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: str | None = None
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    reconnect_spread_s: Annotated[Number, Field(ge=0, le=3600)] = 0.0
    recognitions: RecognitionsConfig = RecognitionsConfig()
    outbox: OutboxConfig = OutboxConfig()
    commands: CommandsConfig = CommandsConfig()
    home_assistant: HomeAssistantConfig = HomeAssistantConfig()

    @model_validator(mode="after")
    def _check_password(self) -> "MqttConfig":
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        return self

    @property
    def hosts(self) -> tuple[str, ...]:
        """The brokers, in the order in which they are tried."""
        return (self.host,) if isinstance(self.host, str) else tuple(self.host)

    @property
    def addresses(self) -> str:
        """Hosts and port of all brokers, for messages."""
        return " or ".join(host_and_port(host, self.port) for host in self.hosts)

    def with_absolute_paths(self, base: Path) -> "MqttConfig":
        """Return the settings with all files relative to `base`."""
        update: dict[str, object] = {}
        if self.password_file is not None:
            update["password_file"] = str(base / self.password_file)
        if self.tls is not None:
            files = {key: path and str(base / path) for key, path in dict(self.tls).items()}
            update["tls"] = self.tls.model_copy(update=files)
        return self.model_copy(update=update)


def host_and_port(host: str, port: int) -> str:
    """Return host and port as text, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
