"""Replay of files: order, times, formats and errors."""

import os
import threading
import time
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from daemon.config.streams import CameraConfig, MicrophoneConfig, PictureConfig, ReplayConfig, StreamConfig
from daemon.core.errors import DocumentError, RecordingError, SourceError
from daemon.core.records import MODALITIES, Block, Captured, Colours, Counters, Frame, Line
from daemon.core.timing import NS_PER_MS, NS_PER_S, monotonic_ns
from daemon.sources.container import read_sound
from daemon.sources.factory import build_sources
from daemon.sources.files.replay import AUDIO, IMAGE, REST, TEXT, Recording, ReplaySource, gathered
from daemon.sources.picture import PicturePreparation
from tests.helpers.clips import BEEP_S, write_clip

RATE_HZ = 16_000


def end_ns(item: Captured) -> int:
    return item.end_ns if isinstance(item, Block) else item.captured_ns


def play(stream: StreamConfig, *, picture: bool = True, sound: bool = True, until: int | None = None) -> list[Captured]:
    """Return the items of the stream's only source, all of them or the first `until`."""
    counters = {modality: Counters() for modality in MODALITIES}
    sources = build_sources(stream, sample_rate_hz=RATE_HZ if sound else None, picture=picture, counters=counters)
    (source,) = sources.values()
    stop = threading.Event()
    items: list[Captured] = []

    def deliver(item: Captured) -> None:
        items.append(item)
        if len(items) == until:
            stop.set()

    source.run(deliver, stop)
    return items


def fast(path: Path, text: Path | None = None) -> StreamConfig:
    return StreamConfig(replay=ReplayConfig(file=str(path), text=text and str(text), loop=False, pace="fast"))


def since_start(items: list[Captured]) -> list[tuple[object, ...]]:
    """Return the items as values, with times since the start of the first block."""
    base_ns = next(item.start_ns for item in items if isinstance(item, Block))
    values: list[tuple[object, ...]] = []
    for item in items:
        if isinstance(item, Frame):
            values.append(("frame", item.captured_ns - base_ns, *(plane.tobytes() for plane in item.planes)))
        elif isinstance(item, Block):
            values.append(("block", item.start_ns - base_ns, item.gap, item.samples.tobytes()))
        else:
            values.append(("line", item.captured_ns - base_ns, item.text))
    return values


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "clip.text.yaml"
    path.write_text('lines: [{at_s: 1.5, text: "later"}, {at_s: 0.4, text: "room seven"}, {at_s: 9, text: "after"}]')
    return path


@pytest.mark.parametrize("sound_hz", [RATE_HZ, 44_100, 48_000])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_flashes_beeps_and_lines_have_their_times_in_the_file(
    tmp_path: Path, lines: Path, sound_hz: int, suffix: str
) -> None:
    flashes, beeps = (0.6, 1.2), (0.5, 1.32)
    clip = write_clip(tmp_path / f"clip.{suffix}", sound_hz=sound_hz, flashes_s=flashes, beeps_s=beeps)
    items = play(fast(clip, lines))
    base_ns = next(item.captured_ns for item in items if isinstance(item, Line)) - 400_000_000
    bright = [f.captured_ns - base_ns for f in items if isinstance(f, Frame) and f.planes[0].mean() > 150]
    assert bright == pytest.approx([at * NS_PER_S for at in flashes], abs=1_000_000)
    blocks = [item for item in items if isinstance(item, Block)]
    assert {len(block.samples) for block in blocks} == {RATE_HZ // 50}
    assert [block.gap for block in blocks] == [True] + [False] * (len(blocks) - 1)
    assert len(blocks) == pytest.approx(100, abs=3)
    samples = np.concatenate([block.samples for block in blocks])
    heard = (blocks[0].start_ns - base_ns) / NS_PER_S + np.flatnonzero(np.abs(samples) > 0.15) / RATE_HZ
    for beep in beeps:
        near = heard[np.abs(heard - beep) < 0.2]
        assert near.min() == pytest.approx(beep, abs=0.005)
        assert near.max() == pytest.approx(beep + BEEP_S, abs=0.005)
    assert [item.text for item in items if isinstance(item, Line)] == ["room seven", "later", "after"]


def test_two_fast_passes_give_the_same_items_in_order(tmp_path: Path, lines: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", flashes_s=(0.6,), beeps_s=(0.5,))
    items = play(fast(clip, lines))
    assert since_start(items) == since_start(play(fast(clip, lines)))
    order = {Frame: 0, Block: 1, Line: 2}
    keys = [(end_ns(item), order[type(item)]) for item in items]
    assert keys == sorted(keys)


def test_in_real_time_no_item_is_delivered_before_its_end(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.6)
    counters = {modality: Counters() for modality in MODALITIES}
    stream = StreamConfig(replay=ReplayConfig(file=str(clip), loop=False))
    source = build_sources(stream, sample_rate_hz=RATE_HZ, picture=True, counters=counters)["replay"]
    early_ns: list[int] = []
    source.run(lambda item: early_ns.append(end_ns(item) - monotonic_ns()), threading.Event())
    assert len(early_ns) >= 15 + 28
    assert max(early_ns) <= 0


def test_in_real_time_most_of_the_interval_passes_before_the_next_picture_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.6, sound_hz=None)
    read_ns: list[int] = []

    def prepare(_preparation: PicturePreparation, frame: Frame) -> Frame:
        read_ns.append(monotonic_ns())
        return frame

    monkeypatch.setattr(PicturePreparation, "prepare", prepare)
    stamps = [end_ns(frame) for frame in play(StreamConfig(replay=ReplayConfig(file=str(clip), loop=False)))]
    assert len(stamps) == 15
    assert np.subtract(read_ns[1:], stamps[:-1]).min() >= 30_000_000


@pytest.mark.parametrize("missing", [range(10, 25), range(1, 16)])
def test_pictures_at_an_irregular_rate_are_in_order_with_the_sound(tmp_path: Path, missing: range) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=1.2, missing=missing)
    items = play(StreamConfig(replay=ReplayConfig(file=str(clip), loop=False)))
    assert {type(item) for item in items} == {Frame, Block}
    ends = [end_ns(item) for item in items]
    assert ends == sorted(ends)


