"""The schema of `page:` in config.yaml: from where the page may be used."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from daemon.core.document import StrictModel

Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=253)]], Field(max_length=64)]


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError("expected an address, or a network such as 172.30.32.0/23") from error
    return text


Networks = Annotated[list[Annotated[str, AfterValidator(_network)]], Field(max_length=64)]


class PageConfig(StrictModel):
    """From where the page may be used, beside this machine.

    `trusted_hosts` are the names and addresses by which browsers reach the page. `trusted_proxies` are the addresses
    or networks of proxies whose forwarded host, scheme and prefix count. `proxy_login` is the role of whom such a proxy
    has logged in, as it says by `X-Remote-User-Id`; None: the page asks for a login itself. With `certificate_file`
    the page serves HTTPS; its key is in `key_file`, or in the same file.
    """

    trusted_hosts: Names = []
    trusted_proxies: Networks = []
    proxy_login: Literal["owner", "viewer"] | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    @model_validator(mode="after")
    def _check_proxy(self) -> "PageConfig":
        if self.proxy_login is not None and not self.trusted_proxies:
            raise ValueError("proxy_login needs trusted_proxies")
        return self

    def with_absolute_paths(self, base: Path) -> "PageConfig":
        """Return the same with its files relative to `base`."""
        paths = {"certificate_file": self.certificate_file, "key_file": self.key_file}
        return self.model_copy(update={key: str(base / path) for key, path in paths.items() if path is not None})
