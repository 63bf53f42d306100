"""HLS playlists: what is read, what is refused, and which variant is chosen."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.errors import SourceError
from daemon.core.timing import NS_PER_S
from daemon.sources.hls.playlist import (
    MediaPlaylist,
    Resource,
    Segment,
    Variant,
    choose_variant,
    parse_playlist,
    resolve,
)

URL = "http://camera:81/live/list.m3u8?token=a"


def media(*lines: str) -> MediaPlaylist:
    parsed = parse_playlist("\n".join(["#EXTM3U", *lines]), URL)
    assert isinstance(parsed, MediaPlaylist)
    return parsed


def variants(*lines: str) -> tuple[Variant, ...]:
    parsed = parse_playlist("\n".join(["#EXTM3U", *lines]), URL)
    assert isinstance(parsed, tuple)
    return parsed


def test_a_live_playlist() -> None:
    playlist = media(
        "#EXT-X-VERSION:7",
        "#EXT-X-TARGETDURATION:6",
        "#EXT-X-MEDIA-SEQUENCE:17",
        "#EXT-X-PART-INF:PART-TARGET=0.33",
        '#EXT-X-MAP:URI="init.mp4"',
        "# a comment",
        "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T01:00:01.5+01:00",
        "#EXTINF:5.96,a title, with a comma",
        "a.m4s",
        "",
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-GAP",
        "#EXTINF:6",
        "b.m4s",
        '#EXT-X-PART:DURATION=0.33,URI="part.m4s"',
        '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="next.m4s"',
    )
    header = Resource("init.mp4", URL)
    assert playlist.target_ns == 6 * NS_PER_S
    assert not playlist.has_ended
    assert playlist.segments == (
        Segment(17, Resource("a.m4s", URL), 5_960_000_000, header, dated_ns=1_500_000_000),
        Segment(18, Resource("b.m4s", URL), 6 * NS_PER_S, header, True, 7_460_000_000, True),
    )


def test_windows_line_ends_and_a_target_duration_that_is_too_short() -> None:
    parsed = parse_playlist(
        "\ufeff#EXTM3U\r\n#EXT-X-TARGETDURATION:1\r\n#EXTINF:4.5,\r\na.ts\r\n#EXT-X-ENDLIST\r\n", URL
    )
    assert isinstance(parsed, MediaPlaylist)
    assert parsed.target_ns == 4_500_000_000
    assert parsed.has_ended
    assert parsed.segments[0].resource.reference == "a.ts"


def test_byte_ranges_follow_each_other_in_one_file() -> None:
    playlist = media(
        *("#EXTINF:1,", "#EXT-X-BYTERANGE:100@50", "a.ts"),
        *("#EXTINF:1,", "#EXT-X-BYTERANGE:10", "a.ts"),
        *("#EXTINF:1,", "#EXT-X-BYTERANGE:7", "b.ts"),
        *("#EXTINF:1,", "b.ts"),
    )
    assert [one.resource.byte_range for one in playlist.segments] == [(50, 100), (150, 10), (0, 7), None]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2024-02-29T12:00:00Z", 1709208000.0),
        ("2024-02-29T12:00:00.250Z", 1709208000.25),
        ("2024-02-29T13:00:00.1234567+0100", 1709208000.1234567),
        ("2024-02-29T10:30:00-01:30", 1709208000.0),
        ("2024-02-29T12:00:00", 1709208000.0),
        ("2023-02-29T12:00:00Z", None),
        ("9999-99-99T99:99:99Z", None),
        ("yesterday", None),
    ],
)
def test_dates(value: str, seconds: float | None) -> None:
    dated_ns = media(f"#EXT-X-PROGRAM-DATE-TIME:{value}", "#EXTINF:1,", "a.ts").segments[0].dated_ns
    assert dated_ns == (None if seconds is None else pytest.approx(seconds * NS_PER_S, abs=100))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["#EXTINF:x,", "a.ts"], "wrong duration in #EXTINF: expected 0 to 600 seconds"),
        (["#EXTINF:nan,", "a.ts"], "wrong duration"),
        (["#EXTINF:-1,", "a.ts"], "wrong duration"),
        (["#EXTINF:1e9,", "a.ts"], "wrong duration"),
        (["#EXT-X-MEDIA-SEQUENCE:-1"], "wrong number in #EXT-X-MEDIA-SEQUENCE"),
        (["#EXT-X-MEDIA-SEQUENCE:" + "9" * 5000], "wrong number"),
        (["#EXTINF:1,", "#EXT-X-BYTERANGE:s3cret", "a.ts"], "wrong number in #EXT-X-BYTERANGE"),
        (["#EXT-X-KEY:METHOD=SAMPLE-AES", "#EXTINF:1,", "a.ts"], "its segments are encrypted"),
    ],
)
def test_what_is_wrong_is_named_without_the_content(lines: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        media(*lines)
    assert "s3cret" not in str(caught.value)


def test_a_key_that_ends_encryption() -> None:
    assert media("#EXT-X-KEY:METHOD=NONE", "#EXTINF:1,", "a.ts").segments


TAGS = [
    "#EXTINF:1,",
    "a",
    "#EXT-X-MAP:",
    "#EXT-X-STREAM-INF:A=,",
    "=",
    "#EXT-X-BYTERANGE:1@",
    "#EXT-X-MEDIA:TYPE=AUDIO",
]


@given(st.text(max_size=300) | st.lists(st.sampled_from(TAGS)).map("\n".join))
def test_no_text_ends_in_another_error(text: str) -> None:
    with contextlib.suppress(SourceError):
        parse_playlist("#EXTM3U\n" + text, URL)


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("a.ts", "http://camera:81/live/a.ts"),
        ("../b/a.ts?t=1", "http://camera:81/b/a.ts?t=1"),
        ("//camera:81/a.ts", "http://camera:81/a.ts"),
        ("http://camera:81/a.ts", "http://camera:81/a.ts"),
        ("http://camera/a.ts", "http://camera/a.ts"),
        ("https://camera:81/a.ts", "https://camera:81/a.ts"),
        ("http://cdn/a.ts", "http://cdn/a.ts"),
        ("http://own:login@camera:81/a.ts", "http://own:login@camera:81/a.ts"),
    ],
)
def test_references_are_relative_to_the_playlist(reference: str, url: str) -> None:
    assert resolve(URL, reference) == url


@pytest.mark.parametrize("reference", ["file:///etc/passwd", "ftp://host/a", "concat:a|b", "http://[::1/a"])
def test_other_urls_are_refused(reference: str) -> None:
    with pytest.raises(SourceError, match="the playlist names a"):
        resolve(URL, reference)


def stream(name: str, attributes: str) -> list[str]:
    return [f"#EXT-X-STREAM-INF:{attributes}", name]


def test_the_smallest_picture_with_enough_lines_is_chosen() -> None:
    listed = variants(
        *stream("sound", 'BANDWIDTH=64,CODECS="mp4a.40.2"'),
        *stream("1080", 'BANDWIDTH=5000,RESOLUTION=1920x1080,CODECS="avc1.64001f,mp4a.40.2"'),
        *stream("240", "BANDWIDTH=300,RESOLUTION=426x240"),
        *stream("720", "BANDWIDTH=3000,RESOLUTION=1280x720"),
        *stream("480b", "BANDWIDTH=1400,RESOLUTION=854x480"),
        *stream("480a", "BANDWIDTH=900,RESOLUTION=854x480"),
    )
    assert choose_variant(listed, True).resource.reference == "480a"
    assert choose_variant(listed, False).resource.reference == "sound"
    assert choose_variant(listed[:1] + listed[2:3], True).resource.reference == "240"


def test_without_sizes_the_first_picture_is_chosen() -> None:
    listed = variants(*stream("sound", 'CODECS="mp4a.40.5"'), *stream("a", "BANDWIDTH=9"), *stream("b", "BANDWIDTH=1"))
    assert choose_variant(listed, True).resource.reference == "a"


def test_sound_with_a_playlist_of_its_own_is_noticed() -> None:
    separate, joint = variants(
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="low",URI="sound.m3u8"',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="joint"',
        *stream("a", 'AUDIO="low"'),
        *stream("b", 'AUDIO="joint"'),
    )
    assert separate.has_separate_sound
    assert not joint.has_separate_sound
