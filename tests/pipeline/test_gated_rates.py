"""A gate of motion, and encoders that see some of the pictures only."""

import pytest

from daemon.bundle.bundle import load_bundle
from daemon.config.streams import GatesConfig, MotionConfig
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from tests.helpers.format2_bundle import write_bundle
from tests.pipeline.test_several_encoders import frame, in_order


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Recogniser:
    return load_recogniser(load_bundle(write_bundle(tmp_path_factory.mktemp("bundle") / "corner")))


@pytest.mark.parametrize("fps", [30, 7, 3])
def test_a_gate_closes_only_after_each_encoder_has_seen_the_latest_change(recogniser: Recogniser, fps: int) -> None:
    """Something comes at 1 s and stands still 0.4 s later. `people` sees two pictures a second."""
    items = [frame(round(at * 1e9), left=round(255 * min(1.0, max(0.0, (at - 1) / 0.4))))
             for at in (index / fps for index in range(4 * fps))]  # fmt: skip
    gates = GatesConfig(motion=MotionConfig(hold_s=0.05, keep_alive_s=0.2))
    gated, open_ = (in_order(recogniser, each, items=items)[0] for each in (gates, None))
    assert gated.moments[-1][2] == open_.moments[-1][2]
