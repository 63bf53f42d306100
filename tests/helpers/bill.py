"""Compares a bill of materials with the official schema of CycloneDX 1.6."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclonedx.validation.json import JsonStrictValidator


def assert_valid(content: bytes) -> None:
    """Fails with the first thing that the schema forbids."""
    problem = _validator().validate_str(content.decode())
    assert problem is None, problem


@cache
def _validator() -> "JsonStrictValidator":
    # loading takes a second, which most of the processes of a test run need not spend
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6)
