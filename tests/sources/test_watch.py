"""The modalities and times that are expected of each source."""

import pytest

from daemon.config.streams import StreamConfig
from daemon.sources.factory import expectation_of

BOTH = frozenset({"image", "audio"})


@pytest.mark.parametrize(
    ("name", "stream", "needed", "expected"),
    [
        ("camera", {"camera": 0}, BOTH, ({"image"}, 2.5, 4.5)),
        ("camera", {"camera": {"device": 0, "stall_after_s": 1.5}}, BOTH, ({"image"}, 1.5, 3.5)),
        ("camera", {"camera": "rtsp://host/a"}, BOTH, ({"image"}, 2.5, 32.5)),
        ("camera", {"camera": "rtsp://host/a", "microphone": "camera"}, BOTH, ({"image", "audio"}, 2.5, 32.5)),
        ("camera", {"camera": "rtsp://host/a", "microphone": "camera"}, frozenset({"audio"}), ({"audio"}, 2.5, 32.5)),
        ("camera", {"camera": {"device": "rtsp://host/a", "fps": 0.5}}, BOTH, ({"image"}, 6, 36)),
        ("microphone", {"camera": 0, "microphone": "default"}, BOTH, ({"audio"}, 2.5, 4.5)),
        ("camera", {"camera": "clip.mp4"}, BOTH, None),
        ("replay", {"replay": {"file": "clip.mp4"}}, BOTH, None),
    ],
)
def test_watch(name: str, stream: dict, needed: frozenset, expected: tuple | None) -> None:
    watch = expectation_of(name, StreamConfig.model_validate(stream), needed)
    found = watch and (set(watch.expects), watch.stall_after_ns / 1e9, watch.opening_ns / 1e9)
    assert found == expected
