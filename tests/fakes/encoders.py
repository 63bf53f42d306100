"""An encoder that takes a random time."""

import random
import time

import numpy as np

from daemon.core.records import Embedding, Frame, Modality


class SlowEncoder:
    """Implements `Encoder`: returns a number of the item as its embedding, after a short random time."""

    def __init__(self, modality: Modality, seed: int) -> None:
        self.name = modality
        self._random = random.Random(seed)

    def encode(self, item: object) -> Embedding:
        time.sleep(self._random.random() * 0.002)
        end_ns = getattr(item, "captured_ns", None) or getattr(item, "end_ns", 0)
        number = np.float32(end_ns // 1_000_000 % 7)
        return Embedding(self.name, np.full(1, number, np.float32), end_ns, end_ns)


class LateEncoder:
    """Implements `Encoder`: takes a fixed time for each item, and gives the same embedding for all of them."""

    def __init__(self, modality: Modality, number: float, seconds: float) -> None:
        self.name = modality
        self._vector = np.full(1, number, np.float32)
        self._seconds = seconds

    def encode(self, item: Frame) -> Embedding:
        time.sleep(self._seconds)
        return Embedding(self.name, self._vector, item.captured_ns, item.captured_ns)