def test_a_slow_pipeline_does_not_shift_the_schedule(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.6, sound_hz=None)
    stream = StreamConfig(replay=ReplayConfig(file=str(clip), loop=False))
    source = build_sources(stream, sample_rate_hz=RATE_HZ, picture=True, counters={})["replay"]
    stamps: list[int] = []

    def deliver(item: Captured) -> None:
        stamps.append(end_ns(item))
        if len(stamps) == 2:
            time.sleep(0.1)

    source.run(deliver, threading.Event())
    assert np.diff(stamps) == pytest.approx(40_000_000, abs=10)


def test_a_loop_continues_where_the_pass_ended_with_a_gap_in_the_sound(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.4, sound_hz=RATE_HZ)
    items = play(StreamConfig(replay=ReplayConfig(file=str(clip))), until=60)
    frames = [item.captured_ns for item in items if isinstance(item, Frame)]
    assert len(frames) > 12
    assert np.diff(frames).min() >= 39_000_000
    assert np.diff(frames).max() <= 140_000_000
    starts = [item.start_ns for item in items if isinstance(item, Block) and item.gap]
    assert len(starts) >= 2
    assert starts[1] - starts[0] == pytest.approx(frames[10] - frames[0], abs=1_000_000)


def test_a_loop_of_lines_alone_lasts_as_long_as_the_file(tmp_path: Path) -> None:
    (tmp_path / "lines.yaml").write_text("lines: [{at_s: 0.1, text: seven}]")
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.5)
    replay = ReplayConfig(file=str(clip), text=str(tmp_path / "lines.yaml"))
    items = play(StreamConfig(replay=replay), picture=False, sound=False, until=3)
    assert np.diff([end_ns(item) for item in items]) / NS_PER_S == pytest.approx([0.5, 0.5], abs=0.03)


def test_unused_modalities_are_not_delivered(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.4)
    assert {type(item) for item in play(fast(clip), picture=False)} == {Block}
    assert {type(item) for item in play(fast(clip), sound=False)} == {Frame}
    with pytest.raises(SourceError, match=r"clip\.mp4: contains neither"):
        play(fast(clip), sound=False, picture=False)


LIMITED_GREY = 16 + 60 * 219 / 255
BT709 = 1


@pytest.mark.parametrize(
    ("pixel_format", "matrix", "chroma", "colours", "grey"),
    [
        ("yuv420p", None, (24, 32), Colours(), LIMITED_GREY),
        ("yuv420p", BT709, (24, 32), Colours("bt709"), LIMITED_GREY),
        ("yuvj420p", None, (24, 32), Colours(is_full_range=True), 60),
        ("yuvj420p", BT709, (24, 32), Colours("bt709", is_full_range=True), 60),
        ("yuv422p", None, (48, 32), Colours(), LIMITED_GREY),
        ("yuvj444p", None, (48, 64), Colours(is_full_range=True), 60),
    ],
)
def test_yuv_is_not_converted(
    tmp_path: Path, pixel_format: str, matrix: int | None, chroma: tuple[int, int], colours: Colours, grey: float
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.2, sound_hz=None, pixel_format=pixel_format, matrix=matrix)
    frame = play(fast(clip))[0]
    assert isinstance(frame, Frame)
    assert [plane.shape for plane in frame.planes] == [(48, 64), chroma, chroma]
    assert (frame.size, frame.colours) == ((64, 48), colours)
    assert frame.planes[0].mean() == pytest.approx(grey, abs=3)


