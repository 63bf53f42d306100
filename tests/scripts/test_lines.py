"""Lines for training: the digit lies within the bytes that are read, and the parts share no held-out word."""

import re

import numpy as np
import pytest
from training import vocabulary
from training.lines import make_lines, to_ids
from training.specs import NONE, TEXT_LENGTH
from training.typing_errors import is_clear, is_near_digit, plain

from daemon.encoders.text import byte_ids


def test_a_figure_lies_within_the_bytes_that_are_read() -> None:
    lines, labels = make_lines(2000, np.random.default_rng(1), "train")
    for line, label in zip(lines, labels, strict=True):
        figures = re.findall(r"\d", line)
        if label != NONE and figures:
            read = line.encode()[:TEXT_LENGTH].decode(errors="ignore")
            assert [int(figure) for figure in figures] == [label]
            assert figures[0] in read


def test_lines_become_the_same_ids_as_in_the_daemon() -> None:
    lines, _ = make_lines(200, np.random.default_rng(2), "dev")
    assert np.array_equal(to_ids(lines), np.concatenate([byte_ids(line, TEXT_LENGTH) for line in lines]))


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "zh"])
def test_parts_share_no_phrase_and_only_words_near_to_a_digit(language: str) -> None:
    parts = [vocabulary.phrases(language, part, digit=True) for part in ("train", "dev", "test")]
    assert all(parts)
    assert len(set().union(*parts)) == sum(len(set(part)) for part in parts)
    train, dev = (set(vocabulary.slots(language, part)["t"]) for part in ("train", "dev"))
    assert all(is_near_digit(plain(word)) for word in train & dev)


@pytest.mark.parametrize(("word", "digit", "clear"), [("sevn", 7, True), ("tow", 2, False), ("fire", 5, False)])
def test_a_mistyped_digit_that_is_another_word_is_not_clear(word: str, digit: int, clear: bool) -> None:
    assert is_clear(word, digit) is clear
