"""Where files end: a file that is cut off is told from one whose last picture lasts or whose length was guessed."""

import struct
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.streams import PictureConfig
from daemon.core.errors import InputError, RecordingError
from daemon.core.records import MODALITIES, Block, Captured, Counters, Frame
from daemon.core.timing import NS_PER_S
from daemon.sources.container import read_sound
from daemon.sources.files.integrity import CUT_OFF, SECOND, problem_at_end
from daemon.sources.files.packets import FilePackets
from daemon.sources.files.replay import Recording, ReplaySource
from daemon.sources.picture import PicturePreparation
from tests.helpers.clips import write_clip
from tests.shared import SHARED, needs_shared

RATE_HZ = 16_000
LENGTH_S = 4.0

# The options of FFmpeg's muxer, by kind of file.
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "index at the end": ("mp4", {}),
    "index at the front": ("mp4", {"movflags": "faststart"}),
    "QuickTime": ("mov", {}),
    "fragments": ("mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}),
    "Matroska": ("mkv", {}),
    "live Matroska": ("mkv", {"live": "1"}),
    "AVI": ("avi", {}),
    "FLV": ("flv", {}),
    "MPEG-TS": ("ts", {}),
    "Blu-ray": ("m2ts", {"mpegts_m2ts_mode": "1"}),
}
SOUNDS = {"FLAC": ("flac", "flac"), "MP3": ("mp3", "libmp3lame")}


def write(directory: Path, kind: str) -> Path:
    path = directory / f"{kind}.{(KINDS | SOUNDS)[kind][0]}"
    if kind in SOUNDS:
        return write_clip(path, picture=False, seconds=LENGTH_S, audio_codec=SOUNDS[kind][1], beeps_s=(1, 2, 3))
    return write_clip(path, seconds=LENGTH_S, fps=10, beeps_s=(1, 2, 3), options=KINDS[kind][1])


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("clips")
    return {kind: write(directory, kind).read_bytes() for kind in (*KINDS, *SOUNDS)}


def played(path: Path, *, picture: bool = True) -> list[Captured]:
    """Return what a file gives as fast as possible."""
    counters = {modality: Counters() for modality in MODALITIES}
    preparation = PicturePreparation(PictureConfig()) if picture else None
    items: list[Captured] = []
    source = ReplaySource(Recording(path, sample_rate_hz=RATE_HZ, picture=preparation), False, False, counters)
    source.run(items.append, threading.Event())
    return items


def sound_s(items: list[Captured]) -> float:
    return sum(isinstance(item, Block) for item in items) / 50


@pytest.mark.parametrize("kind", (*KINDS, *SOUNDS))
def test_a_whole_file_is_played_to_its_end(tmp_path: Path, clips: dict[str, bytes], kind: str) -> None:
    path = tmp_path / f"clip.{(KINDS | SOUNDS)[kind][0]}"
    path.write_bytes(clips[kind])
    items = played(path)
    assert sound_s(items) == pytest.approx(LENGTH_S, abs=0.1)
    assert sum(isinstance(item, Frame) for item in items) == (0 if kind in SOUNDS else 10 * LENGTH_S)


def tag_ends(flv: bytes) -> set[int]:
    """Return where the tags of an FLV file end, with the length that follows each."""
    ends = {13}
    while (end := max(ends)) < len(flv):
        ends.add(end + 11 + int.from_bytes(flv[end + 1 : end + 4], "big") + 4)
    return ends


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off_anywhere_is_told(tmp_path: Path, clips: dict[str, bytes], kind: str) -> None:
    """A format that consists of packets does not tell where it is cut between two of them."""
    whole = clips[kind]
    path = tmp_path / f"cut.{KINDS[kind][0]}"
    places = np.linspace(64, len(whole) - 1, 40).astype(int)
    untold = []
    for place in places:
        path.write_bytes(whole[:place])
        if problem_at_end(path) is None:
            untold.append(place)
    between = {
        "FLV": [place for place in places if place in tag_ends(whole)],
        "MPEG-TS": [place for place in places if place % 188 == 0 or place < 5 * 188],
        "Blu-ray": [place for place in places if place % 192 < 5 or place < 5 * 192],
    }
    assert untold == between.get(kind, [])
    path.write_bytes(whole[: places[25]])
    with pytest.raises(RecordingError, match=r"cut\.\w+: the file is cut off"):
        played(path)


