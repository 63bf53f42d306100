"""Encodes examples again, from their pictures and sound, with the encoders of a bundle that has become active."""

import logging
from collections.abc import Mapping

from daemon.core.errors import InputError, TeachingError
from daemon.core.records import Block, Captured, Counters, Frame, ended_ns
from daemon.core.timing import NS_PER_MS, NS_PER_S, monotonic_ns
from daemon.node.teaching_input import TeachingInput
from daemon.pipeline.recent import PICTURES_HZ, Window
from daemon.sources.container import resampled
from daemon.teaching.pictures import picture_from
from daemon.teaching.records import Example
from daemon.teaching.sounds import sound_from
from daemon.teaching.store import TeachingStore

log = logging.getLogger(__name__)

# sound comes to the front end in blocks, as a microphone delivers it
BLOCK_NS = 20 * NS_PER_MS


class EncodingAgain:
    """Encodes examples of other encoders one by one. Used by the thread `teaching`.

    `counters` counts as dropped the examples that could not be encoded.
    """

    def __init__(self, live: TeachingInput, counters: Counters) -> None:
        self._live, self._counters = live, counters
        self._encoders: Mapping[str, str] = {}
        self._waiting: list[str] = []

    def look(self, store: TeachingStore) -> None:
        """Encode the next example, if one waits. Raises TeachingError when the disk refuses it."""
        encoders = self._live.bundle.encoders
        if encoders != self._encoders:
            self._encoders, self._waiting = encoders, store.others(encoders)
        if not self._waiting:
            return
        example_id = self._waiting.pop()
        try:
            window = window_of(store.example(example_id), self._live.sample_rate_hz)
            shown = self._live.show_again(window)
        except (InputError, TeachingError) as error:
            self._counters.drop("example_not_encoded")
            log.warning("teaching: example %s cannot be encoded again: %s", example_id, error)
            return
        if shown.showing.moments:
            store.add_embedding(example_id, shown.encoders, shown.showing.moments)


def window_of(example: Example, sample_rate_hz: int | None) -> Window:
    """Return what an example holds as if it was captured just now: its sound, and its picture all the time.

    `sample_rate_hz` is that of the encoders. Raises InputError where picture or sound cannot be read.
    """
    start_ns = monotonic_ns()
    items: list[Captured] = []
    if example.sound is not None and sample_rate_hz is not None:
        samples, rate_hz = sound_from(example.sound)
        samples = resampled(samples, rate_hz, sample_rate_hz)
        size = BLOCK_NS * sample_rate_hz // NS_PER_S
        for first in range(0, len(samples), size):
            at_ns = start_ns + first * NS_PER_S // sample_rate_hz
            items.append(Block(samples[first : first + size], sample_rate_hz, at_ns))
    end_ns = max((ended_ns(item) for item in items), default=start_ns + NS_PER_S)
    if example.picture is not None:
        picture, step_ns = picture_from(example.picture), round(NS_PER_S / PICTURES_HZ)
        items += [Frame((picture,), at_ns) for at_ns in range(start_ns, end_ns, step_ns)]
    return Window(sorted(items, key=ended_ns), start_ns, end_ns)
