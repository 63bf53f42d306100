"""The splitter that finds JPEG pictures in a stream of bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.sources.http.jpeg import START, JpegSplitter
from tests.helpers.jpegs import jpeg, jpeg_with_preview, part

PICTURES = [
    jpeg(90),
    jpeg(120, size=(320, 240)),
    jpeg(30, progressive=True),
    jpeg(200, restarts=2),
    jpeg_with_preview(60),
    b"\xff\xd8" + b"\xff\xff\xff" + jpeg(150)[2:-2] + b"\xff\xff\xff\xd9",  # fill bytes before markers
]
HEADS = st.sampled_from(
    [
        b"",
        b"\r\n",
        b"--b\r\nContent-Type: image/jpeg\r\n\r\n",
        b"\r\n----b--\r\nContent-Length: 9999999\r\n\r\n",
        b"--b\n\n",
    ]
)
# garbage that cannot be taken for the beginning of a picture, nor make one of the bytes after it
GARBAGE = st.binary(max_size=300).map(lambda data: data.replace(b"\xff", b"\xfe"))


def split(data: bytes, sizes: list[int]) -> tuple[list[bytes], int]:
    """Return the pictures, and how many were corrupt, with the data fed in chunks of these sizes in turn."""
    splitter, pictures, at, turn = JpegSplitter(), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pictures += splitter.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    splitter.end()
    return pictures, splitter.corrupt


SIZES = st.lists(st.integers(1, 5000), min_size=1, max_size=6)


@given(st.lists(st.tuples(HEADS, GARBAGE, st.sampled_from(PICTURES)), max_size=6), SIZES)
def test_every_picture_is_found_however_the_bytes_arrive_and_whatever_is_between(
    parts: list[tuple[bytes, bytes, bytes]], sizes: list[int]
) -> None:
    stream = b"".join(garbage + head + picture for head, garbage, picture in parts)
    assert split(stream, sizes) == ([picture for _, _, picture in parts], 0)


@given(st.sampled_from(PICTURES), st.floats(0, 1), SIZES)
def test_a_picture_that_is_cut_off_is_never_returned_and_the_next_one_is(
    picture: bytes, share: float, sizes: list[int]
) -> None:
    cut = picture[: 3 + int(share * (len(picture) - 4))]
    pictures, corrupt = split(part(jpeg(10)) + part(cut) + part(jpeg(11)) + part(jpeg(12)), sizes)
    assert pictures == [jpeg(10), jpeg(11), jpeg(12)]
    assert corrupt >= 1


@pytest.mark.parametrize("number", [number for number, each in enumerate(PICTURES) if len(each) < 5000])
def test_wherever_a_picture_is_cut_off_small_pictures_after_it_are_found(number: int) -> None:
    picture = PICTURES[number]
    # the length of a segment that is cut off is read from the boundary: 0d0a, larger than all that follows
    before, after = jpeg(10, size=(8, 8)), jpeg(11, size=(8, 8))
    for end in range(len(START), len(picture) - 1):
        pictures, corrupt = split(part(before) + part(picture[:end]) + part(after), [1460])
        assert (pictures, corrupt) == ([before, after], 1), end


@given(st.binary(max_size=2000), st.lists(st.sampled_from([START, *PICTURES, b"\xff\xe1", b"\xff\xda"])), SIZES)
def test_arbitrary_bytes_end_in_no_error_and_only_in_what_looks_like_a_picture(
    garbage: bytes, pieces: list[bytes], sizes: list[int]
) -> None:
    for picture in split(garbage.join(pieces), sizes)[0]:
        assert picture.startswith(START)
        assert picture.endswith(b"\xff\xd9")


@given(st.binary(max_size=2000))
def test_after_any_garbage_the_splitter_finds_pictures_again(garbage: bytes) -> None:
    # a segment that garbage announces reaches 64 KiB at most
    parts = part(jpeg(1, size=(320, 240))) * 8
    pictures, _ = split(garbage + parts + part(jpeg(2)), [4096])
    assert pictures[-1] == jpeg(2)


@pytest.mark.parametrize(
    "endless",
    [
        b"no picture " * 1000,
        START + b"\xe0\x00\x04ab" * 1000,
        jpeg(3)[:-2] + bytes(10_000),
        START * 3000,
        b"\xff" * 10_000,
    ],
)
def test_endless_data_without_the_end_of_a_picture_take_bounded_memory(endless: bytes) -> None:
    splitter = JpegSplitter(max_bytes=100_000)
    for _ in range(100):
        assert not splitter.feed(endless)
        assert splitter.buffered_bytes <= 100_000
    assert splitter.feed(part(jpeg(4)) * 30 + part(jpeg(5)))[-1] == jpeg(5)


def test_pictures_of_the_largest_size_pass_and_larger_ones_are_corrupt() -> None:
    picture = jpeg(77, size=(320, 240))
    for max_bytes, found in ((len(picture), [picture]), (len(picture) - 2, [])):
        splitter = JpegSplitter(max_bytes)
        assert splitter.feed(picture[:-1]) == []
        assert splitter.feed(picture[-1:]) == found
        assert splitter.corrupt == (not found)


def test_tables_without_a_picture_are_corrupt() -> None:
    picture = jpeg(8)
    tables = picture[: picture.index(b"\xff\xda")] + b"\xff\xd9"
    assert split(tables + picture, [100]) == ([picture], 1)