@pytest.mark.parametrize(("pixel_format", "matrix"), [("yuv420p10le", None), ("yuv420p", 9)])
def test_other_formats_are_converted_to_bgr(tmp_path: Path, pixel_format: str, matrix: int | None) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.2, sound_hz=None, pixel_format=pixel_format, matrix=matrix)
    frame = play(fast(clip))[0]
    assert isinstance(frame, Frame)
    assert [plane.shape for plane in frame.planes] == [(48, 64, 3)]
    assert frame.planes[0].mean() == pytest.approx(60, abs=3)


def test_a_file_as_a_camera_observes_fps_and_gives_its_sound(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.8, sound_hz=RATE_HZ)
    camera = CameraConfig(device=str(clip), fps=5, loop=False)
    items = play(StreamConfig(camera=camera, microphone=MicrophoneConfig(device="camera")))
    assert sum(isinstance(item, Frame) for item in items) == 4
    assert sum(isinstance(item, Block) for item in items) >= 38
    assert {type(item) for item in play(StreamConfig(camera=camera))} == {Frame}


def test_pcm_of_any_width_is_full_scale(tmp_path: Path) -> None:
    for codec in ("pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_f32le", "pcm_mulaw"):
        clip = write_clip(
            tmp_path / "clip.wav", picture=False, seconds=0.3, sound_hz=RATE_HZ, beeps_s=(0.1,), audio_codec=codec
        )
        samples = np.concatenate([item.samples for item in play(fast(clip)) if isinstance(item, Block)])
        assert np.abs(samples).max() == pytest.approx(0.488, abs=0.02), codec


