"""Files that were joined of others, as `cat` joins them: nothing is lost, and picture and sound stay in step."""

import threading
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from daemon.config.streams import PictureConfig
from daemon.core.errors import RecordingError
from daemon.core.records import MODALITIES, Block, Captured, Counters, Frame, ended_ns
from daemon.core.timing import NS_PER_S
from daemon.sources.container import read_sound
from daemon.sources.files.replay import Recording, ReplaySource
from daemon.sources.picture import PicturePreparation
from tests.helpers.clips import write_clip, write_joined, write_shifted

RATE_HZ = 16_000
FPS = 25

# The length of the clips. Each has a flash and a beep at the same times.
LENGTHS_S = {"first": 2.4, "second": 3.2}
MARKS_S = {"first": (0.8, 1.6), "second": (0.6, 2.4)}

# A presentation time of MPEG-TS has 33 bits, at 90 kHz.
WRAP_S = 2**33 / 90_000


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("clips")
    for name, length_s in LENGTHS_S.items():
        marks_s = MARKS_S[name]
        write_clip(directory / f"{name}.ts", seconds=length_s, flashes_s=marks_s, beeps_s=marks_s, fps=FPS)
    return directory


def played(path: Path, *, picture: bool = True, sound: bool = True) -> tuple[list[Captured], dict[str, dict[str, int]]]:
    """Return what a file gives as fast as possible, with stamps since its first item, and what was dropped."""
    counters = {modality: Counters() for modality in MODALITIES}
    preparation = PicturePreparation(PictureConfig()) if picture else None
    recording = Recording(path, sample_rate_hz=RATE_HZ if sound else None, picture=preparation)
    items: list[Captured] = []
    ReplaySource(recording, False, False, counters).run(items.append, threading.Event())
    return items, {modality: counter.dropped for modality, counter in counters.items() if counter.dropped}


def flashes_s(items: Sequence[Captured]) -> np.ndarray:
    return np.array([f.captured_ns for f in items if isinstance(f, Frame) and f.planes[0].mean() > 150]) / NS_PER_S


def beeps_s(items: Sequence[Captured]) -> np.ndarray:
    """Return the time of the first loud sample of each beep."""
    found: list[float] = []
    for block in items:
        loud = np.flatnonzero(np.abs(block.samples) > 0.15) if isinstance(block, Block) else ()
        if len(loud) and (not found or block.start_ns / NS_PER_S - found[-1] > 0.2):
            found.append(block.start_ns / NS_PER_S + loud[0] / RATE_HZ)
    return np.array(found)


@pytest.mark.parametrize(
    "parts",
    [
        [("first", 0), ("second", 0)],
        [("first", 0), ("second", 0), ("first", 0)],
        # the second part begins much later, or so much earlier that FFmpeg takes the step for a wrap
        [("first", 0), ("second", 5000)],
        [("first", 1000), ("second", 0)],
        [("first", 1000), ("second", 0), ("first", 1000)],
        # a wrap within a part is none
        [("second", WRAP_S - 1), ("first", 0)],
    ],
    ids=str,
)
def test_all_parts_are_played_in_step(clips: Path, tmp_path: Path, parts: list[tuple[str, float]]) -> None:
    paths = [
        write_shifted(tmp_path / f"{number}.ts", clips / f"{name}.ts", by_s) if by_s else clips / f"{name}.ts"
        for number, (name, by_s) in enumerate(parts)
    ]
    items, dropped = played(write_joined(tmp_path / "joined.ts", paths))
    assert dropped == {}
    assert sum(isinstance(item, Frame) for item in items) == sum(round(LENGTHS_S[name] * FPS) for name, _ in parts)
    ends = [ended_ns(item) for item in items]
    assert ends == sorted(ends)
    length_s = sum(LENGTHS_S[name] for name, _ in parts)
    assert (ends[-1] - ends[0]) / NS_PER_S == pytest.approx(length_s, abs=0.15 * len(parts))
    flashes, beeps = flashes_s(items), beeps_s(items)
    assert len(flashes) == 2 * len(parts)
    assert flashes == pytest.approx(beeps, abs=0.005)
    for number, (name, _) in enumerate(parts):
        first_s, second_s = MARKS_S[name]
        assert flashes[2 * number + 1] - flashes[2 * number] == pytest.approx(second_s - first_s, abs=0.001)
    blocks = [item for item in items if isinstance(item, Block)]
    assert sum(block.gap for block in blocks) == len(parts)
    assert len(blocks) / 50 == pytest.approx(length_s, abs=0.1 * len(parts))


def test_one_sense_has_the_same_times_as_both(clips: Path, tmp_path: Path) -> None:
    joined = write_joined(tmp_path / "joined.ts", [clips / "first.ts", clips / "second.ts"])
    both, _ = played(joined)
    pictures, _ = played(joined, sound=False)
    sound, _ = played(joined, picture=False)
    assert np.diff(flashes_s(pictures)) == pytest.approx(np.diff(flashes_s(both)), abs=1e-6)
    assert np.diff(beeps_s(sound)) == pytest.approx(np.diff(beeps_s(both)), abs=1e-6)


