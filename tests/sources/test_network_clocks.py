"""RTSP cameras whose clock is set while they run. Sender reports of picture and sound tell it at different times."""

import itertools
import statistics

import numpy as np
import pytest

from daemon.core.timing import NS_PER_S
from tests.helpers.campaign import IS_CAMPAIGN, share
from tests.helpers.packet_camera import PacketCamera
from tests.helpers.rtp import AUDIO_HZ, VIDEO_HZ
from tests.sources.network_watch import Watch

# in the campaign, the reports of picture and sound are 5 s apart
REPORT_EVERY_S = 10.0 if IS_CAMPAIGN else 1.0
FOLLOWED_S = 5.0

BOTH, PICTURE, SOUND = {"image", "audio"}, {"image"}, {"audio"}
AT_ONCE = [(step_s, tracks) for step_s in (-3600.0, 3600.0, -2.0) for tracks in (BOTH, PICTURE, SOUND)]
SMALL = [(step_s, tracks) for step_s in (-0.7, 0.7) for tracks in (BOTH, PICTURE, SOUND)]


@pytest.mark.campaign("camera-clocks")
@pytest.mark.parametrize(("step_s", "tracks"), [*share(AT_ONCE, 1, "clocks"), *(SMALL if IS_CAMPAIGN else [])])
def test_picture_and_sound_are_used_again_after_the_clock_is_set(step_s: float, tracks: set[str]) -> None:
    reported_s = 1.0 + REPORT_EVERY_S
    is_small = abs(step_s) < 1
    settled_s = reported_s + (FOLLOWED_S if IS_CAMPAIGN or is_small else 0.0)
    camera = PacketCamera(report_every_s=REPORT_EVERY_S)
    with camera.serving() as url:
        began = []

        def is_over(watch: Watch) -> bool:
            if watch.elapsed_s > 1.0:
                camera.clock_s.update(dict.fromkeys(tracks, step_s))
            if watch.elapsed_s > settled_s and not began:
                began.append((len(watch.frames), len(watch.blocks)))
            return watch.elapsed_s > settled_s + 1.0

        watch = Watch(url, deadline_s=60).until(is_over)
    ((frames, blocks),) = began
    assert min(watch.ages_ns) >= 0, "nothing is stamped in the future"
    # the median, because a busy machine delays single deliveries
    assert statistics.median(watch.frame_ages_ns[frames:]) < 0.4 * NS_PER_S
    assert statistics.median(watch.block_ages_ns[blocks:]) < 0.4 * NS_PER_S
    assert np.diff([frame.captured_ns for frame in watch.frames]).min() >= 0
    assert not any(counters.dropped for counters in watch.counters.values())
    jumps_ns = [abs(b.start_ns - a.end_ns) for a, b in itertools.pairwise(watch.blocks) if not b.gap]
    assert max(jumps_ns) <= 0.4 * NS_PER_S, "sound whose stamps jump begins a new run"


def test_wraps_of_the_rtp_times_are_no_step() -> None:
    camera = PacketCamera(first_timestamps={"image": 2**32 - VIDEO_HZ, "audio": 2**32 - 2 * AUDIO_HZ})
    with camera.serving() as url:
        watch = Watch(url).until(lambda watch: watch.elapsed_s > 3.0)
    assert np.diff([frame.captured_ns for frame in watch.frames]).max() < 0.3 * NS_PER_S
    assert [number for number, block in enumerate(watch.blocks) if block.gap] == [0]
    assert min(watch.ages_ns) >= 0
