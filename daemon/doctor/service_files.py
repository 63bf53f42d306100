"""The files and devices that a config makes the service use. Pure."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from daemon.config.devices import DelegateConfig
from daemon.config.node import Config
from daemon.config.streams import StreamConfig, is_url
from daemon.core.document import Loaded
from daemon.core.errors import ChildError
from daemon.doctor.finding import Finding, Level
from daemon.doctor.service_user import Need, Service, Use, denials

# where systemd keeps the state of the service, unless the config says where
STATE_DIRECTORY = "/var/lib/perceptd"


def needs_of(loaded: Loaded[Config]) -> list[Need]:
    """Return the paths that a service with this config uses."""
    config, where = loaded.document, loaded.where
    needs = [
        Need(str(loaded.path), str(loaded.path.absolute()), essential=True),
        Need(where("bundle"), config.bundle, "directory", essential=True),
        _state(loaded),
    ]
    tls = {} if config.mqtt.tls is None else dict(config.mqtt.tls)
    files = {("mqtt", "password_file"): config.mqtt.password_file} | {("mqtt", "tls", key): tls[key] for key in tls}
    needs += [Need(where(*key), path, essential=True) for key, path in files.items() if path is not None]
    if config.metrics is not None and config.metrics.token_file is not None:
        needs.append(Need(where("metrics", "token_file"), config.metrics.token_file))
    if config.models.root is not None:
        needs.append(Need(where("models", "root"), config.models.root))
    if config.models.source is not None and (source := urlsplit(config.models.source)).scheme == "file":
        needs.append(Need(where("models", "source"), source.path, "directory"))
    needs += [
        Need(where("devices", key), value.library)
        for key, value in config.devices
        if isinstance(value, DelegateConfig) and "/" in value.library
    ]
    for name, stream in config.streams.items():
        for key, path in _paths(stream):
            use: Use = "device" if path.startswith("/dev/") else "file"
            needs.append(Need(where("streams", name, *key), path, use))
    return needs


def access_findings(service: Service, loaded: Loaded[Config]) -> Iterator[Finding]:
    """Whether the user of the service may use what the config names."""
    try:
        found = denials(service, needs_of(loaded))
    except ChildError as error:
        yield Finding("access", "warning", f"not tested: {error}", f"run doctor as user {service.user}")
        return
    for denial in found:
        level: Level = "failure" if denial.need.essential else "warning"
        yield Finding("access", level, f"{denial.need.where}: {denial.found}", denial.remedy)
    if not found:
        yield Finding("access", "good", f"the service's user {service.user} may use all files that the config names")


def _state(loaded: Loaded[Config]) -> Need:
    directory = loaded.document.state_directory
    where = "the state of the service" if directory is None else loaded.where("state_directory")
    return Need(where, directory or STATE_DIRECTORY, "state")


def _paths(stream: StreamConfig) -> Iterator[tuple[tuple[str, str], str]]:
    if stream.camera is not None and not is_url(stream.camera.device) and stream.camera.view_of is None:
        device = stream.camera.device
        yield ("camera", "device"), f"/dev/video{device}" if isinstance(device, int) else device
    if stream.replay is not None:
        yield ("replay", "file"), stream.replay.file
        if stream.replay.text is not None:
            yield ("replay", "text"), stream.replay.text
