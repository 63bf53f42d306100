"""Finds the scalars of a YAML text with their keys and places, without the values that they stand for."""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar in a text: from `start` to `end` in characters. `keys` are those of the mappings around it."""

    keys: tuple[str, ...]
    value: str
    start: int
    end: int


def scalars(text: str) -> list[Scalar] | None:
    """Return the scalars of a text that are no keys, in order; None: the text is no YAML with keys and values."""
    try:
        found = list(_scalars(text))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return None if any(not each.keys for each in found) else found


def _index(mark: object) -> int:
    assert isinstance(mark, yaml.Mark)  # noqa: S101  (the pure-Python loader makes no other)
    return mark.index


@dataclass(slots=True)
class _Mapping:
    """An open mapping, or a sequence. `key` is the latest key. `awaits_key`: the next node is a key."""

    key: str | None
    awaits_key: bool


def _scalars(text: str) -> Iterator[Scalar]:
    around: list[_Mapping] = []
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("aliases (*) are not allowed")
        if isinstance(event, yaml.CollectionEndEvent):
            around.pop()
        elif isinstance(event, yaml.NodeEvent):
            inner = around[-1] if around else None
            is_key = inner is not None and inner.awaits_key
            if isinstance(event, yaml.ScalarEvent) and not is_key:
                keys = tuple(each.key for each in around if each.key is not None)
                yield Scalar(keys, event.value, _index(event.start_mark), _index(event.end_mark))
            if inner is not None and inner.key is not None:
                inner.awaits_key = not inner.awaits_key
            if inner is not None and is_key:
                inner.key = event.value if isinstance(event, yaml.ScalarEvent) else "?"
            if isinstance(event, yaml.MappingStartEvent):
                around.append(_Mapping("", awaits_key=True))
            elif isinstance(event, yaml.SequenceStartEvent):
                around.append(_Mapping(None, awaits_key=False))
