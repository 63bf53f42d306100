"""An encoder that takes a random time."""

import random
import time

import numpy as np

from daemon.core.records import Embedding, Modality


class SlowEncoder:
    """Implements `Encoder`: returns a number of the item as its embedding, after a short random time."""

    def __init__(self, modality: Modality, seed: int) -> None:
        self.modality = modality
        self._random = random.Random(seed)

    def encode(self, item: object) -> Embedding:
        time.sleep(self._random.random() * 0.002)
        end_ns = getattr(item, "captured_ns", None) or getattr(item, "end_ns", 0)
        number = np.float32(end_ns // 1_000_000 % 7)
        return Embedding(self.modality, np.full(1, number, np.float32), end_ns, end_ns)
