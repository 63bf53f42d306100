"""The arguments of the requests on the local socket."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from daemon.bundle.taught import taught_name
from daemon.core.document import StrictModel
from daemon.history.records import Verdict
from daemon.mqtt.payloads import Name

MAX_TEXT_CHARS = 256 * 1024


class NoArguments(StrictModel):
    """A request without arguments."""


class CommandArguments(StrictModel):
    """A command as over MQTT, and its arguments."""

    name: Name
    arguments: dict[str, Any] = {}


class PictureArguments(StrictModel):
    """The stream, the number of the latest picture that was seen, and how wide the next one is to be."""

    stream: Name
    after: Annotated[int, Field(ge=0)] = 0
    width: Annotated[int, Field(ge=16, le=1920)] = 640


class ListArguments(StrictModel):
    """Which kept events. `before` is the number of the last one on the page before."""

    day: Annotated[str, Field(max_length=10)] | None = None
    stream: Name | None = None
    label: Name | None = None
    before: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class EventArguments(StrictModel):
    """A kept event, by its id."""

    event: Name


class FileArguments(EventArguments):
    """A file of a kept event."""

    file: Literal["snapshot", "clip"]


class KeepArguments(EventArguments):
    """Whether an event stays whatever the quota."""

    on: bool


class JudgeArguments(EventArguments):
    """What a person says of an event: it was right, wrong, or another label."""

    answer: Verdict
    label: Annotated[str, Field(max_length=256), AfterValidator(taught_name)] | None = None

    @model_validator(mode="after")
    def _check_label(self) -> "JudgeArguments":
        if (self.answer == "was") != (self.label is not None):
            raise ValueError("expected a label with the answer was, and with no other")
        return self


class ExampleArguments(StrictModel):
    """The picture or the sound of an example."""

    example: Name
    file: Literal["picture", "sound"]


class TextArguments(StrictModel):
    """The text of a config."""

    text: Annotated[str, Field(max_length=MAX_TEXT_CHARS)]


class LogArguments(StrictModel):
    """The number of the latest line that was seen."""

    after: Annotated[int, Field(ge=0)] = 0
