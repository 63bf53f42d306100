"""The commands that look at a bundle without running a node: evaluate, show, verify."""

import argparse
import json
from pathlib import Path

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.bundle.encoder_specs import EncoderSpec, ImageSpec
from daemon.bundle.taught import TaughtLabel
from daemon.cli.evaluation import evaluate_rows, read_rows, render
from daemon.config.bundle_places import find_bundle
from daemon.core.errors import EXIT_REFUSED, BundleError
from daemon.core.status_line import StatusLine
from daemon.pipeline.offline import OfflineRecogniser
from daemon.pipeline.recogniser import load_recogniser
from daemon.pipeline.selftest import run_selftest


def evaluate(options: argparse.Namespace) -> int:
    """Score a bundle on labelled data."""
    recogniser = OfflineRecogniser(load_recogniser(_open(options.bundle)))
    rows = read_rows(options.manifest, recogniser.labels)
    with StatusLine() as status:

        def show(done: int) -> None:
            status.show(f"{done} of {len(rows)}")

        evaluation = evaluate_rows(recogniser, rows, show)
    print(json.dumps(evaluation.to_json(), indent=2) if options.json else "\n".join(render(evaluation)))
    return 0


def bundle_show(options: argparse.Namespace) -> int:
    """Print what is in a bundle."""
    bundle = _open(options.bundle)
    manifest = bundle.manifest
    if options.json:
        print(manifest.to_json())
        return 0
    print(f"{manifest.id}: {manifest.description}")
    print(f"labels      {', '.join(manifest.base_labels)}")
    print(f"background  {', '.join(manifest.background) or 'none'}")
    if manifest.format == 2:
        print(f"scoring     {manifest.scoring}")
    shown = [label for label, info in manifest.label_info.items() if info.shown]
    if manifest.label_info:
        in_home_assistant = ", ".join(shown) or "none"
        print(f"label info  for {len(manifest.label_info)} labels; shown in Home Assistant: {in_home_assistant}")
    for name, spec in manifest.encoder_specs.items():
        print(f"{name:<10}  {_encoder(bundle, spec)}")
    threshold = manifest.thresholds.default
    print(f"events      start at {threshold.start}, end below {threshold.end}")
    for label, threshold in manifest.thresholds.labels.items():
        print(f"            {label}: start at {threshold.start}, end below {threshold.end}")
    if manifest.taught is not None:
        for index, (label, about) in enumerate(manifest.taught.labels.items()):
            print(f"{'' if index else 'taught':<10}  {label}: {_where_taught(about)}")
    for licence in manifest.licences:
        print(f"licence     {licence.part}: {licence.licence} ({licence.source})")
    for key, value in manifest.provenance.items():
        print(f"provenance  {key}: {value}")
    return 0


def _open(given: str) -> Bundle:
    """Open a bundle that is given by its directory, or by its name. Raises Refused."""
    directory = Path(given)
    return load_bundle(directory if directory.is_dir() else find_bundle(given))


def _where_taught(label: TaughtLabel) -> str:
    """Return where a label applies, with its thresholds there."""
    places = {f"in {stream}": threshold for stream, threshold in label.streams.items()}
    if label.everywhere is not None:
        places["in every other stream" if places else "in every stream"] = label.everywhere
    parts = [
        f"{where} start at {threshold.start:g}, end below {threshold.end:g}" for where, threshold in places.items()
    ]
    text = "; ".join(parts)
    return text if label.state_of is None else f"a state of {label.state_of}; {text}"


def _encoder(bundle: Bundle, spec: EncoderSpec) -> str:
    """Return what an encoder takes and gives."""
    size_kb = bundle.file(spec.model).stat().st_size / 1024
    given = str(spec.size)
    if bundle.manifest.format == 2:
        given = " + ".join(f"{output.size} of {name}" for name, output in spec.outputs.items())
    parts = [f"{spec.model}, {size_kb:.0f} KB, {spec.input.dtype} {spec.input.shape} -> {given}"]
    if spec.pool is not None:
        parts.append(f"with {' and '.join(spec.pool.of)} of {spec.pool.seconds:g} s")
    if isinstance(spec, ImageSpec) and spec.rate_hz is not None:
        parts.append(f"at most {spec.rate_hz:g} pictures a second")
    parts.append(f"kept for {spec.max_age_ms} ms")
    line = ", ".join(parts) if bundle.manifest.format == 1 else f"{spec.modality} by {', '.join(parts)}"
    if spec.edgetpu is None:
        return line
    lacks = [name for name in spec.outputs if name not in spec.edgetpu_outputs]
    return f"{line}; for an Edge TPU {spec.edgetpu.model}{', without ' if lacks else ''}{', '.join(lacks)}"


def bundle_verify(options: argparse.Namespace) -> int:
    """Check a bundle: manifest, files, tensors, self-test."""
    bundle = _open(options.bundle)
    failures = run_selftest(bundle, load_recogniser(bundle))
    if options.json:
        print(json.dumps({"bundle": bundle.manifest.id, "good": not failures, "failures": failures}, indent=2))
    elif not failures:
        print(f"{bundle.manifest.id}: good")
    if failures and not options.json:
        raise BundleError("\n".join(failures))
    return EXIT_REFUSED if failures else 0
