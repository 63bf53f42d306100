"""`perceptd teach LABEL --files --bundle`: teaches a bundle from files, without a node."""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.bundle.taught import group_of
from daemon.cli.teach_export import check_new
from daemon.cli.teach_files import FileTeacher, Media, add_files, check_label, directory_of, print_found
from daemon.core.errors import Refused, TeachingError
from daemon.core.text import clean
from daemon.pipeline.fit_main import FitRequest, fit_bundle
from daemon.teaching.records import NEEDED_BACKGROUND
from daemon.teaching.store import TeachingStore

# the stream as of which files count. The label applies to all streams.
STREAM = "files"

NO_BACKGROUND = (
    "{label} cannot be taught: there are {moments} of {needed} moments of background. Give recordings of the place by "
    "--background: each second of sound is one moment, and so is each picture or text"
)


def teach_bundle(options: argparse.Namespace, label: str) -> int:
    """Teach a bundle one label from files, and write it to another directory; return 1 if an example is of no use."""
    if options.bundle is None:
        raise Refused("--out needs --bundle: the bundle to teach")
    base = load_bundle(directory_of(options.bundle))
    check_label(label, base)
    _check_whole(base.manifest)
    check_new(options.out)
    version = f"{base.manifest.base_version}+taught.{base.manifest.taught_number + 1}"
    with TemporaryDirectory(prefix="perceptd-teach-") as temporary:
        database = Path(temporary) / "teaching.db"
        try:
            found, moments = _store(
                options, FileTeacher(base, STREAM, Media(pictures=False, sounds=False)), database, label
            )
        except TeachingError as error:
            raise Refused(str(error)) from error
        if moments < NEEDED_BACKGROUND and group_of(label) is None:
            raise Refused(NO_BACKGROUND.format(label=label, moments=moments, needed=NEEDED_BACKGROUND))
        request = FitRequest(
            database=str(database),
            base=str(base.directory),
            target=str(options.out.absolute()),
            version=version,
            is_final=True,  # a node that runs the bundle has no examples to fit this label again
        )
        answer = fit_bundle(request)
    if not answer.ok or answer.report is None:
        raise Refused(f"{label} cannot be taught: {clean(answer.reason or '', 500)}")
    if options.json:
        print(
            json.dumps({"bundle": f"{base.manifest.name}@{version}", "report": answer.report.model_dump(mode="json")})
        )
    else:
        print("\n".join([*answer.report.text(), f"{base.manifest.name}@{version}: {options.out}"]))
    return 0 if found else 1


def _check_whole(manifest: Manifest) -> None:
    """Raise Refused where the bundle has labels of a node, which the node alone can fit."""
    fixed = manifest.fixed_labels
    if own := [label for label in manifest.labels if label not in fixed]:
        raise Refused(
            f"{manifest.id} was taught to a node, and would lose {', '.join(own)}; teach what `perceptd teach export` "
            "makes of it"
        )


def _store(options: argparse.Namespace, teacher: FileTeacher, database: Path, label: str) -> tuple[bool, int]:
    """Store what the files show; return whether all examples are of use, and the moments of background."""
    store = TeachingStore(database)
    try:
        store.set_everywhere(label)
        found = add_files(store, teacher, options, label)
        moments = store.background_counts(teacher.encoders).get(STREAM, 0)
    finally:
        store.close()
    if not options.json:
        print_found(options, label, found)
    return all(each.example for each in found), moments
