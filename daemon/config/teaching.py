"""The schema of `teaching:` in config.yaml: what is kept of examples, and when a taught label may be wrong."""

from typing import Annotated, Literal

from pydantic import Field

from daemon.bundle.encoder_specs import Number
from daemon.core.document import StrictModel


class TeachingConfig(StrictModel):
    """Whether labels can be taught, what of an example is kept, and what happens at an update of the bundle.

    `pictures` and `sounds` say whether an example keeps its picture and its sound. `false_alarms_a_day` is how often a
    taught label may start an event wrongly. `on_update: keep` lets an update wait when the labels cannot be fitted onto
    it; `drop` installs it without them.
    """

    enabled: bool = True
    pictures: bool = True
    sounds: bool = True
    false_alarms_a_day: Annotated[Number, Field(ge=0.01, le=1000)] = 1.0
    on_update: Literal["keep", "drop"] = "keep"
