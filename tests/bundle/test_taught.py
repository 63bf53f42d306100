"""Names of taught labels have one spelling, and a manifest cannot say something else about them."""

import re

import pytest
from pydantic import ValidationError

from daemon.bundle.taught import Taught, group_of, taught_name
from tests.helpers.taught import THRESHOLD

FILES = {"model": "taught.tflite", "cases": "taught.npz"}


@pytest.mark.parametrize(
    ("typed", "name", "group"),
    [
        ("  kettle   boils ", "kettle boils", None),
        ("cafe\u0301", "caf\u00e9", None),
        ("\N{HOT BEVERAGE}", "\N{HOT BEVERAGE}", None),
        ("garage :  half  open", "garage: half open", "garage"),
        ("garage:open", "garage:open", None),
        ("a: b: c", "a: b: c", "a"),
        ("x" * 64, "x" * 64, None),
    ],
)
def test_names_that_look_alike_are_one_name(typed: str, name: str, group: str | None) -> None:
    assert (taught_name(typed), group_of(name)) == (name, group)
    assert taught_name(name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "1 to 64 characters"),
        ("x" * 65, "1 to 64 characters"),
        ("x" * 10_000, "1 to 64 characters"),
        *((f"a{char}b", "printable text without / + #") for char in "/+#\n\t\0\x1b\u202e\u200d\u2028\ud800"),
        ("garage: ", "expected a group and a state"),
        (" : open", "expected a group and a state"),
        ("garage: Unknown", "unknown is the state of a group when no state is sure"),
    ],
)
def test_what_is_no_name_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        taught_name(name)


@pytest.mark.parametrize(
    ("name", "label", "reason"),
    [
        ("garage: open", {}, "expected garage"),
        ("garage: open", {"state_of": "shed"}, "expected garage"),
        ("kettle", {"state_of": "garage"}, "expected null"),
        ("garage:  open", {"state_of": "garage"}, "expected 'garage: open'"),
        ("garage: unknown", {"state_of": "garage"}, "when no state is sure"),
        ("a\nb", {}, "printable text"),
        ("kettle", {"streams": {"a\nb": THRESHOLD.model_dump()}}, "printable text"),
    ],
)
def test_a_manifest_cannot_lie_about_a_label(name: str, label: dict, reason: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(reason)):
        Taught.model_validate(FILES | {"labels": {name: {"everywhere": THRESHOLD.model_dump()} | label}})
