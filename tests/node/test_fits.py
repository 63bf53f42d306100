"""When taught labels are fitted again, and what becomes of the result."""

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config.node import Config
from daemon.core.timing import NS_PER_S
from daemon.node.fit_ports import FIT_NS, Outcome
from daemon.node.fit_record import FitBasis, FitRecord, FitRecordFile, doublings, event_times
from daemon.node.fits import FAILED_NS, INSTALL_NS, LONGEST_QUIET_NS, MAX_TRIES, QUIET_NS, RETRY_NS, Fits, Wanted
from daemon.node.taught_goal import Goal, Kind
from daemon.teaching.rows import EventTimes
from tests.fakes.fits import FakeFitRunner, FakeInstaller, report

FIRST = "home@1.0.0+taught.1"


class Bench:
    """Fits with a clock that only `after` moves."""

    def __init__(self, directory: Path) -> None:
        self.runner, self.installer = FakeFitRunner(), FakeInstaller()
        self.file = FitRecordFile(directory / "fit.json")
        self.file.load()
        self.fits = Fits(self.runner, self.installer, self.file, directory / "new")
        self.now_ns = NS_PER_S
        self.wanted = wanted(1)

    def after(self, ns: int = 0, **changes: object) -> str:
        """Look once after this time; return the phase."""
        self.now_ns += ns
        if changes:
            self.wanted = wanted(**changes)
        self.fits.look(self.wanted, self.now_ns)
        return self.fits.phase

    def fitted(self, *labels: str) -> None:
        self.after()
        self.after(QUIET_NS)
        self.runner.fits[-1].end(*labels)
        self.after()


