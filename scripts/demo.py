"""The program of scripts/run: starts a private broker, the daemon and its page, prints the messages, and a summary."""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path

from demo_config import name_broker, ready_bundle, takes_text, write_config, write_shipped
from demo_processes import Daemon, Page, broker
from demo_summary import summary
from demo_viewer import Viewer

from daemon.config.command_line import CAMERA_VARIABLE
from daemon.config.node import Config, load_config
from daemon.core.errors import EXIT_REFUSED, Refused

ROOT = Path(__file__).resolve().parent.parent
PORT = "PORT"


def main() -> int:
    """Run the demo; the exit code is that of the daemon."""
    options = _options(new_parser())
    interrupted: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # The signal is recorded, not raised, so that the demo stops in order even if Ctrl-C is pressed several times.
        signal.signal(number, lambda number, _: interrupted.append(number))
    with tempfile.TemporaryDirectory(prefix="perceptd-") as directory:
        try:
            path = _config_path(options, Path(directory))
            config = load_config(path).document
            hint = _hint(config)
        except Refused as error:
            print(error, file=sys.stderr)
            return EXIT_REFUSED
        return _run(path, config, hint, Path(directory), options.seconds, interrupted)


def _run(path: Path, config: Config, hint: str, directory: Path, seconds: float | None, interrupted: list[int]) -> int:
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(broker(directory))
        if path.parent == directory:
            name_broker(path, port)
        log = directory / "daemon.log"
        daemon = stack.enter_context(Daemon(path, port, log))
        page = stack.enter_context(Page(path, directory))
        print(f"A private broker runs on 127.0.0.1:{port}. {hint.replace(PORT, str(port))}", flush=True)
        viewer = Viewer(config, port)  # before the page is there: a short film may end sooner
        invitation = page.invitation()
        print(f"{invitation}\n", flush=True)
        viewer.view(seconds, daemon, interrupted, invitation)
        code = daemon.stop()
        viewer.close()
        if code != 0:
            print(log.read_text(errors="replace"), file=sys.stderr)
            print(f"the daemon failed with exit code {code}; its log is above", file=sys.stderr)
            return code
        print("\n".join(summary(config, viewer, daemon)), flush=True)
    return 0


def new_parser() -> argparse.ArgumentParser:
    """Return the parser of scripts/run."""
    parser = argparse.ArgumentParser(
        prog="scripts/run",
        description="Shows perceptd at work: starts a private MQTT broker, the daemon and its page, and prints what a "
        "subscriber receives. It begins with a link to the page. Without options it plays a recording of digits. It "
        "ends with a summary, at Ctrl-C or when a recording of --camera has ended.",
        epilog="example: scripts/run --bundle home --camera garden.mp4 --microphone camera",
    )
    parser.add_argument("--for", dest="seconds", type=_seconds, metavar="SECONDS", help="stop after this time")
    parser.add_argument("--config", type=Path, metavar="FILE", help="config to run (default: the shipped config.yaml)")
    parser.add_argument(
        "--bundle",
        metavar="DIR|NAME",
        help="recognise by this bundle: a directory, or a name such as home, which is made first if it is not there. "
        "Listens to the default microphone unless devices are named",
    )
    parser.add_argument(
        "--from", dest="from_dir", type=Path, metavar="DIR", help="make the bundle of the models in DIR, offline"
    )
    parser.add_argument(
        "--camera",
        metavar="DEVICE",
        help="0, /dev/video0, rtsp://..., or a film or sound, which is played once. Give a URL with a password by the "
        f"environment variable {CAMERA_VARIABLE}",
    )
    parser.add_argument("--microphone", metavar="DEVICE", help="default, a name, a number, or camera for its sound")
    return parser


def _options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    options = parser.parse_args()
    own = (options.bundle, options.from_dir, options.camera, options.microphone)
    if options.config is not None and any(value is not None for value in own):
        parser.error("--config says already what to run: leave out --bundle, --from, --camera and --microphone")
    if options.from_dir is not None and options.bundle is None:
        parser.error("--from needs --bundle")
    return options


def _config_path(options: argparse.Namespace, directory: Path) -> Path:
    """Return the config to run, written below `directory` where options name what to run. Raises Refused."""
    if options.config is not None:
        return options.config
    by_variable = os.environ.pop(CAMERA_VARIABLE, None)  # the daemon gets the camera by the config
    camera = options.camera or by_variable
    if options.bundle is None and not camera and options.microphone is None:
        return write_shipped(directory / "demo.yaml")
    bundle = ready_bundle(options.bundle or "digits", options.from_dir)
    return write_config(directory / "demo.yaml", bundle, camera, options.microphone)


def _hint(config: Config) -> str:
    """Return what else can be done with the broker; PORT stands for its port. Raises Refused."""
    topic = f"perceptd/{config.node}/{next(iter(config.streams))}"
    if takes_text(config):
        return f"Send the daemon a text, for example:\n  mosquitto_pub -p {PORT} -t {topic}/text -m 'room seven'"
    return f"Any MQTT client hears the events there, for example:\n  mosquitto_sub -p {PORT} -t {topic}/event"


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError("expected a number of seconds above 0")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
