"""The schema of `page:` in config.yaml: from where the page may be used."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from daemon.core.document import StrictModel

Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=253)]], Field(max_length=64)]


class PageConfig(StrictModel):
    """From where the page may be used, beside this machine.

    `trusted_hosts` are the names and addresses by which browsers reach the page. `trusted_proxies` are the addresses
    of proxies whose forwarded host, scheme and prefix count. With `certificate_file` the page serves HTTPS; its key is
    in `key_file`, or in the same file.
    """

    trusted_hosts: Names = []
    trusted_proxies: Names = []
    certificate_file: str | None = None
    key_file: str | None = None

    def with_absolute_paths(self, base: Path) -> "PageConfig":
        """Return the same with its files relative to `base`."""
        paths = {"certificate_file": self.certificate_file, "key_file": self.key_file}
        return self.model_copy(update={key: str(base / path) for key, path in paths.items() if path is not None})