@pytest.mark.parametrize("kind", SOUNDS)
def test_a_sound_file_that_is_cut_off_is_told_by_its_length(tmp_path: Path, clips: dict[str, bytes], kind: str) -> None:
    path = tmp_path / f"cut.{SOUNDS[kind][0]}"
    # FLAC keeps the first 8 KiB for its header
    path.write_bytes(clips[kind][: (len(clips[kind]) + (8192 if kind == "FLAC" else 0)) // 2])
    with pytest.raises(RecordingError, match=r"cut\.\w+: the file is cut off: it ends at [12]\.\d s of 4\.\d s"):
        played(path)
    with pytest.raises(InputError, match=r"cut\.\w+: (the file is cut off|not a sound that can be decoded)"):
        read_sound(path, RATE_HZ)


def test_a_cut_off_file_is_played_up_to_there(tmp_path: Path, clips: dict[str, bytes]) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(clips["index at the front"][: -len(clips["index at the front"]) // 4])
    counters = {modality: Counters() for modality in MODALITIES}
    items: list[Captured] = []
    source = ReplaySource(Recording(path, sample_rate_hz=RATE_HZ), False, False, counters)
    with pytest.raises(RecordingError, match="cut off"):
        source.run(items.append, threading.Event())
    assert sound_s(items) > 1


def test_the_sound_that_is_left_after_the_last_picture_of_a_cut_is_played(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", seconds=1.0, sound_seconds=4.0)
    path.write_bytes(path.read_bytes()[:-40])
    counters = {modality: Counters() for modality in MODALITIES}
    items: list[Captured] = []
    recording = Recording(path, sample_rate_hz=RATE_HZ, picture=PicturePreparation(PictureConfig()))
    with pytest.raises(RecordingError, match="cut off"):
        ReplaySource(recording, False, False, counters).run(items.append, threading.Event())
    assert sound_s(items) == pytest.approx(4, abs=0.1)


def test_something_that_was_appended_is_no_cut(tmp_path: Path, clips: dict[str, bytes]) -> None:
    for kind, (suffix, _) in KINDS.items():
        if kind == "live Matroska":  # it has no end
            continue
        for appended in (bytes(1000), b"\xff\xd8\xff" + bytes(range(256)) * 4):
            path = tmp_path / f"long.{suffix}"
            path.write_bytes(clips[kind] + appended)
            assert problem_at_end(path) is None, kind


@given(st.data())
def test_any_damage_is_judged_without_an_error(
    clips: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(clips[data.draw(st.sampled_from(list(KINDS)))])
    for place in data.draw(st.lists(st.integers(0, min(len(content), 600) - 1), max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert problem_at_end(path) in (None, CUT_OFF, SECOND)


def test_a_fragmented_file_that_is_still_written_is_played_up_to_its_last_fragment(
    tmp_path: Path, clips: dict[str, bytes]
) -> None:
    whole = clips["fragments"]
    path = tmp_path / "growing.mp4"
    path.write_bytes(whole[: whole.rindex(b"moof", 0, len(whole) * 3 // 4) - 4])
    assert 1 < sound_s(played(path)) < LENGTH_S


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000, 10_000_000])
@pytest.mark.parametrize("riff", [0, 0xFFFFFFFF, None])
def test_a_wav_with_a_bogus_length_is_played_to_its_end(tmp_path: Path, length: int, riff: int | None) -> None:
    path = write_clip(tmp_path / "clip.wav", picture=False, seconds=2.0, sound_hz=RATE_HZ, audio_codec="pcm_s16le")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, length)
    if riff is not None:
        struct.pack_into("<I", content, 4, riff)
    path.write_bytes(content)
    assert sound_s(played(path)) == pytest.approx(2, abs=0.03)
    assert len(read_sound(path, RATE_HZ)) == pytest.approx(2 * RATE_HZ, abs=10)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi", "flv"])
@pytest.mark.parametrize(("picture_s", "sound_length_s"), [(6.0, 1.0), (1.0, 6.0)])
def test_a_sense_that_ends_before_the_other_is_no_cut(
    tmp_path: Path, suffix: str, picture_s: float, sound_length_s: float
) -> None:
    path = write_clip(tmp_path / f"clip.{suffix}", seconds=picture_s, sound_seconds=sound_length_s, fps=5)
    items = played(path)
    assert sound_s(items) == pytest.approx(sound_length_s, abs=0.1)
    assert sum(isinstance(item, Frame) for item in items) == 5 * picture_s


def write_still_end(path: Path, *, pictures: int, still_s: Fraction) -> Path:
    """Write pictures at 25 a second, the last of which lasts."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt, video.options = 64, 48, "yuv420p", {"tune": "zerolatency"}
        packets = []
        for number in range(pictures):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 + number, np.uint8), format="bgr24")
            frame.pts = number
            packets += video.encode(frame)
        packets += video.encode()
        packets[-1].duration = int(still_s / packets[-1].time_base)
        container.mux(packets)
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_loop_waits_until_the_last_picture_has_lasted(tmp_path: Path, suffix: str) -> None:
    path = write_still_end(tmp_path / f"still.{suffix}", pictures=5, still_s=Fraction(3, 5))
    counters = {modality: Counters() for modality in MODALITIES}
    stop = threading.Event()
    stamps: list[int] = []

    def deliver(item: Captured) -> None:
        assert isinstance(item, Frame)
        stamps.append(item.captured_ns)
        if len(stamps) == 6:
            stop.set()

    recording = Recording(path, picture=PicturePreparation(PictureConfig()))
    ReplaySource(recording, True, True, counters).run(deliver, stop)
    assert np.diff(stamps) / NS_PER_S == pytest.approx([0.04] * 4 + [0.6], abs=0.002)


def test_a_last_picture_that_lasts_is_no_cut(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "avi"):
        path = write_still_end(tmp_path / f"still.{suffix}", pictures=5, still_s=Fraction(20))
        assert len(played(path)) == 5


@needs_shared
@pytest.mark.parametrize(("name", "length_s"), [("screenrec_still_end.mp4", 9), ("vbr_noxing.mp3", 24.12)])
def test_the_length_of_a_pass_is_neither_short_nor_guessed(name: str, length_s: float) -> None:
    file = FilePackets(SHARED / "faults" / name)
    assert file.length_ns == 0
    assert list(file)
    file.close()
    assert file.length_ns / NS_PER_S == pytest.approx(length_s, abs=0.05)


@needs_shared
def test_a_screen_recording_with_a_still_end_is_no_cut() -> None:
    assert len(played(SHARED / "faults" / "screenrec_still_end.mp4")) == 40


@needs_shared
def test_an_mp3_whose_length_is_guessed_is_no_cut() -> None:
    path = SHARED / "faults" / "vbr_noxing.mp3"
    assert sound_s(played(path)) == pytest.approx(24.1, abs=0.1)
    assert len(read_sound(path, RATE_HZ)) / RATE_HZ == pytest.approx(24.1, abs=0.1)


def test_a_packet_that_is_damaged_is_counted_and_the_rest_is_played(tmp_path: Path, clips: dict[str, bytes]) -> None:
    content = bytearray(clips["MP3"])
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    (tmp_path / "damaged.mp3").write_bytes(content)
    assert sound_s(played(tmp_path / "damaged.mp3")) > LENGTH_S - 0.8


def test_a_file_of_which_nothing_can_be_decoded_is_an_error(tmp_path: Path, clips: dict[str, bytes]) -> None:
    content = bytearray(clips["index at the end"])
    place = content.index(b"mdat") + 4
    end = content.index(b"moov")
    content[place:end] = bytes(end - place)
    (tmp_path / "zeros.mp4").write_bytes(content)
    with pytest.raises(RecordingError, match=r"zeros\.mp4: none of its \d+ packets of image can be decoded"):
        played(tmp_path / "zeros.mp4")
