"""The command line: reads arguments, calls one function per command, turns errors into words and exit codes.

What a command needs is imported when it runs, so that `--help` and mistakes are answered at once.
"""

import argparse
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from daemon import __version__
from daemon.cli.parser import add_models
from daemon.cli.parser_repo import add_repo
from daemon.core.errors import EXIT_REFUSED, Refused

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

LIBRARY_SETTINGS = {
    # numpy's BLAS threads would spin for 100 ms of CPU after each small product
    "OPENBLAS_NUM_THREADS": "1",
}
"""What libraries look for in the environment when they are imported."""

EXAMPLES = """examples:
  perceptd run --config config.yaml                     recognise what the config says
  perceptd run --camera 0 --microphone default          the same, with a camera and a microphone instead
  perceptd doctor                                       what is wrong with this machine, and what to do
  perceptd devices                                      cameras and microphones, with the names config.yaml takes
  perceptd watch                                        recognitions and events as they come
  perceptd models install 0.5.0                         another version of the models, from models.source
  perceptd evaluate models/digits test.csv --json       score a bundle on labelled data
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    The exit code is 0, 1 when it did not find what it looks for, 78 when something must be changed first, or 130 after
    Ctrl-C; doctor's are 0, 1 and 2.
    """
    for name, value in LIBRARY_SETTINGS.items():
        os.environ.setdefault(name, value)
    options = _parser().parse_args(arguments)
    if options.command == "run":
        # what it imports takes a second, in which there is nothing to close yet
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        module = importlib.import_module(options.module)
        return int(getattr(module, options.command)(options))
    except Refused as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # whoever read our output has gone; there is nobody left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="perceptd",
        description="Recognises what goes on by sight, sound and text, and says so over MQTT.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"perceptd {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_sync_test(commands)
    _add_doctor(commands)
    _add_check_config(commands)
    _add_devices(commands)
    _add_watch(commands)
    _add_send(commands)
    add_models(commands, _add_node_options)
    _add_evaluate(commands)
    _add_bundle(commands)
    add_repo(commands)
    return parser


def _add_run(commands: "Commands") -> None:
    run = commands.add_parser("run", help="recognise and publish until told to stop")
    _add_config(run)
    _add_broker(run)
    _add_devices_instead(run)
    run.set_defaults(module="daemon.cli.run", command="run")


def _add_sync_test(commands: "Commands") -> None:
    sync = commands.add_parser(
        "sync-test",
        help="measure how far sound is off against picture",
        description="Films flashes and beeps with a stream's camera and microphone, and says which offset_ms to set. "
        "The exit code is 1 when it cannot be told.",
        epilog="example: perceptd sync-test --make flashes.mp4; play it on a telephone; perceptd sync-test",
    )
    _add_config(sync)
    sync.add_argument("--stream", metavar="NAME", help="which stream of the config (default: the first)")
    _add_devices_instead(sync)
    sync.add_argument("--for", dest="seconds", type=_watched_s, default=20.0, metavar="SECONDS", help="default: 20")
    sync.add_argument("--make", type=Path, metavar="FILE.mp4", help="write a clip of flashes and beeps instead")
    _add_json(sync)
    sync.set_defaults(module="daemon.cli.sync_test", command="sync_test")


def _watched_s(text: str) -> float:
    seconds = float(text)
    if not 5 <= seconds <= 120:
        raise argparse.ArgumentTypeError("expected 5 to 120 seconds")
    return seconds


def _add_doctor(commands: "Commands") -> None:
    doctor = commands.add_parser(
        "doctor",
        help="look at everything a node depends on",
        description="Looks at versions, processor, memory, disk, clock, accelerators, and at what the config says: "
        "cameras and microphones, the broker, the bundle. One line for each, with what to do where it is wrong. The "
        "exit code is 0, 1 for warnings, 2 when it will not work. Stop a running perceptd first: it holds the cameras.",
        epilog="example: perceptd doctor --config /etc/perceptd/config.yaml",
    )
    _add_config(doctor)
    _add_json(doctor)
    doctor.set_defaults(module="daemon.doctor.report", command="doctor")


def _add_check_config(commands: "Commands") -> None:
    check = commands.add_parser("check-config", help="say whether a config and its bundle can be used")
    check.add_argument("config", nargs="?", type=Path, default=Path("config.yaml"), metavar="CONFIG")
    check.set_defaults(module="daemon.cli.run", command="check_config")


def _add_devices(commands: "Commands") -> None:
    devices = commands.add_parser("devices", help="list cameras and microphones")
    _add_json(devices)
    devices.set_defaults(module="daemon.cli.run", command="devices")


def _add_watch(commands: "Commands") -> None:
    watch = commands.add_parser("watch", help="show recognitions and events as they come")
    _add_config(watch)
    _add_broker(watch)
    watch.add_argument("--node", metavar="NAME", help="the node to watch; + for every one (default: the config's)")
    _add_json(watch)
    watch.set_defaults(module="daemon.cli.broker", command="watch")


def _add_send(commands: "Commands") -> None:
    send = commands.add_parser(
        "send",
        help="tell a running node what to do",
        description="pause and resume close and open a stream's camera and microphone, mute and unmute the microphone "
        "alone; without --stream, those of all streams. Both outlast a restart. The exit code is 1 when the node "
        "refuses, or does not answer.",
        epilog="example: perceptd send pause --stream door",
    )
    send.add_argument(
        "name",
        choices=["pause", "resume", "mute", "unmute", "log_level", "describe"],
        metavar="COMMAND",
        help="pause | resume | mute | unmute | log_level | describe",
    )
    send.add_argument("--stream", metavar="NAME", help="which stream (default: all)")
    send.add_argument("--level", metavar="LEVEL", help="of log_level: debug | info | warning | error")
    _add_node_options(send)
    send.set_defaults(module="daemon.cli.broker", command="send")


def _add_evaluate(commands: "Commands") -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="score a bundle on labelled data",
        description="The CSV has the columns image,audio,text,label; an empty cell is an absent modality, paths are "
        "relative to the CSV.",
        epilog="example: perceptd evaluate models/digits test.csv",
    )
    evaluate.add_argument("bundle", type=Path, metavar="BUNDLE")
    evaluate.add_argument("manifest", type=Path, metavar="MANIFEST.csv")
    _add_json(evaluate)
    evaluate.set_defaults(module="daemon.cli.bundle", command="evaluate")


def _add_bundle(commands: "Commands") -> None:
    bundle = commands.add_parser("bundle", help="show or verify a bundle")
    actions = bundle.add_subparsers(required=True, metavar="ACTION")
    for action, words in (("show", "print what is in a bundle"), ("verify", "check everything and run the self-test")):
        parser = actions.add_parser(action, help=words)
        parser.add_argument("bundle", type=Path, metavar="DIR")
        _add_json(parser)
        parser.set_defaults(module="daemon.cli.bundle", command=f"bundle_{action}")


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="default: config.yaml")


def _add_devices_instead(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--camera",
        metavar="DEVICE",
        help="let the config's first stream watch this camera: 0, /dev/video0, rtsp://..., a file",
    )
    parser.add_argument(
        "--microphone", metavar="DEVICE", help="let it listen to this microphone: default, a name, a number, camera"
    )


def _add_node_options(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    _add_broker(parser)
    parser.add_argument("--node", metavar="NAME", help="the node to tell (default: the config's)")
    _add_json(parser)


def _add_broker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--broker", metavar="HOST[:PORT]", help="use this MQTT broker instead of the config's")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