def test_a_part_without_sound_costs_no_sound_of_the_next_part(clips: Path, tmp_path: Path) -> None:
    silent = write_clip(tmp_path / "silent.ts", seconds=2.0, sound_hz=None)
    items, dropped = played(write_joined(tmp_path / "j.ts", [clips / "first.ts", silent, clips / "second.ts"]))
    assert dropped == {}
    flashes, beeps = flashes_s(items), beeps_s(items)
    assert len(flashes) == 4
    assert flashes == pytest.approx(beeps, abs=0.005)


def test_parts_of_other_size_rate_and_stream_numbers_are_played(clips: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.ts"
    write_clip(other, seconds=2.0, size=(96, 64), sound_hz=RATE_HZ, flashes_s=(1,), beeps_s=(1,))
    numbered = tmp_path / "numbered.ts"
    with av.open(str(other)) as given, av.open(str(numbered), "w", options={"mpegts_start_pid": "0x200"}) as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                written.mux(packet)
    items, dropped = played(write_joined(tmp_path / "joined.ts", [clips / "first.ts", numbered]))
    # the last picture of the first part has no successor under its number, so FFmpeg reads it at the very end
    assert [sum(reasons.values()) for reasons in dropped.values()] in ([], [1])
    assert {frame.size for frame in items if isinstance(frame, Frame)} == {(64, 48), (96, 64)}
    flashes, beeps = flashes_s(items), beeps_s(items)
    assert len(flashes) == 3
    assert flashes == pytest.approx(beeps, abs=0.005)


def test_a_packet_that_is_damaged_at_a_splice_is_counted_and_all_else_is_played(clips: Path, tmp_path: Path) -> None:
    first = (clips / "first.ts").read_bytes()
    (tmp_path / "cut.ts").write_bytes(first[: len(first) * 3 // 4])
    items, dropped = played(write_joined(tmp_path / "joined.ts", [tmp_path / "cut.ts", clips / "second.ts"]))
    assert set(dropped.get("image", {})) | set(dropped.get("audio", {})) <= {"corrupt"}
    flashes, beeps = flashes_s(items), beeps_s(items)
    assert len(flashes) >= 3
    assert flashes[-2:] == pytest.approx(beeps[-2:], abs=0.005)


def test_a_loop_lasts_as_long_as_its_parts(clips: Path, tmp_path: Path) -> None:
    later = write_shifted(tmp_path / "later.ts", clips / "second.ts", 900)
    joined = write_joined(tmp_path / "joined.ts", [clips / "first.ts", later])
    counters = {modality: Counters() for modality in MODALITIES}
    recording = Recording(joined, picture=PicturePreparation(PictureConfig()))
    stop = threading.Event()
    items: list[Captured] = []

    def deliver(item: Captured) -> None:
        items.append(item)
        if len(flashes_s([item])) and len(flashes_s(items)) == 5:
            stop.set()

    ReplaySource(recording, True, False, counters).run(deliver, stop)
    flashes = flashes_s(items)
    assert flashes[4] - flashes[0] == pytest.approx(sum(LENGTHS_S.values()), abs=0.2)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv", "wav"])
def test_what_is_not_played_of_joined_files_is_told(tmp_path: Path, suffix: str) -> None:
    codec = "pcm_s16le" if suffix == "wav" else "aac"
    clip = write_clip(tmp_path / f"clip.{suffix}", seconds=1.0, picture=suffix != "wav", audio_codec=codec)
    with pytest.raises(RecordingError, match=r"joined\.\w+: the file holds more than one recording, and not all"):
        played(write_joined(tmp_path / f"joined.{suffix}", [clip, clip]))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("avi", "aac"), ("ogg", "libopus"), ("mp3", "libmp3lame"), ("aac", "aac")]
)
def test_other_formats_that_can_be_joined_are_played_whole(tmp_path: Path, suffix: str, codec: str) -> None:
    first, second = (
        write_clip(
            tmp_path / f"{length_s}.{suffix}",
            seconds=length_s,
            beeps_s=(0.5, 1.5),
            picture=suffix == "avi",
            sound_hz=48_000,
            audio_codec=codec,
        )
        for length_s in (2.0, 3.0)
    )
    items, _ = played(write_joined(tmp_path / f"joined.{suffix}", [first, second]))
    assert np.diff(beeps_s(items)) == pytest.approx([1, 1, 1], abs=0.1)
    assert sum(isinstance(item, Block) for item in items) / 50 == pytest.approx(5, abs=0.1)
    assert sum(isinstance(item, Frame) for item in items) == (125 if suffix == "avi" else 0)


def test_a_spliced_sound_is_read_whole(clips: Path, tmp_path: Path) -> None:
    joined = write_joined(tmp_path / "joined.ts", [clips / "first.ts", clips / "second.ts"])
    assert len(read_sound(joined, RATE_HZ)) / RATE_HZ == pytest.approx(sum(LENGTHS_S.values()), abs=0.2)
