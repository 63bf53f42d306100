"""Fixtures: a repository with one published bundle, and a device that has fetched it."""

from pathlib import Path

import pytest

from tests.helpers.bundle_builder import write_bundle
from tests.helpers.publishing import Repository
from tests.publisher.device import Device


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository").init()
    repository.add(write_bundle(tmp_path / "bundle"))
    repository.publish()
    return repository


@pytest.fixture
def device(tmp_path: Path, repository: Repository) -> Device:
    """A device with the first root and a cache of the published metadata."""
    device = Device(tmp_path / "device", repository.root, repository.public)
    assert device.bundles() == {"brightness@1.2.3"}
    return device
