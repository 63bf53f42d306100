"""The fusion of one stream."""

import numpy as np

from daemon.core.records import Embedding
from daemon.fusion.align import AlignmentSettings
from daemon.fusion.events import EventSettings
from daemon.fusion.fuse import FusionHead, StreamFusion
from daemon.fusion.pool import Pool, PoolSettings
from tests.fakes.models import PlainHead

MS = 1_000_000


def test_a_moment_with_nan_scores_does_not_affect_later_moments() -> None:
    head = FusionHead(PlainHead(np.array([[5, 0], [-5, 0]], np.float32), np.zeros(2, np.float32), [1]), {"image": 1})
    times_ns = 300 * MS, 100 * MS, 10_000 * MS, 5_000 * MS
    limits = np.full(2, 0.7, np.float32), np.full(2, 0.4, np.float32)
    settings = EventSettings({"image": ["image"]}, ["a", "b"], [True, True], *limits, *times_ns)
    fusion = StreamFusion(head, Pool({}), AlignmentSettings({"image": 500 * MS}, MS), settings)
    events = []
    for at_ms in range(1000, 3000, 30):
        value = np.nan if at_ms == 1030 else 1.0
        fused = fusion.deliver(Embedding("image", np.array([value], np.float32), at_ms * MS, at_ms * MS), at_ms * MS)
        assert fusion.next_due_ns() is not None
        events += [(event.phase, event.label) for event in fused.events]
    assert events == [("start", "a")]


def test_the_head_gets_what_is_pooled_and_a_pause_forgets_it() -> None:
    weights = np.array([[0, 1, 0], [0, 0, 0]], np.float32)  # of the number, its maximum and the present entry
    head = FusionHead(PlainHead(weights, np.zeros(2, np.float32), [2], background=1), {"scene": 2}, 1)
    limits, times_ns = (np.full(2, 0.9, np.float32),) * 2, (0, 0, 10_000 * MS, 5_000 * MS)
    settings = EventSettings({"image": ["scene"]}, ["a", "none"], [True, False], *limits, *times_ns, "independent")
    pool = Pool({"scene": PoolSettings(1000 * MS, ["max"])})
    fusion = StreamFusion(head, pool, AlignmentSettings({"scene": 5000 * MS}, MS), settings)

    def share(at_ms: int, number: float) -> float:
        made = Embedding("scene", np.array([number], np.float32), at_ms * MS, at_ms * MS)
        (recognition,) = fusion.deliver(made, at_ms * MS).recognitions
        return float(recognition.shares["scene"][0])

    assert [share(1000, 3), share(1500, -2), share(2400, 1)] == [3, 3, 1]
    fusion.finish(2500 * MS, "paused")
    assert share(2600, -4) == -4
