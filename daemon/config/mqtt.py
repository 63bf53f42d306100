"""The schema of `mqtt:` in config.yaml: how to reach the broker, what is said to it, and what is taken from it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from daemon.bundle.manifest import Number
from daemon.core.document import StrictModel
from daemon.core.errors import DocumentError
from daemon.core.text import redact


def _topic_level(name: str) -> str:
    if not name or len(name) > 64 or any(c in "+#/$" or c.isspace() or not c.isprintable() for c in name):
        raise ValueError("expected 1 to 64 characters without spaces and none of + # / $")
    return name


def _host(host: str) -> str:
    if not host or any(c in "/@" or c.isspace() for c in host):
        raise ValueError("expected a host's name or address alone, without scheme or user")
    if host.count(":") == 1:
        raise ValueError("expected a host's name or address alone; its port goes into port")
    return host


TopicLevel = Annotated[str, AfterValidator(_topic_level)]


class RecognitionsConfig(StrictModel):
    """Which recognitions are published."""

    publish: Literal["every", "rate", "change"] = "rate"
    max_rate_hz: Annotated[Number, Field(ge=0.001, le=1000)] = 5.0
    labels: Annotated[int, Field(ge=1, le=64)] = 3


class OutboxConfig(StrictModel):
    """How much of what the broker has not acknowledged is kept on disk, and for how long."""

    max_mb: Annotated[Number, Field(ge=1, le=10_000)] = 64.0
    max_age_h: Annotated[Number, Field(ge=0.1, le=8760)] = 168.0


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
]


class CommandsConfig(StrictModel):
    """Which commands are not obeyed when they come over MQTT."""

    forbidden: list[Command] = []


class HomeAssistantConfig(StrictModel):
    """Whether and where Home Assistant is told of the node."""

    discovery: bool = True
    prefix: TopicLevel = "homeassistant"


class TlsConfig(StrictModel):
    """How the broker is verified, and who we are; without a CA file, by the system's certificates."""

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    @model_validator(mode="after")
    def _key_has_a_certificate(self) -> "TlsConfig":
        if self.key_file is not None and self.certificate_file is None:
            raise ValueError("key_file needs certificate_file")
        return self


class MqttConfig(StrictModel):
    """The broker and what is said to it."""

    host: Annotated[str, Field(max_length=253), AfterValidator(_host)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 1883
    transport: Literal["tcp", "websockets"] = "tcp"
    websocket_path: Annotated[str, Field(pattern="^/", max_length=256)] = "/mqtt"
    tls: TlsConfig | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: str | None = None
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    recognitions: RecognitionsConfig = RecognitionsConfig()
    outbox: OutboxConfig = OutboxConfig()
    commands: CommandsConfig = CommandsConfig()
    home_assistant: HomeAssistantConfig = HomeAssistantConfig()

    @model_validator(mode="after")
    def _one_password(self) -> "MqttConfig":
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        return self


def override_broker(broker: str | None, mqtt: MqttConfig) -> MqttConfig:
    """The settings with another broker, given as HOST or HOST:PORT. Raises DocumentError."""
    if broker is None:
        return mqtt
    host, colon, port = broker.rpartition(":") if ":" in broker else (broker, "", "")
    try:
        changed = {"host": host, "port": int(port) if colon else mqtt.port}
        return MqttConfig.model_validate({**dict(mqtt), **changed})
    except ValueError as error:
        expected = "expected HOST or HOST:PORT, with a port from 1 to 65535"
        raise DocumentError([f"--broker {redact(broker)}: {expected}"]) from error


def with_absolute_paths(mqtt: MqttConfig, base: Path) -> MqttConfig:
    """The settings with all files relative to `base`."""
    update: dict[str, object] = {}
    if mqtt.password_file is not None:
        update["password_file"] = str(base / mqtt.password_file)
    if mqtt.tls is not None:
        files = {key: path and str(base / path) for key, path in dict(mqtt.tls).items()}
        update["tls"] = mqtt.tls.model_copy(update=files)
    return mqtt.model_copy(update=update)
