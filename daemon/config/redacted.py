"""The text of a config without its secrets, line by line as it stands in the file. Pure."""

import re

from daemon.core.scalars import Scalar, scalars
from daemon.core.text import redact

STARS = "***"

# Keys whose values are secrets, also where they are mistyped. The name of a file is none.
_SECRET_KEY = re.compile(r"pas|pw|secret|token|key|cred|auth|login|websocket_path", re.IGNORECASE)
_FILE_KEY = re.compile(r"_file$")
# a text that tells a secret, such as what is left of a line without its colon
_TELLS = re.compile(r"(?:pass|pwd|secret|token)\w*[\s:=]+\S", re.IGNORECASE)

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d{1,5})?")

# In a message: a value in quotes, which may have been cut off, and a URL without them.
_QUOTED = re.compile(r"""(['"])((?:(?!\1)[^\\]|\\.)*?)(\1|\.\.\.|$)""")
_BARE_URL = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]*://[^\s'"]+(?<![:;,.])""")

_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")
_COMMENTED_KEY = re.compile(r"#[\s#-]*[\"']?([\w-]{1,64})[\"']?\s*[:=]")
# what YAML reads as no value
_NULLS = ("", "~", "null", "Null", "NULL")
_KEY_OF_LINE = re.compile(r"(\s*(?:- +)*[\w ]{1,64}:)(?=\s)")


def redacted(text: str) -> str:
    """Return the text of a config with stars instead of passwords, and scheme and host alone of each URL.

    Every other character, comments included, stays in its line. Of a text that is no YAML only the keys stay.
    """
    found = scalars(text)
    if found is None:
        return "\n".join(map(_keys_only, text.split("\n")))
    shown, done = "", 0
    for scalar in found:
        shown += _without_secrets_in_comments(text[done : scalar.start])
        shown += _shown(scalar, text[scalar.start : scalar.end])
        done = scalar.end
    return shown + _without_secrets_in_comments(text[done:])


def _shown(scalar: Scalar, written: str) -> str:
    """Return a value as it is written, or what stands for it; both have the same number of lines."""
    if written in _NULLS:
        return written
    if any(_is_secret(key) for key in scalar.keys) or _TELLS.search(scalar.value):
        masked = STARS
    elif (scheme := _URL.search(scalar.value)) is not None:
        masked = _shown_url(scalar.value[scheme.start() :]) if scheme.start() == 0 else STARS
    elif redact(scalar.value) != scalar.value:
        masked = STARS
    else:
        return written
    return f"'{masked}'" + "\n" * written.count("\n")


def redacted_problem(text: str) -> str:
    """Return the message about a config without secrets of the values that it quotes. Of a URL the host stays."""
    return _BARE_URL.sub(_shown_bare_url, _QUOTED.sub(_shown_quote, redact(text)))


def _shown_quote(quote: "re.Match[str]") -> str:
    mark, value, end = quote.groups()
    url = _URL.search(value)
    if url is not None and url.start() == 0:
        return f"{mark}{_shown_url(value)}{mark}"
    return f"{mark}{STARS}{mark}" if url is not None or _TELLS.search(value) else f"{mark}{value}{end}"


def _shown_bare_url(url: "re.Match[str]") -> str:
    return _shown_url(url.group())


def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None and _FILE_KEY.search(key) is None


def _shown_url(url: str) -> str:
    """Return scheme and host. The path and the query of a camera's URL may hold a password, and so may its user.

    Where an @ in user, password or path makes it doubtful which part is the host, it is not shown.
    """
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#\s\\]", rest, maxsplit=1)[0]
    host = authority.rpartition("@")[2]
    is_plain = rest.count("@") == authority.count("@") <= 1
    if not is_plain or _HOST.fullmatch(host) is None:
        return f"{scheme}://{STARS}"
    return f"{scheme}://{host}" + ("" if rest in (host, f"{host}/") else f"/{STARS}")


def _without_secrets_in_comments(text: str) -> str:
    """Return what stands between two values: keys, and comments, of which those with secrets are cut off."""
    return "\n".join(_COMMENT.sub(_shown_comment, line) for line in text.split("\n"))


def _shown_comment(comment: "re.Match[str]") -> str:
    text = comment.group()
    key = _COMMENTED_KEY.match(text)
    if key is not None and _is_secret(key.group(1)):
        return f"{key.group()} {STARS}"
    url, told = _URL.search(text), _TELLS.search(text)
    ends = [each.end() for each in (url,) if each is not None] + [each.start() for each in (told,) if each is not None]
    if ends:
        return text[: min(ends)] + STARS
    return text if redact(text) == text else f"# {STARS}"


def _keys_only(line: str) -> str:
    """Return the key of a line, and stars instead of the rest of it."""
    if not line.strip():
        return line
    key = _KEY_OF_LINE.match(line + " ")
    return STARS if key is None else key.group(1) + ("" if line[key.end() :].strip() == "" else f" {STARS}")
