"""Loads YAML documents into pydantic models; reports each mistake with file, line, key, value and what was expected."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from daemon.core.errors import DocumentError
from daemon.core.text import clean, redact, redact_url

# a config or manifest has a few kilobytes
MAX_DOCUMENT_BYTES = 1_000_000

# of a value in a message
MAX_VALUE_CHARS = 60

Key = tuple[str | int, ...]


class StrictModel(BaseModel):
    """Base of every schema: frozen, without type conversions; unknown keys are an error."""

    # most of a process's schemas are never used in it: each is built when it is used first
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, defer_build=True)


ModelT = TypeVar("ModelT", bound=StrictModel)


@dataclass(frozen=True)
class Loaded(Generic[ModelT]):
    """A valid document, and the line of each of its keys."""

    path: Path
    document: ModelT
    lines: Mapping[Key, int]

    def where(self, *key: str | int) -> str:
        """Return file, line and key, for a problem that appears only when the document is used."""
        return f"{self.path}:{_nearest_line(self.lines, key)}: {_shown_key(key)}"


def load_document(path: Path, model: type[ModelT]) -> Loaded[ModelT]:
    """Read and validate a file. Raises DocumentError with every problem found."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_DOCUMENT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DocumentError([f"{path}: cannot be read: {reason}"]) from error
    return parse_document(path, raw, model)


