"""What a setup is going to write: the new config beside the one before, and how it is shown. Pure, but for reading."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.config.account import Account
from daemon.config.bundle_places import MODELS
from daemon.config.node import Config
from daemon.config.problems import problems_by_line
from daemon.config.redacted import redacted
from daemon.core.document import MAX_DOCUMENT_BYTES, parse_document
from daemon.core.errors import DocumentError, Refused
from daemon.core.files import read_bounded
from daemon.setup.choices import Choices, Values, is_demo, lost_keys, merged, values_of
from daemon.setup.config_text import config_text, is_own_text

# beside the program: every key with its default
ALL_KEYS = MODELS.parent / "config.yaml"


@dataclass(frozen=True, slots=True)
class Before:
    """The config that is there. `config` is None where it only plays the demo: it has nothing to offer or to lose."""

    text: str
    config: Config | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A config to be written. `before` is the text of the config that is there.

    `is_new`: there is none, or it only plays the demo. `lost` are the keys of before that the new config has no longer.
    """

    choices: Choices
    config: Config
    text: str
    lost: list[str]
    lost_comments: bool
    before: str | None
    is_new: bool

    @property
    def has_changes(self) -> bool:
        """Return whether there is anything to write."""
        return self.text != self.before or self.choices.password is not None

    def lines(self) -> Iterator[str]:
        """Yield what is going to change, without passwords: the config, or its differences from the one before."""
        shown = redacted(self.text).splitlines()
        if self.is_new or self.before is None:
            yield from shown
        else:
            yield from difflib.unified_diff(
                redacted(self.before).splitlines(), shown, "before", "new", n=1, lineterm=""
            )

    def losses(self) -> Iterator[str]:
        """Yield what the config before had and the new one has not."""
        if self.lost:
            yield f"These keys of the config before are not in the new one: {', '.join(self.lost)}."
        if self.lost_comments:
            yield "Somebody has written the config before by hand. Its comments are not in the new one."


def read_before(path: Path) -> Before | None:
    """Return the config that is there, which may be the small file of a person; None: there is none. Raises Refused."""
    try:
        raw = read_bounded(path, MAX_DOCUMENT_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror or error}; run: sudo perceptd setup") from error
    try:
        config = parse_document(path, raw, Account).document
    except DocumentError as error:
        raise Refused(
            f"{error}\nThis config cannot be read, so setup would lose what it says. Correct it, or move it away:\n"
            f"  mv {path} {path}.old"
        ) from error
    return Before(raw.decode(), None if is_demo(values_of(config)) else config)


def new_plan(path: Path, before: Before | None, choices: Choices, bundle: str) -> Plan:
    """Return what is written for these choices; `bundle` is the directory of their bundle.

    Raises DocumentError where they do not fit each other.
    """
    old: Values = {} if before is None or before.config is None else values_of(before.config)
    values = merged(old, replace(choices, bundle=bundle))
    text = config_text(values, str(ALL_KEYS))
    try:
        config = parse_document(path, text.encode(), Config).document
    except DocumentError as error:
        # nobody has seen the lines of this text
        raise DocumentError([each["text"] for each in problems_by_line(path, error.problems)]) from error
    is_new = before is None or before.config is None
    by_hand = before is not None and not is_new and not is_own_text(before.text)
    return Plan(choices, config, text, lost_keys(old, values), by_hand, None if before is None else before.text, is_new)
