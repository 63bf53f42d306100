"""Commands over MQTT: which there are, their arguments, and where the answer goes. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from daemon.bundle.encoder_specs import Name as BundleName
from daemon.bundle.encoder_specs import Number
from daemon.bundle.manifest import Version
from daemon.bundle.taught import taught_name
from daemon.core.document import StrictModel, expected_text
from daemon.core.text import clean
from daemon.core.timing import monotonic_ns, wall_time
from daemon.mqtt.payloads import Name, Payload, Time
from daemon.mqtt.send_queue import Outbound

MAX_COMMAND_BYTES = 4096
MAX_CORRELATION_BYTES = 1024
MAX_RESPONSE_TOPIC = 256
MAX_NAME = 64

# An empty payload is what clears a retained message. A broker hands it on like any other message.
EMPTY = "the payload is empty, which clears a retained message; send {} for a command without arguments"


TaughtName = Annotated[str, Field(max_length=256), AfterValidator(taught_name)]


class Arguments(StrictModel):
    """The payload of a command: a JSON object. An empty payload is no command."""


class StreamArguments(Arguments, title="OfStream"):
    """The stream to change; without a name, all streams."""

    stream: Name | None = None


class DeviceArguments(Arguments, title="OfDevice"):
    """Whether to open or close the camera or microphone of a stream."""

    stream: Name
    on: bool


class LogLevelArguments(Arguments, title="OfLogLevel"):
    """The lowest level that is logged."""

    level: Literal["debug", "info", "warning", "error"]


class InstallArguments(Arguments, title="OfInstall"):
    """The bundle to install; without a version the latest, without a name the active bundle's."""

    name: BundleName | None = None
    version: Version | None = None


class PinArguments(Arguments, title="OfPin"):
    """Whether the active bundle stays until somebody asks for another."""

    on: bool


class TeachArguments(Arguments, title="OfTeach"):
    """What has just happened, or is happening: its label, and the stream in which it is seen or heard.

    Without a label, that of the latest `teach_label`; without a stream, the only one of the node. The example begins
    `ago_s` + `seconds` - 1 before the command and lasts `seconds`. `everywhere` gives the label to all streams.
    """

    label: TaughtName | None = None
    stream: Name | None = None
    seconds: Annotated[Number, Field(ge=1, le=5)] = 5.0
    ago_s: Annotated[Number, Field(ge=0, le=10)] = 0.0
    everywhere: bool = False


class TeachLabelArguments(Arguments, title="OfTeachLabel"):
    """The label of the next command `teach` that names none."""

    label: TaughtName


class TeachWrongArguments(Arguments, title="OfTeachWrong"):
    """The event that was wrong, by its id; without one, the latest event of a taught label, in this stream if given."""

    event: Name | None = None
    stream: Name | None = None


class TeachAnswerArguments(Arguments, title="OfTeachAnswer"):
    """The answer to a question: `right`, `wrong`, or `was` with a label. Without an id it answers the open question.

    `right` and `wrong` are about what the node did: it recognised the label, or it did not. With the id of an `event`
    it says the same of that event, about which the node need not have asked.
    """

    question: Name | None = None
    event: Name | None = None
    answer: Literal["right", "wrong", "was"]
    label: TaughtName | None = None


class TeachRemoveArguments(Arguments, title="OfTeachRemove"):
    """The example to remove, by its id."""

    example: Name


class TeachForgetArguments(Arguments, title="OfTeachForget"):
    """The taught label to remove, with all its examples."""

    label: TaughtName


class TeachReportArguments(Arguments, title="OfTeachReport"):
    """The taught label to report on; without one, all."""

    label: TaughtName | None = None


class NoArguments(Arguments, title="OfNothing"):
    """A command that takes no arguments."""


ARGUMENTS: dict[str, type[Arguments]] = {
    "pause": StreamArguments,
    "resume": StreamArguments,
    "mute": StreamArguments,
    "unmute": StreamArguments,
    "camera": DeviceArguments,
    "microphone": DeviceArguments,
    "log_level": LogLevelArguments,
    "describe": NoArguments,
    "models_check": NoArguments,
    "models_install": InstallArguments,
    "models_rollback": NoArguments,
    "models_pin": PinArguments,
    "teach": TeachArguments,
    "teach_label": TeachLabelArguments,
    "teach_missed": TeachArguments,
    "teach_wrong": TeachWrongArguments,
    "teach_answer": TeachAnswerArguments,
    "teach_list": NoArguments,
    "teach_remove": TeachRemoveArguments,
    "teach_forget": TeachForgetArguments,
    "teach_fit": NoArguments,
    "teach_report": TeachReportArguments,
    "teach_undo": NoArguments,
}


