"""A certificate authority for tests, and certificates signed by it, made by openssl."""

import ssl
import subprocess
from pathlib import Path

DAYS = "2"


class Authority:
    """Keys and certificates as PEM files in a directory."""

    def __init__(self, directory: Path, name: str = "authority", days: str = DAYS) -> None:
        self._directory = directory
        self.ca_file, self._key = directory / f"{name}.pem", directory / f"{name}.key"
        _openssl(
            *("req", "-x509", "-newkey", "ed25519", "-noenc", "-days", days, "-subj", f"/CN={name}"),
            *("-keyout", self._key, "-out", self.ca_file),
        )

    def issue(self, name: str, address: str = "127.0.0.1") -> tuple[Path, Path]:
        """Make a certificate for an address or a host name; return its file and that of its key."""
        certificate, key, request = (self._directory / f"{name}.{ending}" for ending in ("pem", "key", "csr"))
        extension = self._directory / f"{name}.ext"
        kind = "IP" if address[:1].isdigit() else "DNS"
        extension.write_text(f"subjectAltName={kind}:{address}\n")
        _openssl("req", "-newkey", "ed25519", "-noenc", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", self._key, "-CAcreateserial"),
            *("-days", DAYS, "-extfile", extension, "-out", certificate),
        )
        return certificate, key


def self_signed(directory: Path, name: str = "camera") -> tuple[Path, Path]:
    """Make a certificate that names no address and that nobody has signed; return its file and that of its key."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", DAYS, "-subj", f"/CN={name}"),
        *("-keyout", key, "-out", certificate),
    )
    return certificate, key


def self_signed_context(directory: Path, *key: str) -> ssl.SSLContext:
    """Return the TLS context of a server that made its own certificate, with a key of this kind."""
    names = ("-keyout", directory / "key", "-out", directory / "crt")
    _openssl("req", "-x509", "-newkey", *key, "-noenc", "-days", DAYS, "-subj", "/CN=camera", *names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(directory / "crt", directory / "key")
    return context


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