def parse_document(path: Path, raw: bytes, model: type[ModelT]) -> Loaded[ModelT]:
    """Validate the content of a file, of which at most `MAX_DOCUMENT_BYTES` + 1 were read. Raises DocumentError."""
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise DocumentError([f"{path}: larger than {MAX_DOCUMENT_BYTES} bytes"])
    try:
        value, lines = _parse(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DocumentError([f"{path}: not UTF-8 at byte {error.start}"]) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DocumentError([f"{path}:{line}: {_yaml_problem(error)}"]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DocumentError([f"{path}: not YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(value, dict):
        raise DocumentError([f"{path}:1: expected keys and values, found {_shown(value)}"])
    return Loaded(path, _validated(path, value, lines, model), lines)


def validate_like(loaded: Loaded[Any], value: dict[str, Any], model: type[ModelT]) -> ModelT:
    """Validate a document that was made of `loaded`, with equal keys. Raises DocumentError, with its lines."""
    return _validated(loaded.path, value, loaded.lines, model)


def problem_at(message: str, *key: str) -> ValidationError:
    """Return an error for a validator of a whole model to raise: a problem of one key in it."""
    problem = PydanticCustomError("problem", "{message}", {"message": message})
    return ValidationError.from_exception_data("document", [InitErrorDetails(type=problem, loc=key, input=None)])


def validator_text(problem: ErrorDetails) -> str:
    """Return the message of one validation problem, without pydantic's prefix for the ValueError of a validator."""
    return problem["msg"].removeprefix("Value error, ")


def expected_text(problem: ErrorDetails) -> str:
    """Return what a value is expected to be, from one validation problem."""
    text = validator_text(problem)
    return (text[0].lower() + text[1:]).replace("input should be", "expected")


def _validated(path: Path, value: dict[str, Any], lines: Mapping[Key, int], model: type[ModelT]) -> ModelT:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=True)
        raise DocumentError([_explain(path, problem, value, lines, model) for problem in problems]) from error


class _Loader(yaml.SafeLoader):
    """YAML's safe loader without aliases: a few lines of them can expand to gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases (*) are not allowed", problem_mark=_mark(event))
        return super().compose_node(parent, index)


def _yaml_problem(error: yaml.MarkedYAMLError) -> str:
    """Return YAML's message with a hint at the usual cause."""
    problem = error.problem or "not YAML"
    if "'\\t'" in problem:
        return "found a tab; YAML is indented with spaces"
    if "mapping values are not allowed" in problem:
        return f"{problem}; is this line indented like the lines around it?"
    if error.context_mark is not None and error.context:
        return f"{problem} ({error.context} that began on line {error.context_mark.line + 1})"
    return problem


def _mark(event: yaml.Event) -> yaml.Mark:
    mark = event.start_mark
    assert isinstance(mark, yaml.Mark)  # noqa: S101  (the pure-Python loader makes no other)
    return mark


def _parse(text: str) -> tuple[Any, dict[Key, int]]:
    """Return the value of the document and the line of each key."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines: dict[Key, int] = {(): 1}
        if node is not None:
            _collect_lines(node, (), lines)
        return (loader.construct_document(node) if node is not None else {}), lines
    finally:
        loader.dispose()


def _collect_lines(node: yaml.Node, key: Key, lines: dict[Key, int]) -> None:
    """Add the lines of a node's keys. Raises MarkedYAMLError for a repeated key, of which YAML would keep the last."""
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            inner = (*key, str(name.value))
            if inner in lines:
                problem = f"key '{name.value}' appears twice (first on line {lines[inner]})"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=name.start_mark)
            lines[inner] = name.start_mark.line + 1
            _collect_lines(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            inner = (*key, index)
            lines[inner] = value.start_mark.line + 1
            _collect_lines(value, inner, lines)


def _explain(path: Path, problem: ErrorDetails, value: Any, lines: Mapping[Key, int], model: type[StrictModel]) -> str:
    """Return one validation problem as text, with file, line, key and value."""
    location, found, is_present = _locate(problem, value)
    line = _nearest_line(lines, location)
    key = _shown_key(location) or "(the whole document)"
    if problem["type"] == "extra_forbidden":
        valid = _valid_keys(model, problem["loc"][:-1])
        near = difflib.get_close_matches(str(location[-1]), valid, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"valid keys: {', '.join(valid)}"
        return f"{path}:{line}: {key}: unknown key; {hint}"
    if location and location[-1] == "[key]":
        name = _shown_key(location[:-1])
        if problem["type"] != "string_type":
            return f"{path}:{line}: {name}: {validator_text(problem)}"
        return f"{path}:{line}: {name}: a name must be a text; put a number, yes or no in quotes"
    if problem["type"] == "missing":
        return f"{path}:{line}: {key}: is missing"
    expected = expected_text(problem)
    if problem["type"] == "string_type" and isinstance(found, (bool, int, float)):
        expected += "; put it in quotes"
    shown = ""
    if is_present and not isinstance(found, dict):
        shown = f" = {'(hidden)' if 'password' in key else _shown(found)}"
    return f"{path}:{line}: {key}{shown}: {expected}"


def _shown_key(key: Key) -> str:
    """Return a key as it is shown: a document of somebody else may have keys of any length and with any characters."""
    return ".".join(clean(str(part)) for part in key)


def _nearest_line(lines: Mapping[Key, int], key: Key) -> int:
    """Return the line of the key, or of the nearest part of the document around it."""
    return next(lines[key[:n]] for n in range(len(key), -1, -1) if key[:n] in lines)


def _locate(problem: ErrorDetails, value: Any) -> tuple[Key, Any, bool]:
    """Return the key in the document, its value, and whether it is present.

    Pydantic's location also contains names of union members; they are left out.
    """
    location, key = problem["loc"], list[int | str]()
    # a member of a union that is wrong as a whole: the location ends with its name
    ends_with_name = problem["type"] == "value_error" and "[key]" not in location
    for position, part in enumerate(location):
        in_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if in_list or (isinstance(value, dict) and part in value):
            value = value[part]
        elif isinstance(value, dict) and position == len(location) - 1 and not ends_with_name:
            return (*key, part), None, False
        else:
            continue
        key.append(part)
    return tuple(key), value, True


def _valid_keys(model: type[StrictModel], location: Key) -> list[str]:
    """Return the keys that the schema allows at `location`, which also has the tags of unions."""
    current: Any = model
    for part in location:
        current = _member(current, part)
    chosen = next(_models_in(current), None)
    return sorted(_fields(chosen)) if chosen is not None else []


def _member(annotation: Any, part: str | int) -> Any:
    models = list(_models_in(annotation))
    if len(models) > 1 and (tagged := next((each for each in models if _has_tag(each, part)), None)) is not None:
        return tagged
    if not models:
        container = next(_containers_in(annotation), None)
        return None if container is None else container.__args__[-1]
    field = _fields(models[0]).get(str(part))
    # without a field it is the name of the model itself in a union of the model and something else
    return field.annotation if field else models[0]


def _fields(model: Any) -> dict[str, Any]:
    """Return the fields of a model by their keys in a document."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _has_tag(model: Any, part: str | int) -> bool:
    """Return whether a member of a union is the one with this tag: the only value of one of its keys."""
    return any(getattr(field.annotation, "__args__", ()) == (part,) for field in model.model_fields.values())


def _models_in(annotation: Any) -> Iterator[Any]:
    """Yield the models that a value of this type may be; models inside of dict, list and tuple are left out."""
    if _is_model(annotation):
        yield annotation
    elif not _is_container(annotation):
        for option in getattr(annotation, "__args__", ()):
            yield from _models_in(option)


def _containers_in(annotation: Any) -> Iterator[Any]:
    """Yield the types of dict, list and tuple that a value of this type may be."""
    if _is_container(annotation):
        yield annotation
    else:
        for option in getattr(annotation, "__args__", ()):
            yield from _containers_in(option)


def _is_container(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) in (dict, list, tuple)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, StrictModel)


def _shown(value: Any) -> str:
    text = repr(redact_url(value)) if isinstance(value, str) else redact(repr(value))
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 3] + "..."
