"""What each command of the command line does."""

import argparse
import dataclasses
import faulthandler
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from daemon.app import Node
from daemon.bundles.load import Bundle, load_bundle
from daemon.bundles.selftest import case_file, load_cases
from daemon.config import Config, load_config, override_broker, override_devices
from daemon.documents import Loaded
from daemon.errors import BundleError
from daemon.evaluate import evaluate as evaluate_rows
from daemon.evaluate import read_manifest, render
from daemon.mqtt import Malformed, Narrator, Received
from daemon.mqtt import watch as subscribe
from daemon.offline import Item, OfflineRecogniser
from daemon.recogniser import Recogniser, check_thresholds, load_recogniser

EXIT_BUNDLE_FAILED = 78


def run(options: argparse.Namespace) -> int:
    """Run the node until SIGTERM or Ctrl-C."""
    loaded = load_config(options.config)
    config = override_devices(loaded.document, options.camera, options.microphone)
    config = override_broker(config, options.broker)
    logging.basicConfig(level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    faulthandler.register(signal.SIGUSR1)
    recogniser = _ready(loaded)
    node = Node(config, recogniser)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: node.request_stop())
    node.run()
    return 0


def check_config(options: argparse.Namespace) -> int:
    """Validate a config and load its bundle."""
    loaded = load_config(options.config)
    recogniser = _ready(loaded)
    streams = ", ".join(loaded.document.streams)
    print(f"{options.config}: good; bundle {recogniser.bundle.manifest.id}, streams: {streams}")
    return 0


def devices(options: argparse.Namespace) -> int:
    """List cameras and microphones."""
    from daemon.sources import list_cameras, list_microphones

    cameras, microphones = list_cameras(), list_microphones()
    if options.json:
        found = {
            "cameras": [dataclasses.asdict(camera) for camera in cameras],
            "microphones": [dataclasses.asdict(microphone) for microphone in microphones],
        }
        print(json.dumps(found, indent=2))
        return 0
    print("cameras" if cameras else "cameras: none found")
    for camera in cameras:
        print(f"  {camera}")
    print("microphones" if microphones else "microphones: none found")
    for microphone in microphones:
        print(f"  {microphone}")
    return 0


def watch(options: argparse.Namespace) -> int:
    """Show what nodes publish until Ctrl-C."""
    config = override_broker(load_config(options.config).document, options.broker)
    node = None if options.node == "+" else options.node or config.node
    narrator = Narrator(colour=sys.stdout.isatty(), with_node=node is None)

    def show(received: Received) -> None:
        line = _as_json(received) if options.json else narrator.tell(received)
        if line is not None:
            print(line, flush=True)

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    subscribe(config.mqtt, node, emit=show, stop=stop)
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Score a bundle on labelled data."""
    recogniser = OfflineRecogniser(load_recogniser(load_bundle(options.bundle)))
    rows = read_manifest(options.manifest, recogniser.labels)
    tally = evaluate_rows(recogniser, rows, _progress(len(rows)))
    print(json.dumps(tally.to_json(), indent=2) if options.json else "\n".join(render(tally)))
    return 0


def bundle_show(options: argparse.Namespace) -> int:
    """Print what is in a bundle."""
    bundle = load_bundle(options.bundle)
    manifest = bundle.manifest
    if options.json:
        print(manifest.model_dump_json(indent=2))
        return 0
    print(f"{manifest.id}: {manifest.description}")
    print(f"labels      {', '.join(manifest.labels)}")
    print(f"background  {', '.join(manifest.background) or 'none'}")
    for modality, spec in manifest.modalities.present().items():
        size_kb = bundle.file(spec.model).stat().st_size / 1024
        shapes = f"{spec.input.dtype} {spec.input.shape} -> {spec.output.size}"
        print(f"{modality:<10}  {spec.model}, {size_kb:.0f} KB, {shapes}, kept for {spec.max_age_ms} ms")
    threshold = manifest.thresholds.default
    print(f"events      start at {threshold.start}, end below {threshold.end}")
    for label, threshold in manifest.thresholds.labels.items():
        print(f"            {label}: start at {threshold.start}, end below {threshold.end}")
    for licence in manifest.licences:
        print(f"licence     {licence.part}: {licence.licence} ({licence.source})")
    for key, value in manifest.provenance.items():
        print(f"provenance  {key}: {value}")
    return 0


def bundle_verify(options: argparse.Namespace) -> int:
    """Check a bundle: manifest, files, tensors, self-test."""
    bundle = load_bundle(options.bundle)
    failures = _selftest(bundle, load_recogniser(bundle))
    if options.json:
        print(json.dumps({"bundle": bundle.manifest.id, "good": not failures, "failures": failures}, indent=2))
    elif not failures:
        print(f"{bundle.manifest.id}: good")
    if failures and not options.json:
        raise BundleError("\n".join(failures))
    return EXIT_BUNDLE_FAILED if failures else 0


def _selftest(bundle: Bundle, recogniser: Recogniser) -> list[str]:
    """What the stored cases find wrong, in words."""
    offline = OfflineRecogniser(recogniser)
    tolerance = bundle.manifest.selftest.tolerance
    failures = []
    for case, where in load_cases(bundle):
        image, audio = (case_file(bundle, name) if name else None for name in (case.image, case.audio))
        scores = offline.recognise(Item(image, audio, case.text)).scores
        for label, expected in case.scores.items():
            score = float(scores[offline.labels.index(label)])
            if abs(score - expected) > tolerance:
                failures.append(f"{where}: {label} scored {score:.3f}, expected {expected:.3f} within {tolerance}")
    return failures


def _ready(config: Loaded[Config]) -> Recogniser:
    """Load the bundle and check the config against it."""
    recogniser = load_recogniser(load_bundle(Path(config.document.bundle)))
    check_thresholds(recogniser.bundle.manifest, config)
    return recogniser


def _as_json(received: Received) -> str:
    """A message on one line: where it came from, how long it took, and its payload as it was sent."""
    payload = received.payload.decode("utf-8", errors="replace")
    is_json = received.kind != "availability" and not isinstance(received.content, Malformed)
    fields = {
        "node": received.node,
        "stream": received.stream,
        "kind": received.kind,
        "retained": received.retained,
        "latency_ms": received.latency_ms,
        "payload": json.loads(payload) if is_json else payload,
    }
    return json.dumps(fields, ensure_ascii=False)


def _progress(total: int) -> Callable[[int], None]:
    """A counter on standard error, where a person is looking."""
    if not sys.stderr.isatty():
        return lambda _: None

    def show(done: int) -> None:
        if done % 25 == 0 or done == total:
            print(f"\r{done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show
