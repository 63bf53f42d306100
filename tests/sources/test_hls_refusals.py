"""What an HLS camera refuses, and what its messages say."""

import pytest

from tests.helpers.hls import HlsServer, content
from tests.sources.hls_player import HEAD, failing


def test_errors_name_neither_password_nor_path() -> None:
    with HlsServer(content(), login=("viewer", "right")).serving() as server:
        refused = failing(f"http://viewer:s3cret@127.0.0.1:{server.port}/live.m3u8?pwd=s3cret")
    absent = failing("http://viewer:s3cret@127.0.0.1:1/s3cret.m3u8")
    assert refused.endswith(": refused the login: check user and password in camera.device")
    assert "Connection refused" in absent
    assert "s3cret" not in refused + absent


BAD = {
    "html": ("<html>", "is not a playlist"),
    "file": (f"{HEAD}#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "names a URL of file, expected http or https"),
    "file-map": (
        f'{HEAD}#EXT-X-MAP:URI="file:///etc/passwd"\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n',
        "names a URL of file",
    ),
    "encrypted": (f'{HEAD}#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXTINF:1,\na.ts\n', "its segments are encrypted"),
    "many": (HEAD + "#EXTINF:1,\na\n" * 20_001, "more than 20000 segments"),
    "nested": ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nbad.m3u8\n", "name playlists of playlists"),
    "missing": (f"{HEAD}#EXTINF:1,\nnone.ts\n#EXT-X-ENDLIST\n", "what the playlist names cannot be fetched"),
    "subtitles": (f"{HEAD}#EXTINF:1,\ntext.ts\n#EXT-X-ENDLIST\n", "neither MPEG-TS nor fragmented MP4"),
    "broken": (f"{HEAD}#EXTINF:1,\nbroken.ts\n#EXT-X-ENDLIST\n", "neither a picture nor sound that can be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_playlist_is_refused_in_words(name: str) -> None:
    playlist, message = BAD[name]
    files: dict[str, str | bytes] = {"bad.m3u8": playlist, "text.ts": b"WEBVTT\n" * 99, "broken.ts": b"\x47" * 1880}
    with HlsServer(content(), files=files).serving() as server:
        assert message in failing(f"{server.url}/bad.m3u8")


def test_what_never_ends_is_cut_off() -> None:
    with HlsServer(content()).serving() as server:
        server.redirects = {"/endless.m3u8": "/endless"}
        assert "more than the allowed 1048576 bytes" in failing(f"{server.url}/endless.m3u8")
        server.files["list.m3u8"] = f"{HEAD}#EXTINF:1,\nendless\n#EXT-X-ENDLIST\n"
        assert "more than the allowed 33554432 bytes" in failing(f"{server.url}/list.m3u8")
