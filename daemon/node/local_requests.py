"""The requests on the local socket: which there are, their arguments, and what answers them."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from daemon.core.document import StrictModel, expected_text
from daemon.core.errors import LocalError
from daemon.core.text import clean
from daemon.node.local_arguments import (
    CommandArguments,
    EventArguments,
    ExampleArguments,
    FileArguments,
    JudgeArguments,
    KeepArguments,
    ListArguments,
    LogArguments,
    NoArguments,
    PictureArguments,
    TextArguments,
)
from daemon.node.local_history import LocalHistory
from daemon.node.local_node import LocalMachine, LocalNode
from daemon.runtime.local import Answer


@dataclass(frozen=True, slots=True)
class Handler:
    """What answers one kind of request."""

    arguments: type[StrictModel]
    answer: Callable[[Any, threading.Event], Answer]


def handlers(node: LocalNode, machine: LocalMachine, history: LocalHistory) -> Mapping[str, Handler]:
    """Return what answers each kind of request, but for `follow`."""
    return {
        "command": Handler(CommandArguments, node.command),
        "describe": Handler(NoArguments, node.describe),
        "topics": Handler(NoArguments, node.topics),
        "picture": Handler(PictureArguments, node.picture),
        "history_days": Handler(NoArguments, history.days),
        "history_list": Handler(ListArguments, history.events),
        "history_show": Handler(EventArguments, history.show),
        "history_file": Handler(FileArguments, history.file),
        "history_keep": Handler(KeepArguments, history.keep),
        "history_delete": Handler(EventArguments, history.delete),
        "judge": Handler(JudgeArguments, history.judge),
        "example_file": Handler(ExampleArguments, node.example),
        "config": Handler(NoArguments, machine.config),
        "config_check": Handler(TextArguments, machine.check),
        "reload": Handler(NoArguments, machine.reload),
        "log": Handler(LogArguments, machine.log),
        "doctor": Handler(NoArguments, machine.doctor),
    }


class LocalRequests:
    """Checks requests, and hands them to what answers them. Implements Requests of the server."""

    def __init__(self, table: Mapping[str, Handler]) -> None:
        self._table = table

    def answer(self, content: dict[str, Any], stop: threading.Event) -> Answer:
        """Return the answer to a request. Raises LocalError when it is refused."""
        do = content.pop("do", None)
        handler = self._table.get(do) if isinstance(do, str) else None
        if handler is None:
            known = ", ".join(["follow", *self._table])
            raise LocalError("refused", f"unknown request {clean(str(do))!r}; there are {known}")
        try:
            arguments = handler.arguments.model_validate(content)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
            field = ".".join(clean(str(part)) for part in problem["loc"])
            raise LocalError("refused", f"{do}: {field + ': ' if field else ''}{expected_text(problem)}") from error
        return handler.answer(arguments, stop)
