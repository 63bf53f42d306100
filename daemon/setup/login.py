"""User and password in the URL of a camera. Pure."""

from urllib.parse import quote, urlsplit

from daemon.config.streams import is_url


def with_login(url: str, user: str, password: str) -> str:
    """Return a URL without a login with this one, in which characters that mean something in a URL are escaped."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def has_login(device: int | str | None) -> bool:
    """Return whether a camera is a URL with a user."""
    return isinstance(device, str) and is_url(device) and "@" in urlsplit(device).netloc


def may_have_login(device: int | str | None) -> bool:
    """Return whether a camera is a URL, which may need a user, and has none yet."""
    return isinstance(device, str) and is_url(device) and not has_login(device)
