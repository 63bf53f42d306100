"""Requests to stop, to restart and to read the config again, in any order."""

from daemon.node.stop_request import StopRequest


def test_a_stop_wins_over_a_restart_in_either_order() -> None:
    for first, second in (("stop", "restart"), ("restart", "stop")):
        stop = StopRequest()
        for request in (first, second):
            stop.stop() if request == "stop" else stop.restart("reload")
        assert stop.wait(0)
        assert (stop.restarts, stop.ended_by, stop.is_final) == (False, "stopped", True)
        stop.begin()
        assert stop.wait(0), "the next node stops too"


def test_the_first_restart_counts_and_later_ones_only_until_the_node_stops() -> None:
    stop = StopRequest()
    stop.restart("bundle")
    assert stop.wait(0)
    stop.close()
    stop.restart("reload")
    assert (stop.restarts, stop.ended_by) == (True, "bundle")
    stop.begin()
    assert (stop.wait(0), stop.restarts) == (False, False)


def test_a_bundle_that_needs_other_sources_does_not_displace_a_reload() -> None:
    for first, second in (("bundle", "reload"), ("reload", "bundle")):
        stop = StopRequest()
        stop.restart(first)
        stop.restart(second)
        assert stop.ended_by == "reload"


def test_a_request_to_read_the_config_again_wakes_the_node_and_does_not_stop_it() -> None:
    stop = StopRequest()
    for _ in range(1000):
        stop.ask_reload()
    stop.begin()
    assert not stop.wait(0)
    assert [stop.take_reload(), stop.take_reload()] == [True, False]
    stop.stop()
    assert stop.wait(0)
