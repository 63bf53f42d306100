"""Compares a bill of materials with the official schema of CycloneDX 1.6."""

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

_VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def assert_valid(content: bytes) -> None:
    """Fails with the first thing that the schema forbids."""
    problem = _VALIDATOR.validate_str(content.decode())
    assert problem is None, problem
