"""The fusion of one stream."""

import numpy as np

from daemon.core.records import Embedding
from daemon.fusion.align import AlignmentSettings
from daemon.fusion.events import EventSettings
from daemon.fusion.fuse import FusionHead, StreamFusion
from daemon.fusion.pool import Pool
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
