"""Requests on the local socket about the running node: what it is, what it publishes, sees, logs and was taught."""

import threading
from collections.abc import Mapping
from pathlib import Path

from daemon.config.node import Config, load_config, teaching_database
from daemon.config.problems import problems_by_line
from daemon.config.redacted import redacted
from daemon.core.document import MAX_DOCUMENT_BYTES
from daemon.core.errors import DocumentError, InputError, LocalError, TeachingError
from daemon.core.files import read_bounded
from daemon.core.logs import LogLine
from daemon.core.sealed import sealed_memory
from daemon.core.timing import wall_time_of
from daemon.mqtt.session import Session
from daemon.node.active_bundle import ActiveBundle
from daemon.node.local_arguments import (
    CommandArguments,
    ExampleArguments,
    LogArguments,
    PictureArguments,
    TextArguments,
)
from daemon.node.local_children import LocalChildren
from daemon.node.local_commands import LocalCommands
from daemon.node.local_description import description, picture_of
from daemon.node.local_following import json_object
from daemon.node.local_host import LocalHost
from daemon.node.stop_request import StopRequest
from daemon.node.stream import Stream
from daemon.runtime.local import Answer
from daemon.teaching.store import TeachingStore


class LocalNode:
    """Answers about one node. Callable from any thread; methods raise LocalError."""

    def __init__(
        self,
        config: Config,
        state: Path,
        streams: Mapping[str, Stream],
        active: ActiveBundle,
        session: Session,
        commands: LocalCommands,
    ) -> None:
        """`state` is the state directory."""
        self._config, self._state = config, state
        self._streams, self._active, self._session = streams, active, session
        self._commands = commands

    def describe(self, _arguments: object, _stop: threading.Event) -> Answer:
        """Return what the page needs to know of the node."""
        return Answer(description(self._config, self._active.recogniser.bundle.manifest))

    def topics(self, _arguments: object, _stop: threading.Event) -> Answer:
        """Return the latest retained payloads, whether or not there is a broker."""
        found = {topic: json_object(payload) for topic, payload in self._session.retained().items()}
        return Answer({"topics": {topic: content for topic, content in found.items() if content is not None}})

    def command(self, arguments: CommandArguments, stop: threading.Event) -> Answer:
        """Return the answer to a command."""
        answer = self._commands.obey(arguments.name, arguments.arguments, stop)
        return Answer({"answer": answer.model_dump(mode="json", by_alias=True)})

    def picture(self, arguments: PictureArguments, _stop: threading.Event) -> Answer:
        """Return a picture of a stream, newer than the one that was seen."""
        stream = self._streams.get(arguments.stream)
        if stream is None:
            raise LocalError("refused", f"no stream {arguments.stream[:64]!r}; there are {', '.join(self._streams)}")
        self._check_open(stream)
        try:
            picture = stream.watching.preview.picture(arguments.after, arguments.width)
        except InputError as error:
            raise LocalError("refused", str(error)) from error
        self._check_open(stream)
        if picture is None:
            return Answer({"sequence": arguments.after})
        result = {
            "sequence": picture.sequence,
            "time": picture.time,
            "width": picture.width,
            "height": picture.height,
            "masked": bool(picture_of(self._config.streams[stream.name]).masks),
        }
        return Answer(result, sealed_memory(picture.jpeg))

    def example(self, arguments: ExampleArguments, _stop: threading.Event) -> Answer:
        """Return the picture or the sound of an example."""
        try:
            store = TeachingStore(teaching_database(self._state), read_only=True)
            try:
                example = store.example(arguments.example)
            finally:
                store.close()
        except TeachingError as error:
            raise LocalError("refused", str(error)) from error
        is_picture = arguments.file == "picture"
        content = example.picture if is_picture else example.sound
        if content is None:
            raise LocalError("refused", f"example {arguments.example[:64]} has no {arguments.file}")
        return Answer({"media_type": "image/jpeg" if is_picture else "audio/wav"}, sealed_memory(content))

    def _check_open(self, stream: Stream) -> None:
        if "image" not in self._config.streams[stream.name].senses:
            raise LocalError("refused", f"stream {stream.name} has no camera")
        if stream.is_camera_closed:
            raise LocalError("refused", f"the camera of stream {stream.name} is closed")


class LocalMachine:
    """Answers about the process and its config. Callable from any thread; methods raise LocalError."""

    def __init__(self, host: LocalHost, stop: StopRequest) -> None:
        self._host, self._stop = host, stop
        self._children = LocalChildren(host)

    def log(self, arguments: LogArguments, _stop: threading.Event) -> Answer:
        """Return the latest lines of the log."""
        return Answer({"lines": [_line_json(line) for line in self._host.log.lines(arguments.after)]})

    def config(self, _arguments: object, _stop: threading.Event) -> Answer:
        """Return the config as the file has it now, without its secrets, and what is wrong with it."""
        path = Path(self._host.options.path)
        try:
            text = read_bounded(path, MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise LocalError("refused", f"{path}: {error.strerror or error}") from error
        try:
            load_config(path, text)
            problems = []
        except DocumentError as error:
            problems = problems_by_line(path, error.problems)
        shown = redacted(text.decode("utf-8", "replace"))
        return Answer({"path": str(path.absolute()), "text": shown, "problems": problems})

    def check(self, arguments: TextArguments, stop: threading.Event) -> Answer:
        """Return what is wrong with the text of a config, as a start finds it."""
        return Answer({"problems": self._children.check(arguments.text, stop)})

    def reload(self, _arguments: object, _stop: threading.Event) -> Answer:
        """Read the config again, as SIGHUP does."""
        self._stop.ask_reload()
        return Answer({})

    def doctor(self, _arguments: object, stop: threading.Event) -> Answer:
        """Return the report of doctor."""
        return Answer({"report": self._children.doctor(stop)})


def _line_json(line: LogLine) -> dict[str, object]:
    return {
        "number": line.number,
        "time": wall_time_of(line.time_s),
        "level": line.level,
        "module": line.module,
        "text": line.text,
    }
