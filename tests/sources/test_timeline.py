"""The timeline of a file whose times begin anew: rules by table, and spliced parts by property."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_S
from daemon.sources.files.timeline import Timeline

PICTURE, SOUND = 0, 1

# The stream, the decoding time and the end of a packet, in seconds, and its expected shift.
Packets = list[tuple[int, float | None, float, float]]


def check(packets: Packets, *, may_skip: bool = True) -> Timeline:
    timeline = Timeline(may_skip=may_skip)
    for stream, at_s, end_s, expected_s in packets:
        at_ns = None if at_s is None else round(at_s * NS_PER_S)
        shift_ns = timeline.shift_ns(stream, at_ns, round(end_s * NS_PER_S))
        assert shift_ns == round(expected_s * NS_PER_S), (stream, at_s, shift_ns / NS_PER_S)
    return timeline


def test_a_step_back_of_more_than_a_second_begins_where_the_part_before_ends() -> None:
    timeline = check([(PICTURE, 0, 2, 0), (PICTURE, 2, 4, 0), (PICTURE, 1.1, 3.1, 0), (PICTURE, 0, 2, 4)])
    assert timeline.end_ns == 6 * NS_PER_S


def test_both_streams_of_a_part_have_the_same_shift_though_one_is_late() -> None:
    part = [(PICTURE, 0, 1, 0), (SOUND, 0, 1, 0), (PICTURE, 1, 2, 0), (SOUND, 1, 1.5, 0), (PICTURE, 2, 3, 0)]
    check([*part, (PICTURE, 0, 1, 3), (SOUND, 1.5, 2.9, 0), (SOUND, 0, 1, 3), (PICTURE, 1, 2, 3), (SOUND, 1, 2, 3)])


def test_sound_that_is_missing_in_a_part_joins_the_part_in_which_it_comes_back() -> None:
    packets: Packets = [(PICTURE, 0, 1, 0), (SOUND, 0, 1, 0), (PICTURE, 5, 6, 0), (SOUND, 5, 6, 0)]
    check([*packets, (PICTURE, 0, 1, 6), (PICTURE, 3, 4, 6), (PICTURE, 0, 1, 10), (SOUND, 0.02, 1, 10)])


def test_sound_that_ended_within_the_first_second_joins_the_next_part() -> None:
    check([(SOUND, 0, 0.5, 0), (PICTURE, 0, 1, 0), (PICTURE, 8, 9, 0), (PICTURE, 0, 1, 9), (SOUND, 0.02, 0.5, 9)])


def test_sound_that_comes_to_the_third_part_before_the_picture_begins_it() -> None:
    packets: Packets = [(PICTURE, 0, 1, 0), (SOUND, 0, 1, 0), (PICTURE, 3, 4, 0), (SOUND, 3, 4, 0)]
    check([*packets, (PICTURE, 0, 1, 4), (PICTURE, 4, 5, 4), (SOUND, 0, 1, 9), (PICTURE, 0, 1, 9)])


def test_a_step_ahead_of_more_than_ten_seconds_is_a_splice_where_the_format_may_be_spliced() -> None:
    for far_s, shift_s in ((10.9, 0), (11.1, 1 - 11.1)):
        check([(PICTURE, 0.5, 1, 0), (PICTURE, 0.9, 1, 0), (PICTURE, far_s, far_s + 0.1, shift_s)])
    check([(PICTURE, 0, 1, 0), (PICTURE, 5000, 5001, 0)], may_skip=False)


def test_a_picture_that_lasts_while_the_sound_goes_on_is_no_splice() -> None:
    sound: Packets = [(SOUND, at_s, at_s + 5, 0) for at_s in range(0, 60, 5)]
    check([(PICTURE, 0, 1, 0), *sound, (PICTURE, 60, 61, 0)])


def test_a_badly_interleaved_file_is_no_splice() -> None:
    check([(PICTURE, 0, 50, 0), (PICTURE, 50, 100, 0), (SOUND, 0, 50, 0), (SOUND, 50, 100, 0)], may_skip=False)


def test_a_packet_without_decoding_time_is_in_the_part_of_its_stream() -> None:
    check([(PICTURE, 0, 1, 0), (PICTURE, 5, 6, 0), (PICTURE, None, 2, 0), (PICTURE, 0, 1, 6), (PICTURE, None, 2, 6)])


@st.composite
def parts(draw: st.DrawFn) -> tuple[float, int, float]:
    """Return the step of the times before a part, its number of pictures, and how far its sound is stored ahead."""
    step_s = draw(st.one_of(st.floats(-80_000, -1.5), st.floats(10.5, 80_000)))
    return step_s, draw(st.integers(20, 60)), draw(st.floats(-0.4, 0.4))


@given(st.lists(parts(), min_size=1, max_size=5))
def test_spliced_parts_follow_each_other_and_stay_in_step(given_parts: list[tuple[float, int, float]]) -> None:
    """Each part has ten pictures and ten packets of sound a second."""
    timeline = Timeline(may_skip=True)
    step_ns = NS_PER_S // 10
    begins_ns, end_ns = 0, 0
    for step_s, count, ahead_s in given_parts:
        order = [(number * step_ns, PICTURE) for number in range(count)]
        order += [(number * step_ns - round(ahead_s * NS_PER_S), SOUND) for number in range(count)]
        shifts = set()
        for at_ns, stream in sorted(order):
            at_ns += begins_ns + (round(ahead_s * NS_PER_S) if stream == SOUND else 0)
            shifts.add(timeline.shift_ns(stream, at_ns, at_ns + step_ns))
        assert shifts == {end_ns - begins_ns}
        end_ns += count * step_ns
        assert timeline.end_ns == end_ns
        begins_ns += (count - 1) * step_ns + round(step_s * NS_PER_S)
