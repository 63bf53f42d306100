"""Builds a node that is ready to run; nothing else does.

Read from top to bottom: each object is built from objects that exist already.
"""

import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daemon import __version__
from daemon.config.node import (
    Config,
    fit_record,
    history_directory,
    local_socket,
    models_directory,
    runtime_directory,
    state_directory,
    teaching_database,
)
from daemon.core.document import Loaded
from daemon.core.records import MODALITIES, Counters, Modality
from daemon.core.timing import monotonic_ns
from daemon.mqtt.home_assistant.ledger import FILE_NAME
from daemon.mqtt.session import Session
from daemon.node.active_bundle import ActiveBundle, published_bundle
from daemon.node.announcement import Announcement, LedgerFile, hears_births
from daemon.node.background import Background
from daemon.node.bundle_updates import UPDATE_STEPS, BundleLoader, LocalBundles, ModelsTopic, UpdateHost
from daemon.node.bundle_watch import BundleWatch
from daemon.node.command_thread import CommandThread
from daemon.node.control import Control
from daemon.node.derivation import Derivation, NewBases
from daemon.node.device_id import DeviceId
from daemon.node.encoding_again import EncodingAgain
from daemon.node.fit_child import ChildFits
from daemon.node.fit_record import FitRecordFile, event_times
from daemon.node.fits import Fits
from daemon.node.health_topics import HealthTopics
from daemon.node.history_topics import SNAPSHOTS_FILE, SnapshotTopics
from daemon.node.latency import ErrorCount, Latencies
from daemon.node.live_input import LiveInput
from daemon.node.local_commands import LocalCommands
from daemon.node.local_following import Following
from daemon.node.local_history import LocalHistory
from daemon.node.local_host import LocalHost
from daemon.node.local_node import LocalMachine, LocalNode
from daemon.node.local_requests import LocalRequests, handlers
from daemon.node.local_server import LocalServer
from daemon.node.metrics_input import MetricsInput
from daemon.node.metrics_thread import MetricsThread, NoMetrics
from daemon.node.no_history import NoHistorian
from daemon.node.node import Node, Updates
from daemon.node.peaks import PeakQueue
from daemon.node.presses import Presses
from daemon.node.reports import Reporter
from daemon.node.state_files import state_problem
from daemon.node.stop_request import StopRequest
from daemon.node.stream import Stream
from daemon.node.stream_publisher import Identity, PublishedBundle, StreamPublisher
from daemon.node.switches import SwitchFile
from daemon.node.teacher import NoTeacher, Teacher
from daemon.node.teaching_file import TeachingFile
from daemon.node.teaching_state import TeachingFacts
from daemon.node.teaching_work import TeachingParts, TeachingWork
from daemon.pipeline.recogniser import Recogniser
from daemon.sources.factory import views_of
from daemon.sources.view import Views
from daemon.updates.startup import Startup
from daemon.updates.steps import ChildRunner
from daemon.updates.updater import Updater

if TYPE_CHECKING:
    from daemon.node.historian import Historian
    from daemon.node.history_inbox import HistoryInbox

TEACHING_DISABLED = "teaching.enabled in config.yaml is false"

CANNOT_BE_TAUGHT = "a stream is replayed as fast as possible: such a node cannot be taught"


def build(
    config: Loaded[Config], startup: Startup | None, stop: StopRequest, local_host: LocalHost | None = None
) -> Node:
    """Build a node that is ready to run. Raises Refused when the config or its bundle cannot be used.

    `startup` knows the active bundle of a node whose bundles are replaced; without it the config's own bundle runs.
    Without `local_host` no program of this machine can ask the node.
    """
    settings = config.document
    state = state_directory(settings)
    loader = BundleLoader(config)
    recogniser = _first_recogniser(settings, loader, startup)
    changed = threading.Event()
    latencies = Latencies()
    announced = LedgerFile(state / FILE_NAME, settings)
    births = hears_births(settings, announced.ledger)
    session = Session(settings.mqtt, settings.node, state, hears_births=births, memory=runtime_directory())
    counters = {name: {modality: Counters() for modality in MODALITIES} for name in settings.streams}
    errors = ErrorCount(counters.values(), session.counters)
    publishers = {name: _publisher(name, settings, session, latencies) for name in settings.streams}
    teaching = Counters()
    peaks = PeakQueue(teaching) if settings.can_teach else None
    history = Counters()
    inbox = _inbox(settings, history)
    new_stream = partial(_new_stream, settings, publishers, counters, peaks, inbox, views_of(settings.streams), changed)
    bundle = published_bundle(recogniser, errors)
    streams = {name: new_stream(name, recogniser, bundle) for name in settings.streams}
    live = [stream for stream in streams.values() if stream.is_live]
    active = ActiveBundle(recogniser, bundle, live, on_change=changed.set)
    announcement = Announcement(settings, streams, session, announced)
    bases = NewBases(can_teach=settings.can_teach)
    host = UpdateHost(loader, active, errors, announcement, new_stream, streams, stop, bases)
    updates = None if startup is None else _updates(config, startup, host, session)
    switches = SwitchFile(state / "switches.json")
    updater = None if updates is None else updates.updater
    live_input = LiveInput(streams, active, peaks, _text_alone(settings), teaching)
    teacher = _teacher(settings, live_input, updater, bases, session, teaching, changed)
    following = Following(session, {name: stream.watching for name, stream in streams.items()})
    historian = _historian(settings, inbox, streams, session, history, following)
    control = Control(settings, streams, switches, active, updater, teacher)
    commands = CommandThread(control, session)
    local_commands = LocalCommands(commands)
    local_node = LocalNode(settings, state, streams, active, session, local_commands)
    local_history = LocalHistory(settings.history, history_directory(settings), historian, local_commands)
    local = None if local_host is None else _local(settings, local_host, stop, local_node, local_history, following)
    bundle_watch = BundleWatch(active, on_change=changed.set)
    device_id = DeviceId(state / "device_id")
    reporter = Reporter(
        settings.node,
        device_id,
        monotonic_ns(),
        session,
        streams,
        latencies,
        bundle_watch,
        teacher,
        historian,
        state_problem(state),
    )
    models = None if updates is None else updates.topic
    metrics = _metrics(settings, MetricsInput(reporter, active, publishers, models), changed)
    return Node(
        config=settings,
        session=session,
        publishers=publishers,
        streams=streams,
        active=active,
        announcement=announcement,
        updates=updates,
        switches=switches,
        commands=commands,
        local=local,
        device_id=device_id,
        reporter=reporter,
        health_topics=HealthTopics(settings.health.every_s),
        bundle_watch=bundle_watch,
        teacher=teacher,
        historian=historian,
        metrics=metrics,
        changed=changed,
        stop=stop,
    )


