"""A state machine that decides which messages Home Assistant gets, and when. Pure.

A cycle is a list of stages with pauses between them. Home Assistant loses a part of a payload that comes while it sets
up another one of the same device. So two different payloads never follow each other closely, and each is sent twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from daemon.core.timing import NS_PER_S
from daemon.mqtt.broker.limits import BrokerLimits
from daemon.mqtt.home_assistant.ledger import Device, Entity, Ledger, bounded, entities_of, gone, with_wanted, without
from daemon.mqtt.home_assistant.withdrawal import (
    MIGRATE,
    Leaving,
    Message,
    Wanted,
    announced,
    least,
    moving_topics,
    removals,
)

# Home Assistant has set up a device by then, on a slow computer too.
PAUSE_NS = 5 * NS_PER_S

# Changes that follow each other more closely are announced together.
DEBOUNCE_NS = 2 * NS_PER_S

# How long a stage waits for the broker's acknowledgements. A refused message never gets one.
PATIENCE_NS = 30 * NS_PER_S

# The entities that one cycle announces with the least config, so that its messages stay small and few.
MOST_LEAVING = 100

# How long Home Assistant must stay after a removal that is then forgotten. The broker notices the end of a connection
# after 1.5 times its keepalive, which is 60 s.
STAY_NS = 120 * NS_PER_S


class Step(Enum):
    """What a stage sends. STAY sends nothing: then it is seen whether Home Assistant stays."""

    LEAST = "least"
    REMOVE = "remove"
    MIGRATE = "migrate"
    EMPTY = "empty"
    ANNOUNCE = "announce"
    STAY = "stay"


Stage = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """What the session knows at one look.

    `births` counts the starts of Home Assistant, and `is_up` says that it has not ended since the latest.
    `announcing` are the topics whose latest announcement the broker has not taken.
    """

    limits: BrokerLimits
    connects: int = 1
    births: int = 0
    is_up: bool = False
    announcing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class State:
    """The state between two looks.

    `topics` is what each topic is to hold. The next stage of `plan` begins at `due_ns`, or nothing is to be done.
    `sent` are the messages of the stage under way. `is_whole`: the broker has taken everything in this cycle.
    `leaving` are the entities that went before Home Assistant started, until it ends; `batch` are those of this cycle.
    `dropped` counts entities that went, and are not remembered because there are too many.
    """

    ledger: Ledger
    heard: Heard | None = None
    wanted: Wanted | None = None
    topics: Mapping[str, bytes] | None = None
    due_ns: int | None = None
    sent_ns: int | None = None
    is_planned: bool = False
    plan: tuple[Stage, ...] = ()
    stage: Stage = ()
    sent: tuple[Message, ...] = ()
    leaving: Leaving = field(default_factory=dict)
    batch: Leaving = field(default_factory=dict)
    is_whole: bool = True
    dropped: int = 0


def look(state: State, prefix: str, wanted: Wanted, heard: Heard, now_ns: int) -> tuple[State, list[Message]]:
    """Return the next state, and the messages to send now. The ledger of the state must be on disk before them.

    `wanted` are the payloads by topic, the node's first. Only to be called while the session is connected.
    """
    state = _with_news(state, wanted, heard, now_ns)
    if state.due_ns is None or now_ns < state.due_ns:
        return state, []
    if _is_waiting(state, heard) and now_ns < state.due_ns + PATIENCE_NS:
        return state, []
    state = _after_stage(state, heard)
    if not state.is_planned:
        state = _planned(state, wanted)
    if not state.plan:
        return replace(state, due_ns=None), []
    stage = state.plan[0]
    messages = [message for step in stage for message in _messages(state, step, prefix, wanted, heard.limits)]
    due_ns = now_ns + (STAY_NS if stage == (Step.STAY,) else PAUSE_NS)
    return (
        replace(state, plan=state.plan[1:], stage=stage, sent=tuple(messages), sent_ns=now_ns, due_ns=due_ns),
        messages,
    )


def _with_news(state: State, wanted: Wanted, heard: Heard, now_ns: int) -> State:
    """Return the state with the time at which another cycle begins, if something has changed."""
    before, topics, leaving = state.heard, state.topics, state.leaving
    begins_ns: list[int] = []
    if before is None or topics is None:
        topics = announced(wanted, heard.limits)
        begins_ns.append(now_ns)
    elif wanted != state.wanted or heard.limits != before.limits:
        topics = announced(wanted, heard.limits)
        if topics != state.topics:
            begins_ns.append(now_ns + DEBOUNCE_NS)
    if before is not None and heard.connects != before.connects:
        leaving = {}  # Home Assistant may have ended unheard
        if state.due_ns is not None:
            begins_ns.append(now_ns + PAUSE_NS)
    if not heard.is_up:
        leaving = {}
    elif heard.births != (0 if before is None else before.births):
        leaving = gone(state.ledger, wanted)
        if leaving:
            begins_ns.append(now_ns + PAUSE_NS)
    batch = state.batch if leaving else {}
    state = replace(state, heard=heard, wanted=wanted, topics=topics, leaving=leaving, batch=batch)
    if not begins_ns:
        return state
    # the messages of the cycle before are no longer waited for
    earliest_ns = 0 if state.sent_ns is None else state.sent_ns + PAUSE_NS
    return replace(state, due_ns=max(earliest_ns, *begins_ns), is_planned=False, stage=(), sent=())


def _is_waiting(state: State, heard: Heard) -> bool:
    return any(message.topic in heard.announcing and message.fits(heard.limits) for message in state.sent)


def _after_stage(state: State, heard: Heard) -> State:
    """Return the state with what the stage under way has achieved."""
    taken = [message for message in state.sent if message.topic not in heard.announcing]
    emptied = {message.topic for message in taken if message.retain and not message.payload}
    ledger = state.ledger
    retained = tuple(topic for topic in ledger.retained if topic not in emptied)
    is_confirmed = ledger.is_confirmed or any(message.retain and message.payload for message in taken)
    if retained != ledger.retained or is_confirmed != ledger.is_confirmed:
        ledger = ledger.model_copy(update={"retained": retained, "is_confirmed": is_confirmed})
    is_whole, is_over = state.is_whole and len(taken) == len(state.sent), state.stage == (Step.STAY,)
    state = replace(state, ledger=ledger, is_whole=is_whole, stage=(), sent=())
    if is_whole and is_over:
        left = {device: _without(entities, state.batch.get(device, ())) for device, entities in state.leaving.items()}
        leaving = {device: entities for device, entities in left.items() if entities}
        state = replace(state, ledger=without(ledger, state.batch), leaving=leaving, is_planned=not leaving)
    return state


def _planned(state: State, wanted: Wanted) -> State:
    """Return the state with the stages of a new cycle, and with the ledger of what it announces."""
    topics = state.topics or {}
    ledger, dropped = bounded(with_wanted(state.ledger, wanted, topics), wanted)
    going = gone(ledger, wanted)
    still = [
        (device, entity)
        for device, entities in state.leaving.items()
        for entity in entities
        if entity in going.get(device, ())
    ]
    leaving, batch = _by_device(still), _by_device(still[:MOST_LEAVING])
    is_migrating = bool(moving_topics(ledger, wanted, topics))
    elsewhere = {entity for payload in wanted.values() for entity in entities_of(payload)}
    remove: Stage = (Step.REMOVE,) if going or any(topic not in topics for topic in ledger.retained) else ()
    announce: Stage = (Step.ANNOUNCE,) if topics else ()
    if is_migrating or any(entity in elsewhere for entities in going.values() for entity in entities):
        # an entity is refused while it is known under another topic
        migrate: list[Stage] = [(Step.MIGRATE,), (Step.EMPTY,)] if is_migrating else []
        stages = [remove, *migrate, announce, remove, announce]
    else:
        stages = [remove + announce, remove + announce]
    if batch:
        stages = [(Step.LEAST,), *stages, (Step.STAY,)]
    plan = tuple(stage for stage in stages if stage)
    return replace(
        state,
        ledger=ledger,
        plan=plan,
        leaving=leaving,
        batch=batch,
        is_planned=True,
        is_whole=True,
        dropped=state.dropped + dropped,
    )


def _without(entities: Iterable[Entity], others: Iterable[Entity]) -> tuple[Entity, ...]:
    found = frozenset(others)
    return tuple(entity for entity in entities if entity not in found)


def _by_device(pairs: Iterable[tuple[Device, Entity]]) -> Leaving:
    found: dict[Device, tuple[Entity, ...]] = {}
    for device, entity in pairs:
        found[device] = (*found.get(device, ()), entity)
    return found


def _messages(state: State, step: Step, prefix: str, wanted: Wanted, limits: BrokerLimits) -> list[Message]:
    ledger, topics = state.ledger, state.topics or {}
    match step:
        case Step.ANNOUNCE:
            return [Message(topic, payload) for topic, payload in topics.items()]
        case Step.REMOVE:
            return removals(ledger, wanted, topics, state.batch, prefix, limits)
        case Step.LEAST:
            return least(ledger, wanted, topics, state.batch, prefix, limits)
        case Step.MIGRATE:
            return [Message(topic, MIGRATE, retain=False) for topic in moving_topics(ledger, wanted, topics)]
        case Step.EMPTY:
            return [Message(topic, b"") for topic in moving_topics(ledger, wanted, topics)]
        case Step.STAY:
            return []
