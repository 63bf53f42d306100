"""What people do on the page, in Debian's Chromium against a made-up house: what it sends, and what it says."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.fakes.page_api import PageApi
from tests.helpers.browser import browsers
from tests.helpers.front import EVENT, VIEWS, go, house

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.campaign("page", part=4)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers() as running:
        yield running


def test_the_language_can_be_switched(browser: Browser) -> None:
    with house(browser, PageApi()) as visitor:
        visitor.page.get_by_label("Language").select_option("de")
        expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Jetzt")
        visitor.page.reload()
        expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Jetzt")


def test_one_picture_is_asked_for_at_a_time_and_none_while_nobody_looks(browser: Browser) -> None:
    api = PageApi()
    with house(browser, api) as visitor:
        expect(visitor.page.locator(".live figcaption")).to_be_visible()
        with visitor.page.expect_request(lambda request: "picture/yard?after=3" in request.url):
            pass
        assert api.most_at_once["yard"] == 1
        hide = "Object.defineProperty(document, 'hidden', {get: () => true, configurable: true})"
        visitor.page.evaluate(f"{hide}; document.dispatchEvent(new Event('visibilitychange'))")
        api.wait_until_followed_by(0)
        assert api.at_once["yard"] == 0


def test_somebody_says_what_an_event_was(browser: Browser) -> None:
    api = PageApi()
    with house(browser, api, f"events/{EVENT}") as visitor:
        page = visitor.page
        page.get_by_role("button", name="Wrong").click()
        expect(page.get_by_role("button", name="Wrong")).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_text("wrong: noted, and taught")).to_be_visible()
        page.get_by_role("button", name="It was").click()
        page.get_by_role("dialog").get_by_label("Label").fill("car")
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
        expect(page.get_by_text("it was car")).to_be_visible()
        page.get_by_role("button", name="Keep").click()
        expect(page.get_by_role("button", name="Keep")).to_have_attribute("aria-pressed", "true")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert len(api.events) == 60
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Events")
    assert [(path.rsplit("/", 1)[-1], body) for path, body in api.posts] == [
        ("judge", {"answer": "wrong"}),
        ("judge", {"answer": "was", "label": "car"}),
        ("keep", {"on": True}),
        ("delete", {}),
    ]


def test_events_are_chosen_by_day_stream_and_label(browser: Browser) -> None:
    with house(browser, PageApi(), "events") as visitor:
        page = visitor.page
        expect(page.locator(".event")).to_have_count(24)
        page.get_by_role("button", name="Show older events").click()
        expect(page.locator(".event")).to_have_count(48)
        page.get_by_label("Stream").select_option("kitchen")
        page.get_by_label("Label").select_option("car")
        expect(page.locator(".event")).to_have_count(6)
        page.locator(".event").first.click()
        page.get_by_role("link", name="All events").click()
        expect(page.locator(".event")).to_have_count(6)
        page.get_by_role("button", name="Right").click()
        expect(page.get_by_text("Noted.")).to_be_visible()


def test_a_label_is_taught_by_holding_a_button(browser: Browser) -> None:
    api = PageApi()
    with house(browser, api, "teach") as visitor:
        page = visitor.page
        page.clock.install()
        page.get_by_label("Stream").select_option("kitchen")
        page.get_by_label("What happens?").fill("kettle boils")
        hold = page.get_by_role("button", name="Hold")
        hold.focus()
        page.keyboard.down("Space")
        page.clock.run_for(2000)
        page.keyboard.up("Space")
        expect(page.get_by_text("kettle boils: an example is stored. Moments: 9 (picture, sound)")).to_be_visible()
        hold.hover()
        page.mouse.down()
        page.clock.run_for(6000)  # the longest example is sent by itself
        api.wait_for_posts(2)
        page.mouse.up()
        page.get_by_label("A state that lasts").check()
        page.get_by_label("Of what?").fill("garage")
        page.get_by_label("Which state?").fill("open")
        page.get_by_role("button", name="It happened just now").click()
        api.wait_for_posts(3)
    (held, longest, state) = [body for path, body in api.posts if path == "command/teach"]
    assert {**held, "seconds": 0} == {"label": "kettle boils", "stream": "kitchen", "seconds": 0, "ago_s": 1}
    assert 2 <= held["seconds"] <= 5
    assert longest["seconds"] == 5
    assert state == {"label": "garage: open", "stream": "kitchen", "seconds": 5, "ago_s": 1}


@pytest.mark.parametrize("is_writable", [True, False])
def test_a_part_of_the_picture_becomes_a_stream(browser: Browser, is_writable: bool) -> None:
    api = PageApi(is_writable=is_writable)
    before = api.config
    with house(browser, api, "teach") as visitor:
        page = visitor.page
        page.get_by_role("button", name="Draw a part").click()
        box = page.locator(".draw").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
        page.mouse.up()
        page.get_by_label("Top %").fill("30")
        page.get_by_label("Name of the new stream").fill("gate")
        lines = page.get_by_label("Lines for the config").inner_text()
        page.get_by_role("button", name="Add to the config").click()
        if is_writable:
            page.get_by_role("dialog").get_by_role("button", name="Write the config").click()
            expect(page.get_by_text("Written. The daemon reads")).to_be_visible()
        else:
            expect(page.get_by_text("may not write /etc/perceptd/config.yaml")).to_be_visible()
    assert 'device: "stream:yard"' in lines
    assert "top: 0.3," in lines
    place = before.index("    microphone: default\n") + len("    microphone: default\n")
    assert api.config == (before[:place] + lines + before[place:] if is_writable else before)


def test_the_config_is_checked_before_it_is_written(browser: Browser) -> None:
    api = PageApi()
    better = api.config + "# more\n"
    with house(browser, api, "device") as visitor:
        page = visitor.page
        area = page.get_by_role("textbox", name="Config")
        area.fill("node: house\n")
        page.get_by_role("button", name="Check and save").click()
        expect(page.locator(".problems")).to_contain_text("streams: is missing")
        expect(page.locator(".said.bad")).to_contain_text("Problems found: 1.")
        expect(page.locator(".numbers .wrong")).to_have_text("2")
        area.fill(better)
        page.get_by_role("button", name="Check and save").click()
        page.get_by_role("dialog").get_by_role("button", name="Write the config").click()
        expect(page.locator(".editor textarea")).to_have_value(better)
    assert [path for path, _ in api.posts] == ["config", "config", "config", "reload"]
    assert api.config == better


def test_a_viewer_sees_no_button_that_changes_something(browser: Browser) -> None:
    with house(browser, PageApi(role="viewer")) as visitor:
        for view in VIEWS:
            go(visitor, view)
            expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
            if view == "device":
                expect(visitor.page.get_by_role("heading", name="Models")).to_be_visible()
            assert set(visitor.page.get_by_role("button").all_inner_texts()) <= {"Log out", "Show older events"}, view


def test_the_page_says_when_the_daemon_or_its_server_is_away(browser: Browser) -> None:
    api = PageApi()
    with house(browser, api) as visitor:
        page = visitor.page
        expect(page.locator(".uplot").first).to_be_visible()
        api.is_down = True
        expect(page.locator(".away")).to_contain_text("The daemon does not answer")
        api.is_down = False
        expect(page.locator(".away")).to_be_empty()
        visitor.context.set_offline(True)
        api.end_followers()
        expect(page.locator(".away")).to_contain_text("The page's server does not answer")
        visitor.context.set_offline(False)
        expect(page.locator(".away")).to_be_empty()


def test_the_keyboard_leads_to_the_content(browser: Browser) -> None:
    with house(browser, PageApi()) as visitor:
        page = visitor.page
        expect(page.locator(".uplot").first).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        assert page.url.endswith("#now")
