"""When the certificates expire that the config names, and the broker's own."""

import socket
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.config.mqtt import MqttConfig
from daemon.config.node import Config
from daemon.core.document import Loaded
from daemon.core.errors import Refused
from daemon.core.files import read_bounded
from daemon.doctor.finding import Finding
from daemon.mqtt.broker.credentials import tls_context

if TYPE_CHECKING:
    from cryptography import x509

CHECK = "certificates"

WARN_DAYS = 30

# a bundle with all authorities of a system has some 200 kB
MAX_BYTES = 4 << 20

ANSWER_S = 3.0


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a certificate is valid, or a file of them; `where` names it, `remedy` says how to renew it."""

    where: str
    begins: datetime
    ends: datetime
    remedy: str


def certificate_findings(loaded: Loaded[Config], now: datetime) -> Iterator[Finding]:
    """Whether a certificate has expired, or does so within 30 days. Nothing where the config has no TLS."""
    config, where = loaded.document, loaded.where
    found: list[Validity] = []
    if (tls := config.mqtt.tls) is not None:
        if tls.ca_file is not None:
            remedy = "get the new certificate of the broker's authority, and put it beside the old one in this file"
            found += _of_file(where("mqtt", "tls", "ca_file"), Path(tls.ca_file), remedy, is_chain=False)
        if tls.certificate_file is not None:
            remedy = "have a new certificate signed for the node, and restart it"
            found += _of_file(where("mqtt", "tls", "certificate_file"), Path(tls.certificate_file), remedy)
        for host in config.mqtt.hosts:
            found += _of_broker(config.mqtt, host)
    if config.page is not None and config.page.certificate_file is not None:
        remedy = "renew it, and restart perceptd-page"
        found += _of_file(where("page", "certificate_file"), Path(config.page.certificate_file), remedy)
    findings = [finding for each in found if (finding := assess(each, now)) is not None]
    if found and not findings:
        soonest = min(each.ends for each in found)
        findings = [Finding(CHECK, "good", f"{len(found)} checked; the first expires on {soonest:%Y-%m-%d}")]
    yield from findings


def assess(validity: Validity, now: datetime) -> Finding | None:
    """Return what is wrong with a certificate at a time; None: nothing."""
    where, days = validity.where, (validity.ends - now).days
    if now < validity.begins:
        found = f"{where}: valid from {validity.begins:%Y-%m-%d} on, and this machine's clock says {now:%Y-%m-%d}"
        return Finding(CHECK, "failure", found, "set the clock, or wait until it is synchronised")
    if now >= validity.ends:
        return Finding(CHECK, "failure", f"{where}: expired on {validity.ends:%Y-%m-%d}", validity.remedy)
    if validity.ends - now <= timedelta(days=WARN_DAYS):
        when = f"expires on {validity.ends:%Y-%m-%d}, in {days} day{'' if days == 1 else 's'}"
        return Finding(CHECK, "warning", f"{where}: {when}", validity.remedy)
    return None


def validity_of(where: str, pem: bytes, remedy: str, *, is_chain: bool) -> Validity:
    """Return when the certificates of a file are valid. Raises ValueError where there are none.

    Of a chain each must be valid. Of authorities one is enough: the next one lies beside the one of before.
    """
    from cryptography import x509  # loaded only where there is a certificate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old authorities have serial numbers that the library calls wrong
        read = [_times(each) for each in x509.load_pem_x509_certificates(pem)]
    if is_chain:
        return Validity(where, max(begins for begins, _ in read), min(ends for _, ends in read), remedy)
    begins, ends = max(read, key=_end)
    return Validity(where, min(begins, *(first for first, _ in read)), ends, remedy)


def _of_file(where: str, path: Path, remedy: str, *, is_chain: bool = True) -> list[Validity]:
    try:
        return [validity_of(where, read_bounded(path, MAX_BYTES), remedy, is_chain=is_chain)]
    except (OSError, ValueError):  # the checks of the broker and of access say what is wrong with the file
        return []


def _of_broker(mqtt: MqttConfig, host: str) -> list[Validity]:
    """Return the certificate that a broker shows; nothing where it has none that can be verified."""
    if mqtt.tls is None:
        return []
    try:
        context = tls_context(mqtt.tls)
        with (
            socket.create_connection((host, mqtt.port), ANSWER_S) as connection,
            context.wrap_socket(connection, server_hostname=host) as secure,
        ):
            der = secure.getpeercert(binary_form=True)
    except (OSError, Refused):  # the check of the broker says why
        return []
    if der is None:
        return []
    from cryptography import x509

    begins, ends = _times(x509.load_der_x509_certificate(der))
    return [Validity(f"the MQTT broker {host}:{mqtt.port}", begins, ends, "renew the certificate of the broker")]


def _times(certificate: "x509.Certificate") -> tuple[datetime, datetime]:
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def _end(times: tuple[datetime, datetime]) -> datetime:
    return times[1]
