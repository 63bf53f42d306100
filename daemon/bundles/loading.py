"""Loads a bundle, whatever it does meanwhile."""

import logging
from collections.abc import Callable
from typing import TypeVar

from daemon.errors import Refused, UpdateError

Loaded = TypeVar("Loaded")
log = logging.getLogger(__name__)


def loaded(load: Callable[[], Loaded]) -> Loaded:
    """What loading gives. Raises UpdateError of kind bundle, where anything goes wrong."""
    try:
        return load()
    except Refused as error:
        raise UpdateError("bundle", str(error)) from error
    except MemoryError as error:
        raise UpdateError("memory", "there is too little memory to load it") from error
    except Exception as error:
        log.exception("a bundle could not be loaded")
        raise UpdateError("bundle", f"cannot be loaded: {type(error).__name__}: {error}") from error
