"""The schema of `metrics:` in config.yaml: where a Prometheus server reads metrics."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from daemon.core.document import StrictModel


def _address(listen: str) -> str:
    host, separator, port = listen.rpartition(":")
    if not separator or not host or not port.isdecimal() or not 0 <= int(port) <= 65_535:
        raise ValueError("expected HOST:PORT, such as 127.0.0.1:9469 or [::1]:9469")
    return listen


class MetricsConfig(StrictModel):
    """Where metrics are served, and the file with the token that a reader must present; null: none."""

    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:9469"
    token_file: str | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port."""
        host, _, port = self.listen.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)

    def with_absolute_paths(self, base: Path) -> "MetricsConfig":
        """Return the same with its file relative to `base`."""
        return self if self.token_file is None else self.model_copy(update={"token_file": str(base / self.token_file)})
