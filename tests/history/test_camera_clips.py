"""Clips and snapshots of real RTSP cameras: from their packets to a film that can be decoded to its end."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import av
import pytest

from daemon.config.streams import CameraConfig, MicrophoneConfig, StreamConfig
from daemon.core.media import MediaPacket
from daemon.core.timing import NS_PER_S
from daemon.history.clips import ClipWriter
from daemon.history.ring import MediaRing
from daemon.history.snapshots import snapshot_of
from tests.helpers.recorded import DEADLINE_S, Enough, Recorded, record
from tests.helpers.rtsp_mounts import RtspServer, picture, rtsp_servers, sound

pytestmark = pytest.mark.xdist_group("rtsp formats")

FPS, BEFORE_S = 20, 1.0
# of the server's encoders, in seconds
KEYS_S = 0.5
CAMERAS = {
    ("h264", "aac"): ("h264", "avc1", "aac"),
    ("h265", "aac"): ("hevc", "hvc1", "aac"),
    ("h264", "pcma"): ("h264", "avc1", "opus"),
    ("jpeg", "pcma"): ("mjpeg", "mp4v", "opus"),
}


@pytest.fixture(scope="module")
def recordings() -> Iterator[Mapping[tuple[str, str], "Future[Recorded]"]]:
    mounts = {f"/{video}-{audio}": f"{picture(video, fps=FPS)} {sound(audio)}" for video, audio in CAMERAS}
    with rtsp_servers(RtspServer(mounts)) as (port,), ThreadPoolExecutor(len(CAMERAS)) as pool:
        found = {}
        for video, audio in CAMERAS:
            camera = CameraConfig(device=f"rtsp://127.0.0.1:{port}/{video}-{audio}", stall_after_s=15.0)
            stream = StreamConfig(camera=camera, microphone=MicrophoneConfig(device="camera"))
            found[video, audio] = pool.submit(record, stream, Enough(frames=2 * FPS, blocks=60))
        yield found


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_camera_becomes_a_film(
    camera: tuple[str, str], recordings: Mapping[tuple[str, str], "Future[Recorded]"], tmp_path: Path
) -> None:
    ring = MediaRing(has_packets=True, before_s=BEFORE_S)
    writer = ClipWriter(tmp_path / "1.part", with_sound=True)
    recorded = recordings[camera].result(2 * DEADLINE_S)
    for each in recorded.order:
        if isinstance(each, MediaPacket):
            ring.add_packet(each)
        else:
            ring.add(each)
    start_ns = recorded.frames[-1].captured_ns - round(BEFORE_S * NS_PER_S)
    taken = ring.take(ring.begin(start_ns))
    # the ring waits for packets of sound before it keeps blocks, longer than this test
    blocks = [] if camera[1] == "aac" else [block for block in recorded.blocks if block.end_ns > start_ns - NS_PER_S]
    writer.write(taken.packets, blocks)
    clip = writer.close()
    assert clip is not None
    codec, tag, sound_codec = CAMERAS[camera]
    assert (clip.video, clip.audio, clip.is_cut) == (codec, sound_codec, False)
    assert BEFORE_S - 0.2 < clip.duration_s < BEFORE_S + KEYS_S + 0.3
    sent = [packet for packet in taken.packets if packet.format.kind == "video"]
    with av.open(str(tmp_path / "1.part")) as film:
        assert film.streams.video[0].codec_context.codec_tag == tag
        assert film.streams.audio[0].codec_context.name in (sound_codec, "libopus")
        shown = [frame.time for frame in film.decode(video=0)]
    assert len(shown) == len(sent)
    assert shown[0] == 0
    with av.open(str(tmp_path / "1.part")) as film:
        heard = [part.time for part in film.decode(audio=0)]
    assert heard[0] < 0.2
    assert abs(heard[-1] - shown[-1]) < 0.3
    snapshot = snapshot_of(taken.packets, sent[len(sent) // 2].captured_ns)
    assert snapshot is not None
    assert snapshot.startswith(b"\xff\xd8")