@pytest.mark.parametrize(("layout", "channels"), [("7.1", 8), ("hexadecagonal", 16)])
def test_every_channel_of_many_is_read(tmp_path: Path, layout: str, channels: int) -> None:
    """PyAV itself reads beyond the planes of eight channels or more."""
    clip = write_clip(tmp_path / "clip.mp4", picture=False, seconds=0.5, sound_hz=48_000, beeps_s=(0.1,), layout=layout)
    assert np.abs(read_sound(clip, RATE_HZ)).max() == pytest.approx(0.488, abs=0.05)
    for channel in (1, channels // 2 + 1, channels):
        if layout == "7.1" and channel == 4:
            continue  # the low-frequency channel does not carry the beep
        camera = CameraConfig(device=str(clip), loop=False)
        microphone = MicrophoneConfig(device="camera", channel=channel)
        items = play(StreamConfig(camera=camera, microphone=microphone), picture=False)
        samples = np.concatenate([item.samples for item in items if isinstance(item, Block)])
        assert np.abs(samples).max() == pytest.approx(0.488, abs=0.05)


def test_metadata_in_another_encoding_is_no_obstacle(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", seconds=0.4)
    content = clip.read_bytes()
    clip.write_bytes(content.replace(b"Lavf", b"K\xfcch", 1))
    assert {type(item) for item in play(fast(clip))} == {Frame, Block}
    assert len(read_sound(clip, RATE_HZ)) > 0.3 * RATE_HZ


def test_a_sense_without_decoder_costs_only_that_sense(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", seconds=0.4)
    content = clip.read_bytes()
    place = content.index(b"strf", content.index(b"auds")) + 8
    clip.write_bytes(content[:place] + b"\x99\x99" + content[place + 2 :])
    assert {type(item) for item in play(fast(clip), sound=False)} == {Frame}
    items: list[Captured] = []
    sources = build_sources(fast(clip), sample_rate_hz=RATE_HZ, picture=True, counters={})
    with pytest.raises(RecordingError, match=r"clip\.avi: FFmpeg has no decoder for its sound"):
        sources["replay"].run(items.append, threading.Event())
    assert [type(item) for item in items] == [Frame] * 10


def test_a_file_whose_sound_nobody_uses_says_how_to_use_it(tmp_path: Path) -> None:
    sound = write_clip(tmp_path / "sound.mp4", picture=False, seconds=0.4)
    stream = StreamConfig(camera=CameraConfig(device=str(sound), loop=False))
    with pytest.raises(RecordingError, match=r"used; its sound needs `microphone: camera`, and a bundle that hears$"):
        play(stream)
    silent = write_clip(tmp_path / "silent.mp4", sound_hz=None, seconds=0.4)
    with pytest.raises(RecordingError, match=r"contains neither a picture nor sound that is used$"):
        play(fast(silent), picture=False)


def test_a_missing_channel_is_named(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.2)
    microphone = MicrophoneConfig(device="camera", channel=3)
    with pytest.raises(SourceError, match="channel 3 is configured, but the sound has 1"):
        play(StreamConfig(camera=CameraConfig(device=str(clip)), microphone=microphone))


@pytest.mark.parametrize("kind", ["directory", "fifo", "device", "no end"])
def test_what_is_no_file_is_named_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "recording"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null" if kind == "device" else "/proc/self/mem")
    reason = "cannot be opened" if kind == "no end" else "is not a regular file and cannot be played"
    with pytest.raises(SourceError, match=f"recording: {reason}") as caught:
        play(fast(path))
    assert not isinstance(caught.value, RecordingError), "it is tried again"


def test_pictures_that_fps_leaves_out_are_counted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", seconds=2.0, fps=10, sound_hz=None)
    counters = {modality: Counters() for modality in MODALITIES}
    pictures: list[Captured] = []
    recording = Recording(path, picture=PicturePreparation(PictureConfig()), fps=5)
    ReplaySource(recording, False, False, counters).run(pictures.append, threading.Event())
    assert len(pictures) + counters["image"].left_out == 20
    assert len(pictures) == 10


def test_a_missing_or_invalid_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.mp4: cannot be opened: No such file"):
        play(fast(tmp_path / "none.mp4"))
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 100)
    with pytest.raises(SourceError, match=r"noise\.mp4: cannot be opened"):
        play(fast(tmp_path / "noise.mp4"))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_file_that_is_cut_off_is_an_error(tmp_path: Path, suffix: str) -> None:
    complete = write_clip(tmp_path / f"complete.{suffix}", seconds=6.0).read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(complete[: len(complete) // 2])
    with pytest.raises(SourceError, match=r"cut\."):
        play(fast(cut))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lines: [{at_s: -1, text: x}]", r"clip\.text\.yaml:1: lines\.0\.at_s = -1"),
        ("lines:\n- {at_s: 1}", r"clip\.text\.yaml:2: lines\.0\.text: is missing"),
        ("line: []", "did you mean 'lines'"),
    ],
)
def test_wrong_lines_are_refused_when_the_source_is_built(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "clip.text.yaml"
    path.write_text(text)
    with pytest.raises(DocumentError, match=problem):
        build_sources(fast(tmp_path / "clip.mp4", path), sample_rate_hz=RATE_HZ, picture=True, counters={})


def late_stamps(pace: Literal["realtime", "fast"], clip: Path) -> tuple[list[int], Counters]:
    """Return the stamps and the counters of a file that the source's thread plays at a third of its pace."""
    counters = {modality: Counters() for modality in MODALITIES}
    stream = StreamConfig(replay=ReplayConfig(file=str(clip), loop=False, pace=pace))
    source = build_sources(stream, sample_rate_hz=None, picture=True, counters=counters)["replay"]
    stamps: list[int] = []

    def deliver(item: Captured) -> None:
        stamps.append(end_ns(item))
        time.sleep(0.12)

    source.run(deliver, threading.Event())
    return stamps, counters["image"]


def test_a_file_that_cannot_be_read_in_time_is_put_off(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.6, sound_hz=None)
    stamps, counters = late_stamps("realtime", clip)
    assert np.diff(stamps).min() == pytest.approx(40_000_000, abs=10), "at first it is late"
    assert counters.put_off_ns > 5 * 60_000_000
    assert stamps[-1] - stamps[0] == pytest.approx((len(stamps) - 1) * 40_000_000 + counters.put_off_ns, abs=1000)


def test_as_fast_as_possible_nothing_is_put_off(tmp_path: Path) -> None:
    stamps, counters = late_stamps("fast", write_clip(tmp_path / "clip.mp4", seconds=0.4, sound_hz=None))
    assert counters.put_off_ns == 0
    assert np.diff(stamps) == pytest.approx(40_000_000, abs=10)


@pytest.mark.parametrize(
    ("items", "groups"),
    [
        # sound comes with the next picture, rest or line
        ([(20, AUDIO), (33, IMAGE), (40, AUDIO), (60, AUDIO), (61, REST), (66, IMAGE)], [(33, 2), (61, 3), (66, 1)]),
        ([(20, AUDIO), (20, TEXT), (21, TEXT)], [(20, 2), (21, 1)]),
        # without pictures, and with pictures that come rarely, three blocks come together
        ([(20 * n, AUDIO) for n in range(1, 8)], [(60, 3), (120, 3), (140, 1)]),
        ([(0, IMAGE), *((20 * n, AUDIO) for n in range(1, 5)), (90, IMAGE)], [(0, 1), (60, 3), (90, 2)]),
        ([], []),
    ],
)
def test_sound_comes_together_with_what_follows(items: list[tuple[int, int]], groups: list[tuple[int, int]]) -> None:
    timed = [(end_ms * NS_PER_MS, kind, None) for end_ms, kind in items]
    found = list(gathered(iter(timed)))
    assert [(due_ns // NS_PER_MS, len(group)) for due_ns, group in found] == groups
    assert [item for _, group in found for item in group] == timed
