"""Puts what several threads finish in any order back into the order in which it was begun. No clock, no lock."""

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(slots=True, eq=False)
class Place(Generic[Item]):
    """Of one item; None until it is finished."""

    item: Item | None = None


class ReorderBuffer(Generic[Item]):
    """Gives items in the order of their places, each as soon as those before it are finished.

    One that is not finished while more than `most` behind it wait is waited for no longer: it is given whenever it
    comes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: deque[Place[Item]] = deque()
        self._waiting = 0

    def begin(self) -> Place[Item]:
        """The next place."""
        place: Place[Item] = Place()
        self._places.append(place)
        return place

    def finish(self, place: Place[Item], item: Item | None) -> list[Item]:
        """Take what came of a place, once (None: nothing did); give all that need wait no longer."""
        if place not in self._places:
            return [] if item is None else [item]
        if item is None:
            self._places.remove(place)
        else:
            place.item = item
            self._waiting += 1
        ready = self._ready()
        if self._waiting > self._most:
            self._places.popleft()
            ready += self._ready()
        return ready

    def _ready(self) -> list[Item]:
        ready = []
        while self._places and (item := self._places[0].item) is not None:
            self._places.popleft()
            self._waiting -= 1
            ready.append(item)
        return ready
