"""A real node and its page in a real browser: every view, a teaching from nothing to an event, and clips that play."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from daemon.teaching.records import NEEDED_BACKGROUND
from daemon.teaching.store import TeachingStore
from tests.helpers.browser import WAIT_MS, Visitor, browsers, visitors
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.drawn_signs import WALL_S
from tests.helpers.mosquitto import wait_until
from tests.helpers.pupil import Pupil
from tests.helpers.watched_house import CAMERAS, PASSWORD, WALL, House, houses
from tests.node.test_teaching_digits import Place, has_watched, is_fitted

pytestmark = [pytest.mark.campaign("page"), pytest.mark.xdist_group("page")]
only_campaign = pytest.mark.skipif(not IS_CAMPAIGN, reason="takes minutes: scripts/test-campaigns page")

PRESSES = 5
SIGN = "cross"
VIEWS = ("now", "events", "teach", "device")

# what is there once a view has got its data
SHOWN = {"now": ".stream .scores", "events": ".event img, .judge", "teach": ".press", "device": ".editor textarea"}

# text that would run if the page took it for HTML
HOSTILE = "<img src=x onerror=document.title='taken'>"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("house")


@pytest.fixture(scope="module")
def house(directory: Path) -> Iterator[House]:
    """The house; its cameras are watched in a campaign only."""
    with houses(directory, 1, CAMERAS if IS_CAMPAIGN else ()) as house:
        house.page.set_password(PASSWORD)
        yield house


@pytest.fixture
def fresh_house(tmp_path: Path) -> Iterator[House]:
    """A house that knows its wall. One that has run for minutes has gathered the sign as background."""
    learn_place(tmp_path / "state")
    with houses(tmp_path, PRESSES + 1) as house:
        house.page.set_password(PASSWORD)
        yield house


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers() as browser:
        yield browser


@pytest.fixture(scope="module")
def shots(directory: Path) -> Path:
    """Where pictures of the page are kept: PERCEPTD_SHOTS names a directory that outlives the test."""
    return Path(os.environ.get("PERCEPTD_SHOTS", directory / "shots"))


def learn_place(state: Path) -> None:
    """Store the background of the wall, as if it had been gathered."""
    store = TeachingStore(state / "teaching" / "teaching.db")
    for moment in Place().background(2 * NEEDED_BACKGROUND):
        store.add_background(replace(moment, stream=WALL))
    store.close()


def log_in(visitor: Visitor) -> None:
    """Log in with the password, which this window has not done yet."""
    visitor.page.get_by_label("Password").fill(PASSWORD)
    visitor.page.get_by_role("button", name="Log in").click()
    expect(visitor.page.get_by_role("heading", name="Now", level=1)).to_be_visible(timeout=WAIT_MS)
    assert [failed for failed in visitor.failed if not failed.startswith("401 /api/")] == []
    visitor.failed.clear()


def go_to(visitor: Visitor, house: House, view: str) -> None:
    """Open a view, and wait until it shows what makes it useful."""
    visitor.page.goto(f"{house.url}#{view}")
    expect(visitor.page.locator(SHOWN[view.partition("/")[0]]).first).to_be_visible(timeout=WAIT_MS)


def ends(pupil: Pupil) -> int:
    """Return how many events of digits have ended on the wall. Those of the sign do not count once it is taught."""
    ended = [each["label"] for each in pupil.all("event") if each["stream"] == WALL and each["phase"] == "end"]
    return sum(label.isdecimal() for label in ended)


def wait_for_sign(pupil: Pupil) -> None:
    """Wait until the sign is on the wall: it follows a digit and the empty wall, and stays for SIGN_S."""
    before = ends(pupil)
    wait_until(lambda: ends(pupil) > before, "a digit is over")
    seen_s = pupil.seconds()
    wait_until(partial(has_watched, pupil, seen_s + WALL_S), "the sign is shown")


def check_well(visitor: Visitor) -> None:
    """Check that nothing went wrong in the browser so far."""
    assert visitor.errors == []
    assert visitor.strangers == set()
    assert visitor.failed == []


def asked(visitor: Visitor, house: House, path: str) -> Any:
    """Return the JSON of a GET with the visitor's cookie."""
    answer = visitor.context.request.get(f"{house.url}api/{path}")
    assert answer.ok, answer.text()
    return json.loads(answer.text())


