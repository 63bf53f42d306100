"""Appends statistics of the latest seconds to an embedding, where the bundle asks for it. Reads no clock."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from daemon.bundle.encoder_specs import Statistic
from daemon.core.records import Embedding

# Of the latest seconds at most so many embeddings count. A camera gives fewer in the longest time allowed.
MAX_POOLED = 4096

# At most so many numbers count: 16 MB for each stream, whose mean and maximum take some milliseconds.
MAX_NUMBERS = 4_000_000

_FUNCTIONS: Mapping[Statistic, Callable[..., Any]] = {"mean": np.mean, "max": np.max}


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Over which time the statistics `of` an encoder's embeddings are computed, in the order of the head's input."""

    duration_ns: int
    of: Sequence[Statistic]


class Pool:
    """Holds the latest embeddings of one stream, of each encoder that is pooled. Used by one thread at a time."""

    def __init__(self, settings: Mapping[str, PoolSettings]) -> None:
        """`settings` has the encoders that are pooled. The embeddings of the others stay as they are."""
        self._settings = settings
        self._latest: dict[str, deque[Embedding]] = {}

    def add(self, embedding: Embedding) -> Embedding:
        """Return the embedding with its statistics appended: shape (D,) becomes (D * (1 + number of statistics),).

        They are taken over the embeddings that end within `duration_ns` up to the end of this one, which counts too.
        """
        settings = self._settings.get(embedding.encoder)
        if settings is None:
            return embedding
        latest = self._latest.get(embedding.encoder)
        if latest is None:
            most = min(MAX_POOLED, max(1, MAX_NUMBERS // embedding.vector.size))
            latest = self._latest[embedding.encoder] = deque(maxlen=most)
        was_overtaken = bool(latest) and embedding.end_ns < latest[-1].end_ns  # so alignment drops it
        if was_overtaken or not np.isfinite(embedding.vector).all():  # NaN would stay in the statistics for seconds
            vectors = embedding.vector[np.newaxis]
        else:
            latest.append(embedding)
            while embedding.end_ns - latest[0].end_ns >= settings.duration_ns:
                latest.popleft()
            vectors = np.concatenate([each.vector for each in latest]).reshape(len(latest), -1)
        statistics = [_FUNCTIONS[name](vectors, axis=0) for name in settings.of]
        return replace(embedding, vector=np.concatenate([embedding.vector, *statistics]))

    def forget(self) -> None:
        """Forget all embeddings."""
        self._latest.clear()
