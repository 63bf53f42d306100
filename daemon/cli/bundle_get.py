"""`perceptd bundle get`: makes a bundle by a recipe beside the program, and puts it where nodes find it by its name."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from daemon.cli.bundle_build import BuiltBundle, build_bundle
from daemon.cli.bundle_place import Outcome, check_directory, put, workspace
from daemon.config.bundle_places import MODELS, RECIPE, SERVICE_BUNDLES, own_bundles, recipe_names
from daemon.config.places import SERVICE_CONFIG, node_configs, unit_files
from daemon.core.errors import BundleError, ChildError, Refused
from daemon.core.status_line import StatusLine
from daemon.doctor.service_user import Need, Service, become, denials, find_service
from daemon.pipeline.selftest import MEASUREMENT_S, confine_selftest, print_selftest
from daemon.recipes.sources import Show
from daemon.runtime.child import Child

# as `build_bundle`: recipe, directory of the bundle, directory with the sources, weights of the head, progress
Build = Callable[[Path, Path, Path | None, Path | None, Show], BuiltBundle]

LOCAL_CONFIG = node_configs()[0]

# beside the program: every key with its default
EXAMPLE_CONFIG = MODELS.parent / "config.yaml"

# what to do where the service's user may not enter a directory
OPEN_PLACE = "let everybody enter the directories above it (chmod o+x)"
OTHER_PROGRAM = "run the installed program: sudo /opt/perceptd/.venv/bin/perceptd"


@dataclass(frozen=True, slots=True)
class PlacedBundle:
    """A bundle in its directory, and what has become of the directory. `user`: as whom it was tested."""

    bundle: str
    directory: str
    outcome: Outcome
    user: str | None


def bundle_get(options: argparse.Namespace) -> int:
    """Make a bundle, and print how to use it."""
    recipe_file = _recipe_file(options.name)
    service = find_service()
    place = own_bundles() if service is None else SERVICE_BUNDLES
    with StatusLine() as status:
        placed = get_bundle(recipe_file, place, options.from_dir, service, build_bundle, status.show)
    if options.json:
        print(json.dumps(asdict(placed), indent=2))
    else:
        config = None if LOCAL_CONFIG.is_file() else EXAMPLE_CONFIG
        print("\n".join(usage(placed, config, has_service=bool(unit_files()))))
    return 0


def get_bundle(
    recipe_file: Path, place: Path, from_dir: Path | None, service: Service | None, build: Build, show: Show
) -> PlacedBundle:
    """Make a bundle, and put it into `place` under the name of the recipe's directory. Raises Refused.

    With a service, the directories belong to root, and the bundle must pass its self-test as the service's user.
    """
    directory = place / recipe_file.parent.name
    try:
        check_directory(directory)
        with workspace(directory, of_root=service is not None) as temporary:
            new = temporary / directory.name
            built = build(recipe_file, new, from_dir, None, show)
            if service is not None:
                show(f"running the self-test as the service's user {service.user}")
                _test_as_service(new, place, service)
            outcome = put(new, directory)
    except OSError as error:
        raise Refused(f"{error.filename or place}: {error.strerror or error}") from error
    user = None if service is None else service.user
    return PlacedBundle(f"{built.name}@{built.version}", str(directory), outcome, user)


def usage(placed: PlacedBundle, config: Path | None, *, has_service: bool) -> Iterator[str]:
    """Yield the lines that say where a bundle is and how to use it.

    `config` is a config to try it with, where none lies in the current directory. `has_service`: one is installed on
    this machine.
    """
    name = Path(placed.directory).name
    yield {
        "new": f"{placed.bundle}: made in {placed.directory}",
        "replaced": f"{placed.bundle}: has replaced the bundle in {placed.directory}. "
        "A node that runs uses the one of before until it is restarted",
        "unchanged": f"{placed.bundle}: up to date in {placed.directory}",
    }[placed.outcome]
    if placed.user is not None:
        yield f"It has passed its self-test as the service's user {placed.user}."
        yield f"To use it, write into {SERVICE_CONFIG}:"
        yield f"  bundle: {placed.directory}"
        yield "Then run: sudo systemctl reload-or-restart perceptd"
        return
    named = "" if config is None else f"--config {config} "
    yield f"To try it, run: perceptd run {named}--bundle {name} --microphone default"
    yield "To use it, write into config.yaml:"
    yield f"  bundle: {placed.directory}"
    if has_service:
        yield f"The installed service cannot read it there. For the service: sudo perceptd bundle get {name}"


def selftest_as(service: str, directory: str) -> None:
    """In a child process of root: become the user of a Service, given as JSON, run the self-test, print its result."""
    confine_selftest()
    become(service)
    print_selftest(directory)


def _recipe_file(name: str) -> Path:
    names = recipe_names()
    if name not in names:
        raise Refused(f"{MODELS} has no recipe {name}; there are {', '.join(names) or 'none'}")
    return MODELS / name / RECIPE


def _test_as_service(new: Path, place: Path, service: Service) -> None:
    """Run the self-test as the service's user. Raises Refused when it fails, or may not read the bundle there."""
    # the program too: the child imports some of its modules only when it uses them
    remedies = {str(place): OPEN_PLACE, str(MODELS): OTHER_PROGRAM, sys.prefix: OTHER_PROGRAM}
    try:
        for denial in denials(service, [Need(path, path) for path in remedies]):
            raise Refused(f"{denial.found}; {remedies[denial.need.path]}")
        with Child(selftest_as, json.dumps(asdict(service)), str(new)) as child:
            failures = json.loads(child.result(MEASUREMENT_S))["failures"]
    except ChildError as error:
        raise BundleError(f"{new.name}: not tested as the service's user {service.user}: {error}") from error
    if failures:
        shown = [failure.replace(f"{new}/", "") for failure in failures]
        raise BundleError("\n".join([f"{new.name}: fails its self-test as user {service.user}:", *shown]))
