"""`perceptd check-config`: whether a node can start with a config, and whether the service may read what it names."""

import argparse
import sys

from daemon.cli.reach import explained, node_config
from daemon.config.node import Config, load_config, missing_files, root_file_problems
from daemon.core.document import Loaded
from daemon.core.errors import ChildError, Refused
from daemon.doctor.service_files import needs_of
from daemon.doctor.service_user import Service, denials, find_service
from daemon.node.stop_request import StopRequest
from daemon.node.wiring import build


def check_config(options: argparse.Namespace, service: Service | None = None) -> int:
    """Validate a config, and build its node without starting it.

    As root, test also what the user of the service may use; `service` is the installed one unless it is given.
    """
    path = node_config(options.config)
    with explained(path):
        loaded = load_config(path)
    refused, remarks = _denied_to_service(loaded, service or find_service())
    node = build(loaded, None, StopRequest())
    recogniser = node.active.recogniser
    for remark in [*missing_files(loaded), *root_file_problems(loaded), *recogniser.cpu_remarks, *remarks]:
        print(remark, file=sys.stderr)
    if refused:
        raise Refused("\n".join(refused))
    streams = ", ".join(loaded.document.streams)
    print(f"{path}: good; bundle {recogniser.bundle.manifest.id}, streams: {streams}")
    return 0


def _denied_to_service(config: Loaded[Config], service: Service | None) -> tuple[list[str], list[str]]:
    """Return what keeps the service from starting, and remarks. Both are empty where there is no service."""
    if service is None:
        return [], []
    try:
        found = denials(service, needs_of(config))
    except ChildError as error:
        return [], [f"not tested what the service's user {service.user} may use: {error}"]
    refused = [str(denial) for denial in found if denial.need.essential]
    return refused, [str(denial) for denial in found if not denial.need.essential]