class AnswerPayload(Payload):
    """The answer to a command: done, or refused and why. `result` is that of `describe` and of commands to teach."""

    command: Name
    ok: bool
    reason: str | None = None
    time: Time
    result: dict[str, Any] | None = None


class Reply(Protocol):
    """Takes the answer to a command that came from this machine, and not over MQTT."""

    def take(self, answer: AnswerPayload) -> None:
        """Take the answer, on any thread. Never blocks."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command as it was received, and where its sender wants the answer (MQTT 5). `name` is printable and short.

    `reply` takes the answer to a command that came from this machine; None: it came over MQTT.
    """

    name: str
    payload: bytes
    response_topic: str | None = None
    correlation: bytes | None = None
    reply: Reply | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it is no command, because its payload is empty or blank."""
        return not self.payload.strip()


def answer_to(
    command: str, *, ok: bool, reason: str | None = None, result: dict[str, Any] | None = None
) -> AnswerPayload:
    """Return the answer to a command, with the present time. A long name is shortened."""
    return AnswerPayload(
        command=command[:MAX_NAME], ok=ok, reason=reason, time=wall_time(monotonic_ns()), result=result
    )


class CommandSink(Protocol):
    """Takes the commands that a session receives, and answers each with `Session.publish_answer`."""

    def take(self, request: Request) -> None:
        """Take one command. Called on the MQTT thread: never blocks and never waits for a disk."""


class InvalidCommand(ValueError):
    """A command that cannot be obeyed; the message is the reason in the answer."""


class TeachingSink(Protocol):
    """Takes the commands to teach, and answers each once the disk has it."""

    def take(self, request: Request, arguments: Arguments) -> None:
        """Take one command; never waits for a disk. Raises InvalidCommand when it is refused at once."""


def parse_arguments(request: Request) -> Arguments:
    """Return the arguments of a command. Raises InvalidCommand."""
    model = ARGUMENTS.get(request.name)
    if model is None:
        raise InvalidCommand(f"unknown command; the commands are {', '.join(ARGUMENTS)}")
    if request.is_empty:
        raise InvalidCommand(EMPTY)
    if len(request.payload) > MAX_COMMAND_BYTES:
        raise InvalidCommand(f"the payload has {len(request.payload)} bytes; at most {MAX_COMMAND_BYTES} are accepted")
    try:
        return model.model_validate_json(request.payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise InvalidCommand(_problem_text(first, model)) from error


def _problem_text(problem: ErrorDetails, model: type[Arguments]) -> str:
    """Return what is wrong with the arguments of a command, and what is expected."""
    field = ".".join(str(level) for level in problem["loc"])
    if problem["type"] == "json_invalid":
        return f"the payload is no JSON: {problem['msg'].removeprefix('Invalid JSON: ')}"
    if problem["type"] == "missing":
        return f"{field}: is missing"
    if problem["type"] == "extra_forbidden":
        valid = ", ".join(model.model_fields)
        expected = f"expected: {valid}" if valid else "this command takes none"
        return f"{clean(field, MAX_NAME)}: unknown argument; {expected}"
    return f"{field or 'the payload'}: {expected_text(problem)}"


def answer_message(request: Request, answer: AnswerPayload, base: str, reserved: Collection[str]) -> Outbound:
    """Return the message that answers a command. For `base` and `reserved` see `answer_topic`."""
    correlation = (request.correlation or b"")[:MAX_CORRELATION_BYTES] or None
    topic = answer_topic(request, base, reserved)
    return Outbound(topic, answer.to_json(), qos=1, correlation=correlation, counted_as="answer")


def answer_topic(request: Request, base: str, reserved: Collection[str]) -> str:
    """Return the sender's response topic, or else the command's own result topic under `base`.

    Response topics whose first level is in `reserved` or begins with `$` are not used.
    A sender of commands may have no right to publish there, and the daemon does not lend its rights.
    """
    requested = request.response_topic
    if (
        requested
        and len(requested) <= MAX_RESPONSE_TOPIC
        and requested.isprintable()
        and not set(requested) & set("+#")
    ):
        first_level = requested.split("/")[0]
        if first_level not in reserved and not first_level.startswith("$"):
            return requested
    return f"{base}command/{request.name}/result"
