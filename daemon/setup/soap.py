"""SOAP messages of ONVIF and WS-Discovery: makes them, and reads those of hosts that are not trusted. Pure."""

import base64
import hashlib
import html
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from daemon.core.errors import InputError
from daemon.core.text import clean

# the streams of a recorder with 32 cameras take 300 kB
MAX_BYTES = 1_048_576

# of one text in an answer
MAX_CHARS = 4096

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WS_SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"

# Subcodes of faults (ONVIF core specification, WS-Security 1.0) with which cameras refuse a request without a login,
# or with a wrong one.
REFUSALS = ("notauthorized", "failedauthentication", "failedcheck", "invalidsecurity", "unauthorized")


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer that says why the request was not done. `wants_login`: another login may help."""

    reason: str
    wants_login: bool


def parse(data: bytes) -> Element:
    """Return the root element of an XML document.

    Raises InputError when the document is too large, has a DTD, or is no XML.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"an answer has more than {MAX_BYTES} bytes")
    # cameras write names in any encoding; what is no UTF-8 is only a name
    text = data.decode("utf-8-sig", "replace").strip()
    # a DTD may define entities that take all memory; SOAP forbids it
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError("an answer has a DTD, which SOAP forbids")
    try:
        return ElementTree.fromstring(text)  # noqa: S314  (has no DTD)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"an answer is no XML: {clean(str(error))}") from error


def elements(root: Element, name: str) -> Iterator[Element]:
    """Yield the elements with this name below `root`, in any namespace: cameras declare different ones."""
    return (each for each in root.iter() if _local(each) == name)


def first(root: Element | None, *path: str) -> Element | None:
    """Return the first element with the first name, within it the first with the next name, and so on."""
    for name in path:
        root = None if root is None else next(elements(root, name), None)
    return root


def first_of(root: Element, *names: str) -> Element | None:
    """Return the first element that has one of the names, in the order of the names."""
    return next((each for name in names for each in elements(root, name)), None)


def text_of(root: Element | None, *path: str) -> str:
    """Return the text of the element that `first` finds, for people to read; empty without it."""
    found = first(root, *path)
    return "" if found is None or found.text is None else clean(" ".join(found.text.split()), MAX_CHARS)


def number_of(root: Element | None, *path: str) -> float | None:
    """Return the number in the element that `first` finds; None without a number of at most seven digits."""
    whole, _, fraction = text_of(root, *path).partition(".")
    is_number = whole.isascii() and whole.isdecimal() and len(whole) <= 7
    return float(f"{whole}.{fraction}" if fraction.isascii() and fraction.isdecimal() else whole) if is_number else None


def fault_of(root: Element) -> Fault | None:
    """Return the fault in an answer of SOAP 1.2 or 1.1; None: the answer is none."""
    fault = first(root, "Body", "Fault")
    if fault is None:
        return None
    codes = " ".join(filter(None, (each.text for name in ("Value", "faultcode") for each in elements(fault, name))))
    reason = text_of(fault, "Reason", "Text") or text_of(fault, "faultstring") or clean(codes) or "no reason"
    said = f"{codes} {reason}".lower().replace(" ", "")
    return Fault(reason[:200], any(word in said for word in REFUSALS))


def envelope(body: str, header: str = "", namespaces: str = "") -> bytes:
    """Return a message of SOAP 1.2. All three arguments are XML."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="{SOAP}"{namespaces}>'
        f"<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def username_token(user: str, password: str, created: datetime, nonce: bytes) -> str:
    """Return the header with a login whose password is digested (Web Services Security UsernameToken Profile 1.0).

    `created` is UTC. A camera refuses a time that is not its own by a few seconds.
    """
    stamp = created.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    digest = hashlib.sha1(nonce + stamp.encode() + password.encode(), usedforsecurity=False).digest()
    return (
        f'<wsse:Security xmlns:wsse="{WS_SECURITY}-wssecurity-secext-1.0.xsd" '
        f'xmlns:wsu="{WS_SECURITY}-wssecurity-utility-1.0.xsd"><wsse:UsernameToken>'
        f"<wsse:Username>{html.escape(user)}</wsse:Username>"
        f'<wsse:Password Type="{WS_SECURITY}-username-token-profile-1.0#PasswordDigest">{_base64(digest)}'
        f'</wsse:Password><wsse:Nonce EncodingType="{WS_SECURITY}-soap-message-security-1.0#Base64Binary">'
        f"{_base64(nonce)}</wsse:Nonce><wsu:Created>{stamp}</wsu:Created></wsse:UsernameToken></wsse:Security>"
    )


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