def wanted(
    changes: int = 1, base: str = "home@1.0.0", number: int = 0, places: dict[str, int] | None = None, has: bool = True
) -> Wanted:
    basis = FitBasis(base=base, changes=changes, places=places or {"kitchen": 0}, false_alarms_a_day=1.0)
    active = f"{base}+taught.{number}" if number else base
    return Wanted(basis, active, Path("/bundles/active"), number, Goal("fit" if has else "base"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_fit_begins_when_no_further_press_comes_and_its_bundle_is_installed(bench: Bench) -> None:
    assert bench.after() == "waiting"
    assert bench.after(QUIET_NS - 1) == "waiting"
    assert bench.after(0, changes=2) == "waiting"
    assert bench.after(QUIET_NS - 1) == "waiting"
    assert bench.after(1) == "fitting"
    (fit,) = bench.runner.fits
    assert (fit.order.base, fit.order.version) == (Path("/bundles/active"), "1.0.0+taught.1")
    assert bench.after(QUIET_NS) == "fitting"
    fit.end("kettle")
    assert bench.after() == "installing"
    assert (bench.installer.requested, bench.installer.directories) == ([FIRST], [fit.order.target])
    assert fit.is_closed
    bench.installer.outcomes[FIRST] = Outcome("active")
    assert bench.after() == "idle"
    assert bench.fits.record.report.labels[0].label == "kettle"
    assert bench.after(INSTALL_NS) == "idle"
    assert len(bench.runner.fits) == 1


def test_presses_that_never_end_are_fitted_all_the_same(bench: Bench) -> None:
    for changes in range(LONGEST_QUIET_NS // NS_PER_S):
        assert bench.after(NS_PER_S, changes=changes) == "waiting"
    assert bench.after(NS_PER_S, changes=1000) == "fitting"


def test_a_press_during_a_fit_is_fitted_next(bench: Bench) -> None:
    bench.after()
    bench.after(QUIET_NS)
    bench.after(0, changes=2)
    bench.runner.fits[0].end("kettle")
    bench.after()
    bench.installer.outcomes[FIRST] = Outcome("active")
    assert bench.after(0, changes=2, number=1) == "waiting"
    assert bench.after(QUIET_NS) == "fitting"
    assert bench.runner.fits[1].order.version == "1.0.0+taught.2"


def test_what_was_fitted_is_not_fitted_again_after_a_restart(tmp_path: Path, bench: Bench) -> None:
    bench.fitted("kettle")
    again = Bench(tmp_path)
    again.installer.outcomes[FIRST] = Outcome("active")
    assert again.after(INSTALL_NS, changes=1, number=1) == "idle"
    assert again.fits.record.report.labels[0].label == "kettle"
    assert (tmp_path / "fit.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"{", b'{"number": -1}', b"\xff" * 100])
def test_a_damaged_record_means_another_fit(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "fit.json").write_bytes(content)
    bench = Bench(tmp_path)
    assert bench.fits.record == FitRecord()
    bench.wanted = wanted(number=7)
    bench.after()
    bench.after(QUIET_NS)
    assert bench.runner.fits[0].order.version == "1.0.0+taught.8"


def test_a_record_that_cannot_be_written_counts_until_the_next_start(tmp_path: Path, bench: Bench) -> None:
    (tmp_path / "fit.new").mkdir()  # a directory where the file is written before it is renamed
    bench.after()
    bench.after(QUIET_NS)
    bench.runner.fits[0].end("kettle")
    with pytest.raises(OSError, match=r"fit\.new"):
        bench.after()
    bench.installer.outcomes[FIRST] = Outcome("active")
    assert bench.after(INSTALL_NS) == "idle"
    assert len(bench.runner.fits) == 1


def test_a_fit_that_cannot_be_made_is_tried_again_only_after_a_change_or_on_request(bench: Bench) -> None:
    bench.after()
    bench.after(QUIET_NS)
    bench.runner.fits[0].end(reason="kettle: one press is too few")
    assert bench.after() == "idle"
    assert bench.fits.problem == "kettle: one press is too few"
    assert bench.after(INSTALL_NS) == "idle"
    bench.fits.force()
    assert bench.after() == "fitting"
    bench.runner.fits[1].fail("its process was ended by SIGKILL")
    assert bench.after() == "idle"
    assert bench.fits.problem == "the labels could not be fitted: its process was ended by SIGKILL"
    assert bench.after(0, changes=2) == "waiting"
    assert bench.after(QUIET_NS) == "fitting"
    assert bench.after(FIT_NS + 1) == "idle"
    assert "did not finish within 300 s" in bench.fits.problem
    assert not bench.installer.requested


@pytest.mark.parametrize("earlier", [Outcome("active"), Outcome("failed", "its self-test failed")])
def test_the_problem_of_a_fit_is_told_whatever_became_of_the_one_before(bench: Bench, earlier: Outcome) -> None:
    bench.fitted("kettle")
    bench.installer.outcomes[FIRST] = earlier
    bench.after(0, changes=2, number=1)
    bench.after(QUIET_NS)
    bench.runner.fits[-1].end(reason="9 examples were made by other encoders")
    for _ in range(3):
        assert bench.after(NS_PER_S) == "idle"
        assert bench.fits.problem == "9 examples were made by other encoders"
    bench.after(0, changes=3, number=1)
    bench.after(QUIET_NS)
    bench.runner.fits[-1].end("kettle")
    bench.after()
    assert (bench.fits.phase, bench.fits.problem) == ("installing", None)


def test_a_failure_that_may_pass_is_told_while_an_earlier_fit_is_active_and_tried_again(bench: Bench) -> None:
    bench.fitted("kettle")
    bench.installer.outcomes[FIRST] = Outcome("active")
    assert bench.after(0, changes=2, number=1) == "waiting"
    bench.after(QUIET_NS)
    bench.runner.fits[1].end(reason="No space left on device", may_pass=True)
    for _ in range(3):
        assert bench.after(NS_PER_S) == "idle"
        assert bench.fits.problem == "No space left on device"
    assert bench.after(FAILED_NS) == "fitting"
    bench.runner.fits[2].fail("its process was ended by SIGKILL")
    assert bench.after() == "idle"
    assert bench.after(FAILED_NS - 1) == "idle"
    assert bench.after(1) == "fitting"
    bench.runner.fits[3].end("kettle")
    assert bench.after() == "installing"
    assert bench.fits.problem is None


@pytest.mark.parametrize("foreign", ["link", "file", "full"])
def test_what_lies_in_the_place_of_new_bundles_is_removed(bench: Bench, tmp_path: Path, foreign: str) -> None:
    elsewhere, new = tmp_path / "elsewhere", tmp_path / "new"
    (elsewhere / "kept").mkdir(parents=True)
    if foreign == "link":
        new.symlink_to(elsewhere)
    elif foreign == "file":
        new.write_bytes(b"x")
    else:
        (new / "taught.9" / "selftest").mkdir(parents=True)
    bench.fitted("kettle")
    assert bench.installer.requested == [FIRST]
    assert (elsewhere / "kept").is_dir()
    assert not new.is_symlink()


def test_an_updater_that_has_other_work_is_asked_again(bench: Bench) -> None:
    bench.installer.busy = "home@1.1.0 is being installed"
    bench.fitted("kettle")
    assert (bench.fits.phase, bench.fits.problem) == ("waiting", "home@1.1.0 is being installed")
    bench.installer.busy = None
    assert bench.after(RETRY_NS - 1) == "waiting"
    assert bench.after(1) == "installing"
    assert bench.fits.problem is None
    bench.installer.outcomes[FIRST] = Outcome("failed", "its self-test failed")
    assert bench.after() == "idle"
    assert bench.fits.problem == f"{FIRST} is not used: its self-test failed"
    assert bench.after(0, changes=2) == "waiting"
    assert bench.after(QUIET_NS) == "fitting"
    assert bench.runner.fits[1].order.version == "1.0.0+taught.2", "a version that was refused is not used again"


def test_a_bundle_that_the_updater_has_lost_is_fitted_again_but_not_for_ever(bench: Bench) -> None:
    """As when the power fails before the updater has taken it, or when the base has changed and changed back."""
    bench.fitted("kettle")
    for number in range(1, MAX_TRIES + 1):
        bundle = f"home@1.0.0+taught.{number}"
        bench.installer.outcomes[bundle] = Outcome("void", "home@1.1.0 is active now")
        assert bench.after() == "fitting"
        assert bench.fits.problem == f"{bundle} is not used: home@1.1.0 is active now"
        bench.runner.fits[-1].end("kettle")
        assert bench.after() == "installing"
    bench.installer.outcomes[f"home@1.0.0+taught.{MAX_TRIES + 1}"] = Outcome("void")
    assert bench.after() == "idle"
    assert bench.after(INSTALL_NS) == "idle"
    assert bench.fits.problem == "home@1.0.0+taught.4 is not used: its installation was interrupted"
    assert bench.after(0, changes=2) == "waiting"


def test_the_reason_why_a_bundle_waits_is_told(bench: Bench) -> None:
    bench.fitted("kettle")
    bench.installer.outcomes[FIRST] = Outcome("pending", "the disk is full")
    assert bench.after() == "installing"
    assert bench.fits.problem == "the disk is full"
    bench.installer.outcomes[FIRST] = Outcome("pending")
    assert bench.after(INSTALL_NS) == "idle"
    assert bench.fits.problem == f"{FIRST} still waits for its trial"
    bench.installer.outcomes[FIRST] = Outcome("active")
    bench.after()
    assert bench.fits.problem is None


def test_why_nothing_can_be_fitted_is_told_while_an_earlier_fit_is_active(bench: Bench) -> None:
    bench.fitted("kettle")
    bench.installer.outcomes[FIRST] = Outcome("active")
    bench.after(0, changes=2, number=1)
    bench.after(QUIET_NS)
    bench.runner.fits[-1].end(reason="tap: one press is too few")
    for _ in range(3):
        assert bench.after() == "idle"
        assert bench.fits.problem == "tap: one press is too few"


CUTS = ["during the fit", "before the request", "before it is taken", "during its trial", "after the switch"]


@pytest.mark.parametrize("cut", [*CUTS, "and the record is lost", "and the record is older"])
def test_after_a_power_cut_the_labels_are_fitted_at_most_once_more(tmp_path: Path, cut: str) -> None:
    bench = Bench(tmp_path)
    bench.fitted("tap")
    bench.installer.outcomes[FIRST] = Outcome("active")
    bench.after(0, changes=2, number=1)
    older = (tmp_path / "fit.json").read_bytes()
    bench.after(QUIET_NS)
    if cut != "during the fit":
        bench.installer.busy = "busy" if cut == "before the request" else None
        bench.runner.fits[-1].end("tap", "kettle")
        bench.after()
    if cut == "and the record is lost":
        (tmp_path / "fit.json").unlink()
    elif cut == "and the record is older":
        (tmp_path / "fit.json").write_bytes(older)
    again, second = Bench(tmp_path), "home@1.0.0+taught.2"
    state = {"during its trial": "pending", "after the switch": "active", "and the record is lost": "active"}
    is_taken = cut in state or cut == "and the record is older"
    again.installer.highest = 2 if is_taken else 1
    again.installer.outcomes = {FIRST: Outcome("active"), second: Outcome(state.get(cut, "void"))}
    number = 2 if state.get(cut) == "active" else 1
    again.after(0, changes=2, number=number)
    again.after(QUIET_NS)
    if cut in ("during its trial", "after the switch"):
        assert (again.fits.phase, again.runner.fits) == ("installing" if "trial" in cut else "idle", [])
        return
    (fit,) = again.runner.fits
    assert fit.order.number == (3 if cut not in ("during the fit", "before the request") else 2), "no number twice"
    assert sorted((tmp_path / "new").glob("*")) == [], "what was not installed is removed"
    fit.end("tap", "kettle")
    assert again.after() == "installing"
    again.installer.outcomes[f"home@{fit.order.version}"] = Outcome("active")
    again.after(0, number=fit.order.number, changes=2)
    assert again.after(INSTALL_NS) == "idle"
    assert len(again.runner.fits) == 1


def test_a_base_that_was_requested_before_a_power_cut_is_requested_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.fitted("kettle")
    bench.installer.outcomes[FIRST] = Outcome("active")
    bench.after(0, changes=2, number=1, has=False)
    bench.after(QUIET_NS)
    assert bench.installer.removals == 1
    again = Bench(tmp_path)
    again.after(0, changes=2, number=1, has=False)
    again.after(QUIET_NS)
    assert again.installer.removals == 1
    assert again.after(INSTALL_NS) == "idle"
    assert again.installer.removals == 1


@pytest.mark.parametrize(("kind", "removals"), [("base", 1), ("keep", 0)])
def test_a_fit_whose_labels_were_removed_or_lost_is_ended(bench: Bench, kind: Kind, removals: int) -> None:
    bench.fitted("kettle")
    bench.installer.outcomes[FIRST] = Outcome("active")
    bench.after(0, changes=2, number=1)
    assert bench.after(QUIET_NS) == "fitting"
    bench.wanted = replace(wanted(changes=3, number=1), goal=Goal(kind))
    bench.after()
    assert bench.runner.fits[-1].is_closed
    bench.after()
    assert bench.after(QUIET_NS) == "idle"
    assert (bench.installer.requested, bench.installer.removals) == ([FIRST], removals)


def test_a_bundle_that_the_updater_has_yet_to_take_is_not_removed(bench: Bench) -> None:
    bench.fitted("kettle")
    directory = bench.installer.directories[0]
    directory.mkdir()
    bench.fits.order(Path("/bundles/next"), "home@1.1.0", bench.wanted)
    assert directory.is_dir()


def test_an_updater_that_never_begins_does_not_stop_teaching(bench: Bench) -> None:
    bench.fitted("kettle")
    assert bench.after(INSTALL_NS - 1, changes=2) == "installing"
    assert bench.after(1) == "waiting"


def test_another_base_ends_the_fit_and_begins_one_onto_it(bench: Bench) -> None:
    bench.after()
    bench.after(QUIET_NS)
    assert bench.after(0, base="home@1.1.0") == "waiting"
    assert bench.runner.fits[0].is_closed
    bench.after()
    assert bench.after(QUIET_NS) == "fitting"
    assert bench.runner.fits[1].order.version == "1.1.0+taught.2"


def test_when_all_labels_are_forgotten_the_base_is_requested_once(bench: Bench) -> None:
    bench.fitted("kettle")
    bench.installer.outcomes[FIRST] = Outcome("active")
    bench.after(0, changes=2, number=1, has=False)
    assert bench.after(QUIET_NS) == "idle"
    assert bench.installer.removals == 1
    assert bench.fits.record.report is None
    assert bench.after(INSTALL_NS, changes=2, number=0, has=False) == "idle"
    assert bench.installer.removals == 1
    assert bench.after(0, changes=3, number=0) == "waiting"
    assert bench.after(QUIET_NS) == "fitting"
    assert bench.runner.fits[1].order.version == "1.0.0+taught.2"


def test_a_process_that_cannot_be_started_is_tried_again(bench: Bench) -> None:
    bench.runner.refusal = "no process could be started"
    bench.after()
    assert bench.after(QUIET_NS) == "waiting"
    assert "no process could be started" in bench.fits.problem
    bench.runner.refusal = None
    assert bench.after(RETRY_NS) == "fitting"


def test_closing_kills_the_child(bench: Bench) -> None:
    bench.after()
    bench.after(QUIET_NS)
    bench.fits.close()
    assert bench.runner.fits[0].is_closed


@pytest.mark.parametrize(("moments", "times"), [(29, None), (30, 0), (59, 0), (60, 1), (120, 2), (2000, 6)])
def test_a_place_is_fitted_again_each_time_its_background_has_doubled(moments: int, times: int | None) -> None:
    assert doublings({"kitchen": moments}) == ({} if times is None else {"kitchen": times})


def test_other_times_of_events_mean_another_fit() -> None:
    streams = {"hall": {"camera": 0, "events": {"smoothing_s": 1.5}}, "yard": {"camera": 1}}
    config = Config.model_validate({"node": "n", "bundle": "b", "streams": streams})
    times = event_times(config)
    assert times == {"hall": EventTimes(smoothing_s=1.5), "yard": EventTimes()}
    basis = FitBasis(base="home@1.0.0", changes=1, places={}, false_alarms_a_day=1.0, events=times)
    changed = basis.model_copy(update={"events": times | {"yard": EventTimes(min_duration_s=1)}})
    assert changed != basis
    assert FitBasis.model_validate_json(basis.model_dump_json()) == basis


def test_a_fit_that_came_with_a_new_base_is_not_made_again(bench: Bench) -> None:
    bench.fitted("kettle")
    bench.installer.outcomes[FIRST] = Outcome("active")
    bench.after(0, number=1)
    basis = wanted(base="home@1.1.0").basis
    bench.fits.expect(
        FitRecord(number=2, basis=basis, bundle="home@1.1.0+taught.2", report=report("kettle")), bench.now_ns
    )
    assert bench.after(INSTALL_NS, changes=2, number=1) == "installing", "it is being tried together with its base"
    assert bench.fits.record.number == 1
    bench.installer.outcomes["home@1.1.0+taught.2"] = Outcome("active")
    assert bench.after(0, base="home@1.1.0", number=2) == "idle"
    assert bench.fits.record.number == 2
    assert len(bench.runner.fits) == 1


def test_a_new_base_that_is_refused_leaves_the_active_one_to_be_fitted(bench: Bench) -> None:
    record = FitRecord(number=2, basis=wanted(base="home@1.1.0").basis, bundle="home@1.1.0+taught.2")
    bench.fits.expect(record, bench.now_ns)
    assert bench.after() == "installing"
    bench.installer.outcomes["home@1.1.0+taught.2"] = Outcome("failed", "its self-test failed")
    assert bench.after() == "idle"
    bench.after()
    assert bench.after(QUIET_NS) == "fitting"