def has_clip(visitor: Visitor, house: House, query: str, bundle: str | None) -> str | None:
    """Return the id of the newest ended event with a clip, of one bundle if it is given; None: there is none yet."""
    events = asked(visitor, house, f"events?{query}")["events"]
    kept = [event for event in events if event["clip"] and event["ended"]]
    return next((event["id"] for event in kept if bundle in (None, event["bundle"])), None)


def kept_event(visitor: Visitor, house: House, query: str, bundle: str | None = None) -> str:
    """Wait for an event with a clip, of one bundle if it is given; return its id."""
    look = partial(has_clip, visitor, house, query, bundle)
    wait_until(look, f"an event of {query} is kept with its clip")
    return str(look())


def plays(video: Locator) -> bool:
    return bool(video.evaluate("video => video.currentTime > 0.5 && !video.error"))


def check_plays(visitor: Visitor) -> None:
    """Play the clip of the event that is shown, and check that it goes on."""
    video = visitor.page.locator("video")
    expect(video).to_have_js_property("readyState", 4, timeout=WAIT_MS)
    video.evaluate("video => { video.muted = true; return video.play(); }")
    wait_until(partial(plays, video), "the clip plays")
    assert video.evaluate("video => video.videoWidth") == 320


def test_an_owner_logs_in_by_a_link_sees_every_view_plays_a_clip_and_logs_out(
    house: House, browser: Browser, shots: Path
) -> None:
    """The part that runs by default."""
    link = house.page.link()
    with visitors(browser, link) as visitor:
        page = visitor.page
        expect(page.get_by_role("article", name="The wall")).to_be_visible(timeout=WAIT_MS)
        expect(page.get_by_role("list", name="Scores").first).to_be_visible(timeout=WAIT_MS)
        event = kept_event(visitor, house, f"stream={WALL}")
        for view in VIEWS:
            go_to(visitor, house, view)
            expect(page.get_by_role("link", name=view.capitalize())).to_have_attribute("aria-current", "page")
            visitor.shot(shots, f"{view}-desktop")
        go_to(visitor, house, f"events/{event}")
        check_plays(visitor)
        visitor.shot(shots, "event-desktop")
        assert visitor.violations() == []
        page.get_by_role("button", name="Wrong").click()
        expect(page.get_by_role("status").filter(has_text="history")).to_be_visible(timeout=WAIT_MS)
        assert asked(visitor, house, f"events/{event}")["event"]["verdict"] == "wrong"
        check_well(visitor)
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible(timeout=WAIT_MS)
        assert visitor.context.request.get(f"{house.url}api/describe").status == 401
        assert visitor.context.request.get(link).status == 401, "a link logs in once"


@only_campaign
@pytest.mark.parametrize("size", ["desktop", "phone", "narrow"])
@pytest.mark.parametrize(("language", "scheme"), [("en-GB", "light"), ("de-DE", "dark")])
def test_every_view_is_whole_and_can_be_read_by_everybody(
    house: House, browser: Browser, shots: Path, size: str, language: str, scheme: str
) -> None:
    with visitors(browser, house.page.link(), size, language=language, scheme=scheme) as visitor:
        event = kept_event(visitor, house, f"stream={WALL}")
        for view in (*VIEWS, f"events/{event}"):
            go_to(visitor, house, view)
            visitor.page.wait_for_load_state("load")
            visitor.shot(shots, f"{view.partition('/')[0]}{'-one' if '/' in view else ''}-{size}-{scheme}")
            assert visitor.violations() == [], view
            assert not visitor.is_too_wide(), view
        check_well(visitor)


@only_campaign
@pytest.mark.parametrize("stream", [WALL, *CAMERAS])
def test_a_clip_of_each_kind_of_camera_plays(house: House, browser: Browser, shots: Path, stream: str) -> None:
    with visitors(browser, house.page.link()) as visitor:
        event = kept_event(visitor, house, f"stream={stream}")
        clip = asked(visitor, house, f"events/{event}")["event"]["clip"]
        assert clip["video"] == {"h264": "h264", "h265": "hevc"}.get(stream, "mjpeg")
        assert clip["audio"] == ("aac" if stream in ("h264", "h265") else None)
        go_to(visitor, house, f"events/{event}")
        check_plays(visitor)
        if clip["audio"]:
            spectrogram = visitor.page.locator(".spectrogram img")
            expect(spectrogram).to_have_js_property("complete", True, timeout=WAIT_MS)
        visitor.shot(shots, f"clip-{stream}")
        check_well(visitor)


