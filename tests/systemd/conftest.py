"""One guest system for all tests of the installed service."""

from collections.abc import Iterator

import pytest

from tests.helpers.nspawn import Guest, installed_guest


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A running guest with the service installed. The tests of its removal come last."""
    logs = tmp_path_factory.mktemp("guest")
    with installed_guest(logs / "guest.log") as running:
        yield running
