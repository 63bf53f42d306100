"""Which bytes a request wants."""

import pytest

from daemon.web.ranges import Unsatisfiable, range_of

SIZE = 1000


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("", None),
        ("bytes=0-", (0, 1000)),
        ("bytes=0-0", (0, 1)),
        ("bytes=100-199", (100, 200)),
        ("bytes=900-2000", (900, 1000)),
        ("bytes=-100", (900, 1000)),
        ("bytes=-5000", (0, 1000)),
        # what a server may answer with the whole file
        ("bytes=-", None),
        ("bytes=200-100", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes=0-99999999999999999999", None),
    ],
)
def test_ranges(header: str | None, wanted: tuple[int, int] | None) -> None:
    assert range_of(header, SIZE) == wanted


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_outside_the_file(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        range_of(header, SIZE)


def test_an_empty_file_has_no_range() -> None:
    with pytest.raises(Unsatisfiable):
        range_of("bytes=0-", 0)