@only_campaign
def test_a_sign_is_taught_in_the_browser_and_recognised(fresh_house: House, browser: Browser, shots: Path) -> None:
    house, pupil = fresh_house, fresh_house.pupil
    with visitors(browser, house.url, "phone") as visitor:
        log_in(visitor)
        page = visitor.page
        go_to(visitor, house, "teach")
        if len(asked(visitor, house, "describe")["streams"]) > 1:
            page.get_by_label("Stream").select_option(WALL)
        page.get_by_label("What happens?").fill(SIGN)
        hold = page.get_by_role("button", name="Hold while it happens")
        for _ in range(PRESSES):
            wait_for_sign(pupil)
            hold.click(delay=1500)
            expect(page.get_by_text(f"{SIGN}: an example is stored")).to_be_visible(timeout=WAIT_MS)
            page.get_by_label("What happens?").fill(SIGN)
        visitor.shot(shots, "taught-phone")
        wait_until(partial(is_fitted, pupil), "a fit to all presses is recognised", 120)
        expect(page.get_by_text("ready", exact=True)).to_be_visible(timeout=WAIT_MS)
        page.get_by_role("button", name=f"Examples ({PRESSES})").click()
        expect(page.locator(".examples img")).to_have_count(PRESSES, timeout=WAIT_MS)
        expect(page.get_by_role("heading", name="How well it is recognised")).to_be_visible(timeout=WAIT_MS)
        visitor.shot(shots, "ready-phone")
        assert visitor.violations() == []
        assert pupil.label()["found"] >= PRESSES - 1, pupil.label()
        go_to(visitor, house, "now")
        expect(page.get_by_role("article", name="The wall").get_by_role("list", name="Scores")).to_contain_text(SIGN)
        event = kept_event(visitor, house, f"stream={WALL}&label={SIGN}", pupil.latest("teaching")["bundle"])
        go_to(visitor, house, f"events/{event}")
        expect(page.get_by_role("heading", name=SIGN)).to_be_visible(timeout=WAIT_MS)
        check_plays(visitor)
        for answer in ("Right", "Wrong"):
            page.get_by_role("button", name=answer).click()
            expect(page.get_by_role("button", name=answer)).to_have_attribute("aria-pressed", "true", timeout=WAIT_MS)
        assert asked(visitor, house, f"events/{event}")["event"]["verdict"] == "wrong"
        visitor.shot(shots, "judged-phone")
        check_well(visitor)


@only_campaign
def test_text_that_others_send_is_shown_as_text(house: House, browser: Browser) -> None:
    with visitors(browser, house.page.link()) as visitor:
        page = visitor.page
        house.pupil.broker.publish(f"perceptd/house/{WALL}/text", HOSTILE.encode())
        answer = house.pupil.send("teach", label=HOSTILE, stream=WALL, seconds=2.0)
        assert answer["ok"], answer
        event = kept_event(visitor, house, f"stream={WALL}")
        for view in (*VIEWS, f"events/{event}"):
            go_to(visitor, house, view)
            if view == "teach":
                expect(page.get_by_text(HOSTILE).first).to_be_visible(timeout=WAIT_MS)
            assert page.locator("img[src=x]").count() == 0
            assert page.title() != "taken"
        check_well(visitor)


@only_campaign
def test_a_daemon_that_is_away_is_told_in_words(house: House, browser: Browser, shots: Path) -> None:
    """The last test of the house, whose daemon ends."""
    with visitors(browser, house.page.link(), "phone") as visitor:
        expect(visitor.page.get_by_role("list", name="Scores").first).to_be_visible(timeout=WAIT_MS)
        assert house.daemon.stop() == 0
        expect(visitor.page.get_by_text("The daemon does not answer.")).to_be_visible(timeout=WAIT_MS)
        visitor.shot(shots, "away-phone")
