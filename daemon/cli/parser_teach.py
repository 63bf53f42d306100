"""The arguments of `perceptd teach` and its actions."""

import argparse
import textwrap
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from daemon.cli.options import BUNDLE, add_config, add_json, add_node

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

TEACH, PRESS = "teach", "press"
ACTIONS = (
    *(PRESS, "missed", "wrong", "answer", "list", "report", "remove", "forget", "undo", "fit"),
    *("play", "export", "import"),
)

# the actions that a label follows
OF_LABELS = (PRESS, "missed", "report", "forget")

# how alike a label and an action must be for a question whether the action was meant
ALIKE = 0.75

MAX_SECONDS, MAX_AGO_S = 5.0, 10.0

WIDTH = 100

DESCRIPTION = (
    "Teaches a running node an event of your own. Let it happen, and name it within some seconds; do so five times. "
    "The node finds out by itself what the place is like otherwise. docs/teaching.md explains all of it."
)

EXAMPLES = """examples:
  perceptd teach "kettle boils"                          it boils now, or did within the last seconds
  perceptd teach "kettle boils" --stream kitchen         the same, on a node with several streams
  perceptd teach list                                    what was taught, and how well it is recognised
  perceptd teach wrong                                   the latest event of a label of yours was wrong
  perceptd teach missed "kettle boils"                   it has just boiled, and there was no event
  perceptd teach "kettle boils" --files kettle*.wav      from recordings, on this machine
  perceptd teach press list                              a label with the name of an action
"""


def with_action(arguments: Sequence[str]) -> list[str]:
    """Return the command line with `press` in it, where a label follows `teach` instead of an action."""
    first, *rest = arguments or [""]
    if first != TEACH or not rest or rest[0] in (*ACTIONS, "-h", "--help"):
        return list(arguments)
    return [first, PRESS, *rest]


def mistyped(arguments: Sequence[str]) -> str | None:
    """Return what to write instead, where a command line may mean an action and not a label, or lacks quotes."""
    first, *rest = arguments or [""]
    if first != TEACH or not rest or rest[0] in ("-h", "--help"):
        return None
    if rest[0] in ACTIONS:
        return _unquoted(rest)
    if rest[0].startswith("-"):
        found = [each for each in rest if each in ACTIONS]
        return f"write the action first: perceptd teach {found[0]} …" if found else None
    found = get_close_matches(rest[0], ACTIONS, 1, ALIKE)
    if not found:
        return _unquoted(rest)
    return f"did you mean perceptd teach {found[0]}? To teach the label {rest[0]!r}: perceptd teach press {rest[0]}"


def _unquoted(rest: Sequence[str]) -> str | None:
    """Return how to write a label of several words in quotes; None where the words after `teach` have no such label."""
    words = list(takewhile(_is_word, rest))
    if words[0] not in ACTIONS:
        before = 0
    elif words[0] in OF_LABELS:
        before = 1
    else:
        before = 2 if words[:2] == ["answer", "was"] else len(words)
    if len(words) <= before + 1:
        return None
    line = " ".join([*words[:before], f'"{" ".join(words[before:])}"'])
    return f"a label of several words needs quotes: perceptd teach {line}"


def _is_word(argument: str) -> bool:
    return not argument.startswith("-")


def add_teach(commands: "Commands") -> None:
    """Add `teach` and its actions to the commands."""
    teach = commands.add_parser(
        TEACH,
        help="teach a running node an event of your own",
        usage="perceptd teach LABEL [options]\n       perceptd teach ACTION [options]",
        description=textwrap.fill(DESCRIPTION, WIDTH),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = teach.add_subparsers(required=True, metavar="ACTION", prog="perceptd teach")
    _add_press(actions)
    _add_missed(actions)
    _add_corrections(actions)
    _add_questions_about_labels(actions)
    _add_removals(actions)
    _add_local(actions)


def _add_press(actions: "Commands") -> None:
    text = (
        "Makes an example of the last seconds: the label is what happens now. `perceptd teach LABEL` is the same. "
        "Waits until the node knows the label, or says what the node waits for. With --files the examples come "
        "from recordings and pictures, one from each file."
    )
    press = _node_action(actions, PRESS, "the label is what happens now", text)
    _add_moment(press)
    files = press.add_argument_group("from files")
    files.add_argument("--files", nargs="+", type=Path, metavar="FILE", help="sounds and pictures that show the label")
    background = "sounds and pictures of the place in which nothing of it happens"
    files.add_argument("--background", nargs="+", type=Path, default=[], metavar="FILE", help=background)
    bundle = f"the bundle that the node runs, if it is not that of its config: {BUNDLE}"
    files.add_argument("--bundle", metavar="DIR|NAME", help=bundle)
    out = "teach --bundle without a node, and write the taught bundle into this directory"
    files.add_argument("--out", type=Path, metavar="DIR", help=out)
    _add_no_wait(press)
    press.set_defaults(execute=_press)


def _press(options: argparse.Namespace) -> int:
    if options.files is None:
        return _over_mqtt(options)
    from daemon.cli.teach_files import teach_files

    return teach_files(options)


def _add_missed(actions: "Commands") -> None:
    text = "It has just happened, and the node has published no event: makes an example of it."
    missed = _node_action(actions, "missed", "it has just happened, and there was no event", text)
    _add_moment(missed)
    _add_no_wait(missed)


def _add_moment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "label", metavar="LABEL", help='such as "kettle boils"; "garage: open" is a state of the garage'
    )
    parser.add_argument("--stream", metavar="NAME", help="where it is seen or heard (default: the only stream)")
    seconds = f"how long the example is, up to {MAX_SECONDS:g} (default: {MAX_SECONDS:g})"
    parser.add_argument("--seconds", type=_seconds, default=MAX_SECONDS, metavar="N", help=seconds)
    ago = f"how many seconds ago it was, up to {MAX_AGO_S:g} (default: 0)"
    parser.add_argument("--ago", type=_ago, default=0.0, metavar="N", help=ago)
    everywhere = "the label applies to all streams, not only to this one"
    parser.add_argument("--everywhere", action="store_true", help=everywhere)


