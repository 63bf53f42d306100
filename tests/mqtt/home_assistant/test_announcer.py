"""Whatever happens on the way, Home Assistant shows in the end exactly the entities that the config asks for."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.campaign import repetitions
from tests.mqtt.home_assistant.world import LARGE, SMALL, Setup, World

NAMES = ("door", "yard")
SETUPS = st.builds(
    Setup,
    streams=st.sampled_from([("door",), ("door", "yard"), ("yard",)]),
    labels=st.sampled_from([("dog",), ("dog", "cat"), ("cat", "bell")]),
    per_stream=st.booleans(),
    discovery=st.sampled_from([True, True, True, False]),
    prefix=st.sampled_from(["homeassistant", "homeassistant", "discovery"]),
)
LABELS = st.sampled_from([("dog",), ("dog", "cat"), ("cat", "bell"), ("cow",)])
STEPS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([0.25, 1.0, 4.0, 11.0, 40.0, 200.0])),
    st.tuples(st.just("labels"), LABELS),
    st.tuples(st.just("restart"), SETUPS),
    st.tuples(st.sampled_from(["kill", "home_stop", "home_start", "home_lost", "home_back"]), st.none()),
    st.tuples(st.sampled_from(["offline", "online", "disk_full", "disk_free", "small", "large"]), st.none()),
    st.tuples(st.sampled_from(["broker_new", "broker_without_retained"]), st.none()),
)


def do(world: World, name: str, value: object) -> None:
    home = world.home_assistant
    match name:
        case "wait":
            world.advance(value)
        case "labels":
            world.setup = replace(world.setup, labels=value)
        case "restart":
            if value.prefix != home.prefix:
                home.stop()  # somebody changes both
            world.restart(value)
        case "kill":
            world.restart(world.setup)
        case "home_stop":
            home.stop()
        case "home_start" if not home.is_running:
            home.prefix = world.setup.prefix
            home.start()
        case "home_lost":
            home.disconnect()
        case "home_back" if home.is_running and not home.is_connected:
            home.connect()
        case "offline":
            world.disconnect()
        case "online":
            world.connect()
        case "disk_full" | "disk_free":
            world.is_disk_full = name == "disk_full"
        case "small" | "large":  # another broker of the list
            world.disconnect()
            world.limits = SMALL if name == "small" else LARGE
            world.connect()
        case "broker_new" | "broker_without_retained":
            was_connected = home.is_connected
            home.disconnect()
            world.disconnect()
            world.broker.retained.clear()
            world.broker.retain_available = name == "broker_new"
            world.connect()
            if was_connected:
                home.connect()


def finish(world: World) -> None:
    """Let everything come back, restart Home Assistant, and wait until nothing is to be done."""
    home = world.home_assistant
    world.is_disk_full = False
    do(world, "home_start", None)
    do(world, "home_back", None)
    world.connect()
    world.advance(60)
    if home.prefix == world.setup.prefix and not world.lost:
        # no entity waits for the next start of Home Assistant
        assert world.setup.entries().items() <= world.shown().items()
    home.stop()
    home.prefix = world.setup.prefix
    home.start()
    world.advance(30)
    world.until(lambda: world.state.due_ns is None, "the announcer comes to rest", 600)
    world.advance(10)


@settings(max_examples=repetitions(part=80, campaign=5_000))
@given(SETUPS, st.lists(STEPS, max_size=14), st.integers(0, 2**32))
def test_in_the_end_home_assistant_shows_what_is_wanted(setup: Setup, steps: list, seed: int) -> None:
    world = World(setup, seed)
    world.home_assistant.prefix = setup.prefix
    world.home_assistant.start()
    for name, value in steps:
        do(world, name, value)
    finish(world)
    wanted, shown = world.setup.entries(), world.shown()
    # what was announced while the disk was full, and then killed, nobody knows
    assert set(wanted) <= set(shown) <= set(wanted) | world.lost
    assert world.lost or shown == wanted
    assert set(world.broker.retained) <= set(world.state.topics) | world.lost_topics
