"""What health says of the inputs of a sense with one encoder, and of one with several."""

from daemon.core.records import Counters
from daemon.node.input_health import inputs_health
from daemon.node.latency import ErrorCount


def counters(captured: int = 0, encoded: int = 0, **dropped: int) -> Counters:
    return Counters(captured=captured, encoded=encoded, dropped=dict(dropped))


def test_a_sense_with_one_encoder_has_three_fields() -> None:
    senses = {"image": counters(9), "audio": counters(90, 8, busy=1), "text": counters()}
    found = inputs_health({"audio": "audio"}, senses)
    assert {sense: health.model_dump() for sense, health in found.items()} == {
        "audio": {"captured": 90, "encoded": 8, "dropped": {"busy": 1}}
    }


def test_a_sense_with_several_encoders_has_sums_and_each_of_them() -> None:
    image = counters(100, 3, corrupt=2, busy=1)  # an earlier bundle had one encoder of pictures
    people = counters(encoded=20, busy=4, late=1)
    image.encoders = {"scene": counters(encoded=60), "people": people, "old": counters(encoded=5)}
    found = inputs_health({"scene": "image", "people": "image"}, {"image": image})
    assert found["image"].model_dump() == {
        "captured": 100,
        "encoded": 88,
        "dropped": {"corrupt": 2, "busy": 5, "late": 1},
        "encoders": {
            "scene": {"encoded": 60, "dropped": {}},
            "people": {"encoded": 20, "dropped": {"busy": 4, "late": 1}},
        },
    }


def test_several_encoders_of_a_stream_that_has_not_started_have_counted_nothing() -> None:
    found = inputs_health({"scene": "image", "people": "image"}, {"image": counters()})
    nothing = {"encoded": 0, "dropped": {}}
    assert found["image"].model_dump()["encoders"] == {"scene": nothing, "people": nothing}


def test_a_sense_with_one_encoder_again_keeps_the_counts_of_before() -> None:
    image = counters(100, 3)
    image.encoders = {"scene": counters(encoded=60, busy=2)}
    found = inputs_health({"image": "image"}, {"image": image})
    assert found["image"].model_dump() == {"captured": 100, "encoded": 63, "dropped": {"busy": 2}}


def test_the_errors_of_a_bundle_include_those_of_each_encoder() -> None:
    image, audio = counters(encoder_failed=1), counters(fusion_failed=2, busy=9)
    image.encoders = {"scene": counters(encoder_failed=4), "people": counters(fusion_failed=8, late=7)}
    assert ErrorCount([{"image": image, "audio": audio}], counters(recognition_not_finite=16)).total() == 31