def _add_corrections(actions: "Commands") -> None:
    text = (
        "Says that an event was wrong. Without an id it is the latest event of a label that was taught. Labels that "
        "the bundle has by itself cannot be unlearnt."
    )
    wrong = _node_action(actions, "wrong", "the latest event was wrong", text)
    wrong.add_argument("event", nargs="?", metavar="ID", help="the id of the event, as in its messages")
    wrong.add_argument("--stream", metavar="NAME", help="the latest event of this stream")
    _add_no_wait(wrong)
    text = (
        "Answers the question that the node asks; `perceptd teach list` shows it. Where an event started, right says "
        "that it was the label. Where none started, right says that the label did not happen, and wrong that it did. "
        "With --event it says the same of an event about which the node has not asked."
    )
    answer = _node_action(actions, "answer", "answer the question of the node", text)
    answer.add_argument("answer", choices=("right", "wrong", "was"), metavar="ANSWER", help="right | wrong | was LABEL")
    answer.add_argument("label", nargs="?", metavar="LABEL", help="after was: what it was")
    answer.add_argument("--question", metavar="ID", help="which question (default: the open one)")
    answer.add_argument("--event", metavar="ID", help="about an event instead, by its id, as in its messages")


def _add_questions_about_labels(actions: "Commands") -> None:
    text = "Shows each label with its state, and all examples with their ids."
    _node_action(actions, "list", "what was taught, and all examples", text)
    text = "Says how well each label is recognised, by what, and what is doubtful about it."
    report = _node_action(actions, "report", "how well the labels are recognised", text)
    report.add_argument("label", nargs="?", metavar="LABEL", help="default: all labels")


def _add_removals(actions: "Commands") -> None:
    text = "Removes one example. undo brings it back within an hour."
    remove = _node_action(actions, "remove", "remove one example", text)
    remove.add_argument("example", metavar="ID", help="the id of the example, as list shows it")
    forget = _node_action(actions, "forget", "remove a label with all its examples", "Nothing brings it back.")
    forget.add_argument("label", metavar="LABEL")
    text = (
        "Undoes the latest example, correction, answer or removal, and says which. Repeated, it undoes the change "
        "before. A press that is undone is erased."
    )
    _node_action(actions, "undo", "undo the latest change", text)
    text = "Computes the weights of all labels again. The node does so by itself after each change."
    _add_no_wait(_node_action(actions, "fit", "fit the labels again", text))


def _add_local(actions: "Commands") -> None:
    owner = "It works on the state directory of this machine: of the service as root, with sudo."
    play = actions.add_parser(
        "play",
        help="show and play an example",
        description=f"Plays the sound of an example, and opens its picture. {owner}",
        epilog="example: sudo perceptd teach play 3f9a1c7e --out /tmp/kettle",
    )
    play.add_argument("example", metavar="ID", help="the id of the example, as list shows it")
    play.add_argument("--out", type=Path, metavar="DIR", help="write its picture and sound into this directory instead")
    export = actions.add_parser(
        "export",
        help="write all examples for another device, or a bundle for repo add",
        description=f"Writes all examples into a new directory, or the taught bundle, which holds no picture and no "
        f"sound. {owner}",
        epilog="example: sudo perceptd teach export --name kettles --version 1.0.0 --out kettles",
    )
    what = export.add_mutually_exclusive_group(required=True)
    what.add_argument("--examples", type=Path, metavar="DIR", help="write all examples into this directory")
    what.add_argument("--name", metavar="NAME", help="write a bundle of this name, for `perceptd repo add`")
    export.add_argument("--version", metavar="VERSION", help="of --name: the version of the bundle, like 1.0.0")
    export.add_argument("--out", type=Path, metavar="DIR", help="of --name: the directory of the bundle")
    everywhere = "of --name: the labels apply to all streams of another node, not only to those of the same names"
    export.add_argument("--everywhere", action="store_true", help=everywhere)
    import_ = actions.add_parser(
        "import",
        help="take the examples of another device",
        description=f"Takes the examples of a directory that `perceptd teach export --examples` has written. {owner}",
        epilog="example: sudo perceptd teach import /media/stick/examples",
    )
    import_.add_argument("directory", type=Path, metavar="DIR")
    as_of = "the stream as of which they count (default: the only one, else that of the same name)"
    import_.add_argument("--stream", metavar="NAME", help=as_of)
    for action, parser in (("play", play), ("export", export), ("import", import_)):
        add_config(parser)
        add_json(parser)
        parser.set_defaults(execute=_local, action=action)


def _node_action(actions: "Commands", action: str, help_text: str, description: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(action, help=help_text, description=description)
    add_node(parser)
    parser.set_defaults(execute=_over_mqtt, action=action)
    return parser


def _over_mqtt(options: argparse.Namespace) -> int:
    from daemon.cli.teach import teach

    return teach(options)


def _local(options: argparse.Namespace) -> int:
    from daemon.cli.teach_local import teach_local

    return teach_local(options)


def _add_no_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-wait", dest="wait", action="store_false", help="do not wait for the result")


def _seconds(text: str) -> float:
    return _number(text, 1.0, MAX_SECONDS)


def _ago(text: str) -> float:
    return _number(text, 0.0, MAX_AGO_S)


def _number(text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"expected {least:g} to {most:g} seconds")
    return number
