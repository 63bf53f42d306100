"""The schema of `history:` in config.yaml: which events are kept on the device, with what, and for how long."""

from typing import Annotated, Literal

from pydantic import Field

from daemon.bundle.encoder_specs import Number
from daemon.core.document import StrictModel

Around = Annotated[Number, Field(ge=0, le=10)]


class HistoryConfig(StrictModel):
    """What is kept of events. The oldest events go first when there are too many, or when they are too old.

    `before_s` and `after_s` are the seconds of a clip before its event starts and after it ends. `excluded` labels are
    not kept. `speech: drop` keeps no sound of a clip during which `speech` was recognised. `publish_snapshots` sends
    the latest snapshot of each stream to the broker.
    """

    quota_mb: Annotated[Number, Field(ge=10, le=10_000_000)] = 2000.0
    max_age_days: Annotated[Number, Field(ge=0.01, le=3650)] = 14.0
    before_s: Around = 5.0
    after_s: Around = 5.0
    excluded: Annotated[list[str], Field(alias="except", max_length=1000)] = []
    speech: Literal["keep", "drop"] = "keep"
    publish_snapshots: bool = False
