"""How to reach the broker and which identity to show it: address, TLS and login."""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from daemon.config.mqtt import MqttConfig, TlsConfig
from daemon.core.errors import Refused
from daemon.core.files import open_regular
from daemon.core.secret_files import read_secret, warn_if_public
from daemon.mqtt.send_queue import Outbound

# Names in systemd's credentials directory, as `LoadCredential=mqtt-password:/etc/...` makes them (systemd.exec(5)).
CREDENTIALS = {"username": "mqtt-username", "password": "mqtt-password"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker and the identity of one client there. `will` is the message that the broker publishes at a loss."""

    config: MqttConfig
    client_id: str
    login: tuple[str | None, str | None] = field(repr=False)
    tls: ssl.SSLContext | None
    will: Outbound | None


def endpoint_of(config: MqttConfig, client_id: str, will: Outbound | None = None) -> Endpoint:
    """Return the endpoint that the config describes; reads the files that the config names.

    Raises Refused when the password or a certificate cannot be read.
    """
    tls = None if config.tls is None else tls_context(config.tls)
    return Endpoint(config, client_id, login(config), tls, will)


def login(config: MqttConfig, environment: Mapping[str, str] = os.environ) -> tuple[str | None, str | None]:
    """Return user name and password; each is None where none is configured.

    The config comes first, then its password_file, then systemd's credentials directory.
    Raises Refused when a file with a secret cannot be read.
    """
    username, password = config.username, config.password.get_secret_value() if config.password else None
    if password is None and config.password_file is not None:
        password = read_secret(Path(config.password_file), "mqtt.password_file")
    directory = environment.get("CREDENTIALS_DIRECTORY")
    if directory is not None:
        files = {key: Path(directory) / name for key, name in CREDENTIALS.items()}
        if username is None and files["username"].is_file():
            username = read_secret(files["username"], "credential")
        if password is None and files["password"].is_file():
            password = read_secret(files["password"], "credential")
    return username, password


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """Return the context that verifies the broker and shows the client certificate, if one is configured.

    Raises Refused when a certificate file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the broker's certificate and name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if config.ca_file is None:
            context.load_default_certs()
        else:
            open_regular(Path(config.ca_file)).close()  # OpenSSL would wait for a FIFO
            context.load_verify_locations(config.ca_file)
    except OSError as error:
        raise Refused(f"mqtt.tls.ca_file = {config.ca_file}: {_file_fault(error)}") from error
    try:
        if config.certificate_file is not None:
            for file in filter(None, (config.certificate_file, config.key_file)):
                open_regular(Path(file)).close()
            # without a passphrase OpenSSL would ask for one at a terminal; an empty one makes it fail instead
            context.load_cert_chain(config.certificate_file, config.key_file, password="")
            warn_if_public(Path(config.key_file or config.certificate_file), "mqtt.tls.key_file")
    except OSError as error:
        files = f"mqtt.tls.certificate_file = {config.certificate_file}, key_file = {config.key_file}"
        expected = "expected a PEM certificate and its key without passphrase"
        raise Refused(f"{files}: {_file_fault(error)}; {expected}") from error
    return context


def _file_fault(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"contains no usable certificate ({error.reason or error})"
    return error.strerror or str(error)
