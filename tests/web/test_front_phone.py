"""The page on a phone: fingers, a narrow head, and lists that hold still."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.fakes.page_api import PageApi
from tests.helpers.browser import browsers
from tests.helpers.front import house

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.campaign("page")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers() as running:
        yield running


def test_a_finger_holds_the_button_and_may_move_meanwhile(browser: Browser) -> None:
    api = PageApi()
    with house(browser, api, "teach", "phone") as visitor:
        page = visitor.page
        page.clock.install()
        page.get_by_label("What happens?").fill("kettle boils")
        hold = page.locator(".hold")
        hold.scroll_into_view_if_needed()
        box = hold.bounding_box()
        assert box is not None
        point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        before = page.evaluate("scrollY")
        finger = visitor.context.new_cdp_session(page)
        finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
        expect(hold).to_have_text("Hold on…")
        page.clock.run_for(2000)
        # a finger that rolls scrolls nothing and ends nothing
        point["y"] += box["height"]
        finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        expect(hold).to_have_text("Hold on…")
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        expect(page.get_by_text("kettle boils: an example is stored")).to_be_visible()
        assert page.evaluate("scrollY") == before
    (body,) = [body for path, body in api.posts if path == "command/teach"]
    assert 2 <= body["seconds"] < 5


@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
def test_the_head_is_one_line_on_a_narrow_phone(browser: Browser, language: str) -> None:
    with house(browser, PageApi(), size="narrow", language=language) as visitor:
        page = visitor.page
        expect(page.locator(".brand b")).to_have_text("house")
        name = "brand => brand.scrollWidth <= brand.clientWidth"
        assert page.locator(".brand b").evaluate(name), "the name of the node is cut off"
        assert page.locator(".head").evaluate("head => head.clientHeight") < 70


def test_new_events_wait_while_somebody_looks_further_down(browser: Browser) -> None:
    api = PageApi()
    latest = api.events[0]
    new = [{**latest, "id": f"{900 + each:032x}", "number": 900 + each, "label": "new"} for each in range(3)]
    with house(browser, api, "events", "phone") as visitor:
        page = visitor.page
        first = page.locator(".event b").first
        expect(first).to_be_visible()
        api.events = [*reversed(new), *api.events]
        api.news.append(new[0])
        expect(first).to_have_text("new")
        page.evaluate("scrollTo(0, 600)")
        api.news += new[1:]
        expect(page.get_by_role("button", name="Show new events (2)")).to_be_visible()
        expect(page.locator(".event b", has_text="new")).to_have_count(1)
        page.get_by_role("button", name="Show new events (2)").click()
        expect(page.locator(".event b", has_text="new")).to_have_count(3)
        assert page.evaluate("scrollY") == 0


def test_a_press_that_the_report_names_is_found_among_the_examples(browser: Browser) -> None:
    api = PageApi()
    api.examples[0]["id"] = "7a45b662" + 24 * "0"  # that which the report names
    with house(browser, api, "teach", "phone") as visitor:
        page = visitor.page
        expect(page.get_by_text("missed: press 7a45b662")).to_be_visible()
        page.get_by_role("button", name="Examples (5)").click()
        expect(page.locator(".examples li", has_text="7a45b662")).to_have_count(1)
        text = page.get_by_text("Each example was held out")
        box = text.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 390, "the text is cut off beside the matrix"