def _first_recogniser(settings: Config, loader: BundleLoader, startup: Startup | None) -> Recogniser:
    """Load the bundle to run, and check it against the config. Raises Refused when they do not match."""
    recogniser = loader.load(Path(settings.bundle)) if startup is None else startup.load(loader.load)
    loader.check(recogniser.bundle.manifest)
    return recogniser


def _publisher(name: str, settings: Config, session: Session, latencies: Latencies) -> StreamPublisher:
    identity = Identity(settings.node, name)
    return StreamPublisher(
        identity, session, settings.mqtt.recognitions, latencies, in_order=settings.streams[name].is_in_order
    )


def _new_stream(
    settings: Config,
    publishers: dict[str, StreamPublisher],
    counters: dict[str, dict[Modality, Counters]],
    peaks: PeakQueue | None,
    inbox: "HistoryInbox | None",
    views: Mapping[str, Views],
    changed: threading.Event,
    name: str,
    recogniser: Recogniser,
    bundle: PublishedBundle,
) -> Stream:
    stream = settings.streams[name]
    return Stream(
        name,
        stream,
        recogniser,
        bundle,
        publishers[name],
        counters[name],
        on_change=changed.set,
        peaks=peaks,
        views=views,
        history=settings.history,
        inbox=inbox,
    )


def _local(
    settings: Config,
    host: LocalHost,
    stop: StopRequest,
    node: LocalNode,
    history: LocalHistory,
    following: Following,
) -> LocalServer:
    requests = LocalRequests(handlers(node, LocalMachine(host, stop), history))
    return LocalServer(host.socket, local_socket(settings), requests, following)


def _text_alone(settings: Config) -> frozenset[str]:
    """Return the streams that have text, and neither pictures nor sound."""
    return frozenset(
        name for name, each in settings.streams.items() if not (each.camera or each.microphone or each.replay)
    )


def _teacher(
    settings: Config,
    live: LiveInput,
    updater: Updater | None,
    bases: NewBases,
    session: Session,
    counters: Counters,
    changed: threading.Event,
) -> Teacher | NoTeacher:
    """Return the thread `teaching`, or what stands in for it on a node that cannot be taught."""
    if updater is None or not settings.can_teach:
        off = CANNOT_BE_TAUGHT if settings.teaching.enabled else TEACHING_DISABLED
        return NoTeacher(TeachingFacts(settings.node, live.bundle.id, off=off), session)
    state = state_directory(settings)
    database = teaching_database(state)
    fits = Fits(
        ChildFits(database, models_directory(settings), settings.teaching.false_alarms_a_day, event_times(settings)),
        LocalBundles(updater),
        FitRecordFile(fit_record(state)),
        database.with_name("new"),
    )
    parts = TeachingParts(
        live=live,
        file=TeachingFile(database),
        presses=Presses(),
        background=Background(live, counters),
        encoding=EncodingAgain(live, counters),
        fits=fits,
        derivation=Derivation(bases, fits, settings.teaching),
    )
    return Teacher(TeachingWork(settings, parts, session, counters), session, counters, on_change=changed.set)


def _metrics(settings: Config, source: MetricsInput, changed: threading.Event) -> MetricsThread | NoMetrics:
    return NoMetrics() if settings.metrics is None else MetricsThread(settings.metrics, source, changed.set)


def _inbox(settings: Config, counters: Counters) -> "HistoryInbox | None":
    """Return what takes the events that are kept, or None on a node that keeps none."""
    if settings.history is None:
        return None
    from daemon.node.history_wiring import new_inbox

    return new_inbox(settings, settings.history, counters)


def _historian(
    settings: Config,
    inbox: "HistoryInbox | None",
    streams: Mapping[str, Stream],
    session: Session,
    counters: Counters,
    following: Following,
) -> "Historian | NoHistorian":
    """Return the thread `history`, or what stands in for it on a node that keeps no events."""
    config, path = settings.history, state_directory(settings) / SNAPSHOTS_FILE
    is_on = config is not None and config.publish_snapshots
    topics = SnapshotTopics(settings.node, settings.streams, session, path, counters, is_on=is_on)
    if config is None or inbox is None:
        return NoHistorian(topics)
    from daemon.node.history_wiring import new_historian

    return new_historian(settings, config, inbox, streams, topics, counters, following.hear_kept)


def _updates(config: Loaded[Config], startup: Startup, host: UpdateHost, session: Session) -> Updates:
    runner = ChildRunner(UPDATE_STEPS)
    updater = Updater(config.document.models, startup, runner, host, __version__, config.path)
    return Updates(updater, ModelsTopic(config.document, startup.built_in, updater, session))
