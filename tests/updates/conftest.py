from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.tufrepo import TufRepo
from tests.helpers.webserver import WebServer
from tests.updates.fetching import FILES, Device


@pytest.fixture
def repo(tmp_path: Path) -> TufRepo:
    """Has published digits@1.0.0."""
    made = TufRepo(tmp_path / "public")
    made.add("digits", "1.0.0", FILES)
    made.publish()
    return made


@pytest.fixture
def web(repo: TufRepo) -> Iterator[WebServer]:
    with WebServer(repo.directory).serving() as server:
        yield server


@pytest.fixture
def device(tmp_path: Path, repo: TufRepo, web: WebServer) -> Device:
    return Device(tmp_path / "device", web.url, repo.root)
