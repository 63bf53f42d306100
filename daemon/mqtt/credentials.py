"""How to reach the broker and who we are there: TLS, transport, login."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from daemon.config.mqtt import MqttConfig, TlsConfig
from daemon.core.errors import Refused

MAX_SECRET_BYTES = 4096
CREDENTIALS = {"username": "mqtt-username", "password": "mqtt-password"}
"""Names in systemd's credentials directory, as `LoadCredential=mqtt-password:/etc/...` makes them (systemd.exec(5))."""


def login(config: MqttConfig, environment: Mapping[str, str] = os.environ) -> tuple[str | None, str | None]:
    """User and password: from the config, its password_file, or systemd's credentials directory, in this order.

    Raises Refused when a file that should hold one cannot be read.
    """
    username, password = config.username, config.password.get_secret_value() if config.password else None
    if password is None and config.password_file is not None:
        password = _secret(Path(config.password_file), "mqtt.password_file")
    directory = environment.get("CREDENTIALS_DIRECTORY")
    if directory is not None:
        given = {key: Path(directory) / name for key, name in CREDENTIALS.items()}
        if username is None and given["username"].is_file():
            username = _secret(given["username"], "credential")
        if password is None and given["password"].is_file():
            password = _secret(given["password"], "credential")
    return username, password


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """What verifies the broker, and shows our certificate if there is one. Raises Refused when a file is no good."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the broker's certificate and name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if config.ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(config.ca_file)
    except OSError as error:
        raise Refused(f"mqtt.tls.ca_file = {config.ca_file}: {_in_words(error)}") from error
    try:
        if config.certificate_file is not None:
            # an empty passphrase, because nobody is there to be asked for one
            context.load_cert_chain(config.certificate_file, config.key_file, password="")
    except OSError as error:
        files = f"mqtt.tls.certificate_file = {config.certificate_file}, key_file = {config.key_file}"
        raise Refused(
            f"{files}: {_in_words(error)}; expected a PEM certificate and its key without passphrase"
        ) from error
    return context


def _in_words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"holds no certificate that can be used ({error.reason or error})"
    return error.strerror or str(error)


def _secret(path: Path, key: str) -> str:
    """The first line of a file."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SECRET_BYTES + 1)
        if len(raw) > MAX_SECRET_BYTES:
            raise Refused(f"{key} = {path}: larger than {MAX_SECRET_BYTES} bytes")
        return raw.decode().split("\n")[0].rstrip("\r")
    except OSError as error:
        raise Refused(f"{key} = {path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{key} = {path}: not UTF-8 at byte {error.start}") from error
