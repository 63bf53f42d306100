"""The page in Debian's Chromium, against a made-up house: how each view looks, and that texts stay texts."""

import threading
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from daemon.config.streams import PictureConfig
from daemon.core.errors import SourceError
from daemon.core.records import Captured, Counters
from daemon.history.clips import ClipWriter
from daemon.history.playback import run_job
from daemon.history.rendering import render_h264
from daemon.history.ring import MediaRing
from daemon.sources.picture import PicturePreparation
from daemon.sources.v4l2 import V4l2Camera
from tests.fakes.page_api import PageApi
from tests.fakes.page_data import SCRIPT
from tests.helpers.browser import browsers
from tests.helpers.campaign import IS_CAMPAIGN, share
from tests.helpers.front import EVENT, VIEWS, go, house
from tests.sources import cameras

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.campaign("page")]

only_campaign = pytest.mark.skipif(not IS_CAMPAIGN, reason="takes seconds: scripts/test-campaigns page")

LOOKS = list(product(("desktop", "phone", "narrow"), ("light", "dark"), ("en-GB", "de-DE")))

# waits until a film has passed a time; the policy of the page forbids Playwright's own way
PASSES = """(video, time) => new Promise((passed) => {
    const look = () => (video.currentTime > time ? passed() : setTimeout(look, 20));
    look();
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers() as running:
        yield running


@pytest.mark.parametrize(("size", "scheme", "language"), share(LOOKS, 1, "looks of the page"))
def test_each_view_is_accessible_and_fits(browser: Browser, size: str, scheme: str, language: str) -> None:
    with house(browser, PageApi(), size=size, scheme=scheme, language=language) as visitor:
        page = visitor.page
        for view in VIEWS:
            go(visitor, view)
            ready(page, view)
            assert not visitor.is_too_wide(), view
            assert visitor.violations() == [], view
        expect(page.locator("html")).to_have_attribute("lang", language[:2])


def ready(page: Page, view: str) -> None:
    """Wait until a view shows what it shows last."""
    last = {"now": ".uplot", "events": ".event img", "teach": ".matrix", "device": ".editor"}
    expect(page.locator(last.get(view, ".spectrogram img")).first).to_be_visible()


LATE_VALUE = """async () => {
    const { html, render } = await import(new URL("vendor/standalone.module.js", document.baseURI));
    const { Box, useBox } = await import(new URL("static/box.js", document.baseURI));
    const box = new Box("old");
    const Shown = () => html`<b id="shown">${useBox(box)}</b>`;
    render(html`<${Shown} />`, document.body);
    box.set("new");
}"""


def test_a_value_that_changes_before_its_view_watches_is_shown(browser: Browser) -> None:
    with house(browser, PageApi()) as visitor:
        visitor.page.evaluate(LATE_VALUE)
        expect(visitor.page.locator("#shown")).to_have_text("new")


def test_texts_from_outside_are_shown_as_texts(browser: Browser) -> None:
    with house(browser, PageApi(mark=SCRIPT)) as visitor:
        page = visitor.page
        for view in VIEWS:
            go(visitor, view)
            ready(page, view)
            if view == "teach":
                page.get_by_role("button", name="Examples (5)").click()
                page.get_by_role("button", name="Undo the latest").click()
                expect(page.get_by_text("Undone: ")).to_contain_text(SCRIPT)
            if view == "device":
                page.get_by_role("button", name="Show the log").click()
                expect(page.locator(".log")).to_contain_text(SCRIPT)
                page.get_by_role("button", name="Run the doctor").click()
                expect(page.locator(".findings")).to_contain_text(SCRIPT)
                page.get_by_role("button", name="Go back").click()
                page.get_by_role("dialog").get_by_role("button", name="Go back").click()
                expect(page.get_by_text("no bundle before")).to_contain_text(SCRIPT)
            assert page.locator("img[src=x], main script").count() == 0, view
            assert "owned" not in page.title()
        go(visitor, "now")
        expect(page.get_by_role("heading", level=2).first).to_contain_text(SCRIPT)


@only_campaign
def test_a_clip_plays_and_the_playhead_moves(browser: Browser) -> None:
    with house(browser, PageApi(), f"events/{EVENT}") as visitor:
        page = visitor.page
        film = page.locator("video")
        expect(page.locator(".playhead")).to_have_attribute("style", "left: 0%;")
        film.evaluate("video => { video.muted = true; return video.play() }")
        film.evaluate(PASSES, 0.5)
        expect(page.locator(".playhead")).not_to_have_attribute("style", "left: 0%;")
        page.get_by_label("Position in the clip").fill("3")
        film.evaluate(PASSES, 3)


@only_campaign
def test_a_clip_of_a_v4l2_camera_plays(browser: Browser, tmp_path: Path) -> None:
    """The camera's program reads a fake device, in a process of its own as ever."""
    api = PageApi()
    api.film = v4l2_film(tmp_path)
    with house(browser, api, f"events/{EVENT}") as visitor:
        film = visitor.page.locator("video")
        film.evaluate("video => { video.muted = true; return video.play() }")
        film.evaluate(PASSES, 1)
        assert film.evaluate("video => video.videoWidth") == 320


def v4l2_film(directory: Path) -> bytes:
    """Return what a browser plays of a V4L2 camera: the clip as the history keeps it, rendered as the page does."""
    pictures: list[Captured] = []
    counters = {"image": Counters()}
    camera = V4l2Camera("/dev/null", counters, PicturePreparation(PictureConfig()), program=cameras.filming)
    with pytest.raises(SourceError, match="stopped delivering"):
        camera.run(pictures.append, threading.Event())
    ring = MediaRing(has_packets=False, before_s=10)
    for picture in pictures:
        ring.add(picture)
        ring.encode_pictures()
    taken = ring.take(ring.begin(0))
    writer = ClipWriter(directory / "clip.part", with_sound=False)
    writer.write(taken.packets, taken.blocks)
    clip = writer.close()
    assert clip is not None
    assert clip.video == "mjpeg"
    assert clip.duration_s > 2
    with (directory / "clip.part").open("rb") as kept, (directory / "film.mp4").open("w+b") as film:
        run_job(render_h264, kept.fileno(), film.fileno())
    return (directory / "film.mp4").read_bytes()


def test_login_and_logout(browser: Browser) -> None:
    with house(browser, PageApi(role=None)) as visitor:
        page = visitor.page
        assert visitor.violations() == []
        page.get_by_label("Password").fill("guessed")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_text("the password is wrong")).to_be_visible()
        page.get_by_label("Password").fill("right")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Now")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Password")).to_be_visible()
