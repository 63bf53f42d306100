"""Names of taught labels: the group and the state that a name tells."""

import pytest

from daemon.bundle.taught import group_of, state_name


@pytest.mark.parametrize(
    ("label", "group", "state"),
    [
        ("garage: open", "garage", "open"),
        ("garage:  half open", "garage", "half open"),
        ("garage : open", "garage", "open"),
        ("a: b: c", "a", "b: c"),
        ("garage:open", None, "garage:open"),
        ("kettle boils", None, "kettle boils"),
        (": open", None, "open"),
    ],
)
def test_a_group_stands_before_a_colon_and_a_blank(label: str, group: str | None, state: str) -> None:
    assert (group_of(label), state_name(label)) == (group, state)
