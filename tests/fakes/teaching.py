"""Payloads of the topic `teaching`, of a node that has been taught."""

from daemon.mqtt.teaching_payloads import PlacePart, QuestionPart, RatePart, TaughtLabelPart, TeachingPayload

TIME = "2026-01-31T12:00:04.300110Z"
RATE = RatePart(expected=0.4, low=0.1, high=1.2, hours=26.5)


def taught(label: str = "kettle boils", **changes: object) -> TaughtLabelPart:
    """Return a label that is recognised in the stream kitchen, after five presses."""
    ready = TaughtLabelPart(
        label=label,
        streams=["kitchen"],
        everywhere=False,
        state_of=None,
        presses=5,
        wrong=0,
        state="ready",
        text="5 presses, ready, heard in 5 of 5",
        found=5,
        tried=5,
        false_alarms_a_day=RATE,
        warnings=[],
    )
    return ready.model_copy(update=changes)


def question(**changes: object) -> QuestionPart:
    """Return a question about a moment at which the label made an event."""
    asked = QuestionPart(
        id="q1",
        stream="kitchen",
        label="kettle boils",
        time=TIME,
        why="near_threshold",
        recognised=True,
        text="kitchen, 12:00:04: was this kettle boils?",
    )
    return asked.model_copy(update=changes)


def teaching(*labels: TaughtLabelPart, **changes: object) -> TeachingPayload:
    """Return the payload of a node that knows its only place and these labels."""
    known = TeachingPayload(
        node="node",
        time=TIME,
        enabled=True,
        bundle="home@1.0.0+taught.3" if labels else "home@1.0.0",
        text=f"{labels[0].label}: {labels[0].text}" if labels else "nothing is taught yet",
        next_label=None,
        places={"kitchen": PlacePart(background=430, needed=30)},
        labels=list(labels),
        question=None,
    )
    return known.model_copy(update=changes)
