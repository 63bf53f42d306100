"""The first program of the add-on for Home Assistant: `python -m daemon.cli.addon`.

Supervisor starts it as root, with a volume of root's at /data, the options in /data/options.json, and a folder of the
person at /config. It writes the config of the node, and gives the state to the user of the image. As that user it then
becomes the first program of the container.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from daemon import __version__
from daemon.cli import container
from daemon.cli.addon_config import Broker, BrokerAnswer, Options, config_of
from daemon.cli.container import PROGRAM
from daemon.core.document import load_document
from daemon.core.dumper import dump_document
from daemon.core.errors import EXIT_REFUSED, PerceptdError, Refused
from daemon.core.files import read_bounded, replace_file
from daemon.mqtt.broker.credentials import CREDENTIALS
from daemon.runtime.http import HttpClient, TransferError, bounded

SUPERVISOR = "http://supervisor"
# the second one is for old add-ons
TOKENS = ("SUPERVISOR_TOKEN", "HASSIO_TOKEN")
ANSWER_S = 20.0
MOST_BYTES = 64 * 1024
MOST_CONFIG_BYTES = 512 * 1024
# making `home` downloads 45 MB and tests the models
BUNDLE_S = 1800.0

# the user of the image
USER = 900

# the device nodes that the node may use, where Home Assistant gives them to the add-on
DEVICES = ("/dev/video*", "/dev/snd/*", "/dev/bus/usb/*/*", "/dev/apex_*", "/dev/dri/renderD*")


@dataclass(frozen=True)
class Places:
    """Where the add-on finds and keeps its files."""

    options: Path = Path("/data/options.json")
    own_config: Path = Path("/config/perceptd.yaml")
    config: Path = Path("/data/config/config.yaml")
    state: Path = Path("/data/state")
    # in memory, and gone with the container
    credentials: Path = Path("/dev/shm/perceptd-credentials")  # noqa: S108
    models: Path = PROGRAM / "models"


def main(environment: MutableMapping[str, str] = os.environ, supervisor: str = SUPERVISOR) -> NoReturn:
    """Prepare the node as root, and become the program that runs it, as the user of the image."""
    places = Places()
    # neither the node nor its page gets the tokens: they may ask Supervisor for nothing
    token, _ = (environment.pop(name, None) for name in TOKENS)
    try:
        options = read_options(places.options)
        give_to(USER, [places.config.parent, places.state])
        become(USER, groups_of(DEVICES))
        broker = find_broker(token, supervisor)
        prepare(places, options, broker)
        write_credentials(places.credentials, broker)
    except PerceptdError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_REFUSED)
    environment["CREDENTIALS_DIRECTORY"] = str(places.credentials)
    # another program: what this one has loaded takes 30 MB
    os.execve(sys.executable, [sys.executable, "-m", container.__name__, "start"], environment)  # noqa: S606


def read_options(path: Path) -> Options:
    """Return the options that Home Assistant has written. Raises Refused."""
    return load_document(path, Options).document


def find_broker(token: str | None, supervisor: str = SUPERVISOR) -> Broker | None:
    """Return the broker that Home Assistant knows; None: it knows none. Raises Refused where Supervisor is no help."""
    if not token:
        raise Refused("SUPERVISOR_TOKEN is missing: this program runs as an add-on of Home Assistant only")
    client = HttpClient(supervisor, f"perceptd/{__version__}", token)
    url = f"{supervisor}/services/mqtt"
    try:
        raw = b"".join(bounded(client.chunks(url), url, MOST_BYTES, ANSWER_S))
        return BrokerAnswer.model_validate_json(raw).data
    except TransferError as error:
        if error.status == 400:  # "Service not enabled"
            return None
        raise Refused(f"Home Assistant does not say where the MQTT broker is: {error}") from error
    except ValidationError as error:  # what it quotes may be the password
        raise Refused(f"{url}: Home Assistant does not answer as expected: {error.error_count()} problems") from None


def prepare(places: Places, options: Options, broker: Broker | None) -> None:
    """Write the config: the person's own file as it is, or else the options. Raises Refused."""
    try:
        if places.own_config.exists():
            content = read_bounded(places.own_config, MOST_CONFIG_BYTES)
            print(f"the config is {places.own_config}; the options of the add-on do not count", file=sys.stderr)
        else:
            if broker is None:
                raise Refused(
                    "Home Assistant knows no MQTT broker. Install the add-on Mosquitto broker and start it. Another "
                    f"broker is named in {places.own_config}: the page Documentation of this add-on says how"
                )
            bundle = find_bundle(options.bundle, places.models)
            content = dump_document(config_of(options, broker, bundle, places.models / "digits" / "demo"))
        replace_file(places.config, content, mode=0o640)
    except OSError as error:
        raise Refused(f"the config cannot be written: {error.filename}: {error.strerror or error}") from error


def find_bundle(name: str, models: Path) -> Path:
    """Return the directory of a bundle, which is made first if it is not there. Raises Refused."""
    if name == "digits":
        return models / name
    command = [sys.executable, "-m", "daemon", "bundle", "get", name, "--json"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=BUNDLE_S, check=True)  # noqa: S603
        return Path(json.loads(done.stdout)["directory"])
    except (subprocess.SubprocessError, ValueError, KeyError) as error:
        remedy = "start the add-on again, or choose the bundle digits"
        raise Refused(f"the bundle {name} could not be made, for the reason above; {remedy}") from error


def groups_of(patterns: Iterable[str]) -> list[int]:
    """Return the groups that own device nodes, but for root's."""
    nodes = [path for pattern in patterns for path in Path("/").glob(pattern.lstrip("/"))]
    return sorted({path.stat().st_gid for path in nodes} - {0})


def give_to(user: int, directories: Iterable[Path]) -> None:
    """Make directories, and give them with all that is in them to a user. A link stays what it is. Raises Refused."""
    try:
        for directory in directories:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in (directory, *directory.rglob("*")):  # it follows no link to a directory
                if path.lstat().st_uid != user:
                    os.chown(path, user, user, follow_symlinks=False)
    except OSError as error:
        raise Refused(f"{error.filename} cannot be given to the user {user}: {error.strerror or error}") from error


def become(user: int, groups: list[int]) -> None:
    """Go on as a user, for good."""
    os.setgroups(groups)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def write_credentials(directory: Path, broker: Broker | None) -> None:
    """Write the login at the broker into a directory, as systemd does; only this user can read it. Raises Refused."""
    try:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700)
        for key, secret in () if broker is None else (("username", broker.username), ("password", broker.password)):
            if secret:
                replace_file(directory / CREDENTIALS[key], secret.encode(), mode=0o400)
    except OSError as error:
        raise Refused(f"the login cannot be written to {directory}: {error.strerror or error}") from error


if __name__ == "__main__":
    main()
