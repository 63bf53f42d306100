"""Makes text from outside safe to show: credentials removed, control characters replaced, length bounded."""

import re

MAX_SHOWN = 80

# what ends a host in a URL or in the sentence around it
_AFTER_HOST = r"""(?=[/?#\s]|[:;,.)>'"]*(?:\s|$))"""

# A host that no password looks like: an IPv6 address in brackets, an IPv4 address, a name with a dot. A version such
# as 0.5.0 is none.
_HOST = re.compile(
    r"(?:\[[0-9A-Fa-f:.%\w]*\]|localhost|\d{1,3}(?:\.\d{1,3}){3}|[\w-]+(?:\.[\w-]+)*\.[A-Za-z][\w-]*)(?::\d{1,5})?"
    + _AFTER_HOST
)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,19}://")
# texts from outside may be long, so each look ahead is bounded
_MAX_USER_INFO = 1000
_TOKEN = re.compile(rf"\S{{0,{_MAX_USER_INFO}}}")
_AUTHORITY = re.compile(rf"[^\s/?#]{{0,{_MAX_USER_INFO}}}")

# a user, and the start of a password
_USER_AND_PASSWORD = re.compile(r"[^\s/?#:@\[\]'\"]+:(?=\S)")
_HOST_AND_PORT = re.compile(r"[^\s/?#:@\[\]'\"]+:\d{1,5}" + _AFTER_HOST)

# cameras take a login in the query or in the path too, as in user=admin&password=secret or user=admin_password=secret_
_SECRET_VALUE = re.compile(
    r"""(?<![A-Za-z0-9])((?:password|passwd|passphrase|pwd|token|access_token|auth_token|api_?key|secret)=)"""
    r"""(?:(?!_\w{1,20}=)[^&;,\s'"<>)])+""",
    re.IGNORECASE,
)
_HEADER = re.compile(r"\b((?:proxy-)?authorization: *(?:basic|bearer|digest) +)[^\r\n]+", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer +)[\w.~+/=-]{16,}", re.IGNORECASE)


def redact(text: str) -> str:
    """Return the text with stars instead of credentials. Other text is unchanged.

    Credentials are user and password of a URL, the values of parameters such as `password=` and `token=`, and the
    header Authorization. A password in a URL is recognised although it contains slashes and @, or blanks.
    """
    return "\n".join(map(_redact_line, text.split("\n")))


def redact_url(url: str) -> str:
    """Return a URL that may be invalid, with stars for all that may be a user or a password."""
    scheme, separator, rest = url.partition("://")
    return redact(f"{scheme}{separator}***@{rest.rpartition('@')[2]}" if "@" in rest else url)


def clean(text: str, longest: int = MAX_SHOWN) -> str:
    """Return at most `longest` characters; control characters, line ends and direction marks are replaced."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:longest])
    return shown + ("…" if len(text) > longest else "")


def harmless(text: str) -> str:
    """Return all of a text for a terminal; control characters but for line ends, and direction marks, are replaced."""
    return "\n".join(clean(line, len(line)) for line in text.split("\n"))


def _redact_line(line: str) -> str:
    shown, done = "", 0
    while (scheme := _SCHEME.search(line, done)) is not None:
        end = _user_info_end(line, scheme.end())
        shown += line[done : scheme.end()] + ("***@" if end > scheme.end() else "")
        done = end
    shown += line[done:]
    for pattern in (_HEADER, _BEARER, _SECRET_VALUE):
        shown = pattern.sub(r"\1***", shown)
    return shown


def _user_info_end(line: str, start: int) -> int:
    """Return where user, password and @ of the URL end whose part after :// begins at `start`; `start`: it has none."""
    if _HOST.match(line, start) or _HOST_AND_PORT.match(line, start):
        return start
    authority, token = (pattern.match(line, start) for pattern in (_AUTHORITY, _TOKEN))
    has_user = authority is not None and "@" in authority.group()
    if not has_user and _USER_AND_PASSWORD.match(line, start) is None:
        return start
    # a password with a blank goes on in the next word
    end = token.end() if token is not None and "@" in token.group() else min(len(line), start + _MAX_USER_INFO)
    after = [index + 1 for index in range(start, end) if line[index] == "@"]
    return next((index for index in after if _HOST.match(line, index)), after[-1] if after else start)


def hours_text(hours: float) -> str:
    """Return a time with two digits that count, such as `5 min` or `2.3 h`."""
    if hours < 1:
        return f"{max(1, round(60 * hours))} min"
    return f"{hours:.2g} h" if hours < 100 else f"{hours:.0f} h"
