"""The schema of thresholds: the scores at which an event starts and ends. No I/O."""

from typing import Annotated

from pydantic import Field, model_validator

from daemon.bundle.encoder_specs import Number
from daemon.core.document import StrictModel


class Threshold(StrictModel):
    """An event starts when the smoothed score reaches `start` and ends when it falls below `end`."""

    start: Annotated[Number, Field(gt=0, le=1)]
    end: Annotated[Number, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _check_order(self) -> "Threshold":
        if self.end > self.start:
            raise ValueError("end must not be above start")
        return self


class Thresholds(StrictModel):
    """The default thresholds, and those of single labels."""

    default: Threshold = Threshold(start=0.7, end=0.4)
    labels: dict[str, Threshold] = {}

    def of(self, label: str) -> Threshold:
        """Return the thresholds of one label."""
        return self.labels.get(label, self.default)
