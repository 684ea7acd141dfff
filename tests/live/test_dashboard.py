"""The dashboard in a real browser, before the real gateway and the stand-in upstream."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.administered import ADMIN, ENVIRON, admin, chat
from tests.live.raw import Reply
from tests.support.browser import CHROMIUM, NO_BROWSER, Watch
from tests.support.gateway import Gateway
from tests.support.upstream import KEY, StandIn

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.skipif(not CHROMIUM, reason=NO_BROWSER)

REPORTS = Path(__file__).parents[2] / "reports"
CANARY = "canary-of-the-dashboard-0123456789"
CLIENT = "sk-gw-client-of-the-dashboard-0123456789"
HOSTILE = '<img src=x onerror="document.title=1">'
SIZES = {"phone": {"width": 375, "height": 760}, "tablet": {"width": 820, "height": 1180}}
NAMES = """() => [...document.querySelectorAll("button, input, a, select, textarea, table, dialog, section")]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length
    || document.getElementById(one.getAttribute("aria-labelledby"))?.textContent.trim()))
  .map((one) => one.outerHTML)"""
CHANNELS = {"first": "first-1", "second": "second-1", "third": "third-1"}


class Board:
    """A page, the gateway behind it, and what the page was seen doing."""

    def __init__(self, page: Page, gateway: Gateway) -> None:
        self.page = page
        self.gateway = gateway
        self.watch = Watch(page, gateway.url)

    def sign_in(self, key: str = ADMIN) -> Board:
        """Open the page and sign in."""
        self.page.goto(f"{self.gateway.url}/admin")
        self.submit(key)
        self.page.get_by_text("Live", exact=True).wait_for()
        return self

    def submit(self, key: str) -> None:
        """Fill the form and send it."""
        self.page.get_by_label("Admin key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()

    def shows(self, text: str | re.Pattern[str]) -> None:
        """Wait until ``text`` can be seen."""
        self.page.get_by_text(text).locator("visible=true").first.wait_for()

    def row(self, channel: str) -> Any:
        """A channel's rows."""
        name = self.page.locator("td.name", has_text=re.compile(f"^{channel}$"))
        return self.page.locator("#channels tbody", has=name)

    def switch(self, name: str) -> Any:
        """A switch; ``press`` tells how to flip it."""
        return self.page.get_by_role("switch", name=name, exact=True)

    def press(self, name: str, *, on: bool) -> None:
        """Flip a switch and wait until it shows that it holds."""
        self.switch(name).click()
        self.is_on(name, on)

    def is_on(self, name: str, on: bool) -> None:
        """Wait until a switch stands so."""
        self.page.get_by_role("switch", name=name, exact=True, checked=on).wait_for()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where a browser is

    # A loop runs in this thread while it is open: closed before another file's tests begin theirs.
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="module")
def gateway(upstream_server: StandIn) -> Iterator[Gateway]:
    """Three channels in the database, and a client's key."""
    with Gateway(None, environ=ENVIRON) as running:
        for priority, (name, model) in enumerate(CHANNELS.items(), start=1):
            channel = {
                "name": name,
                "type": "custom",
                "protocol": "openai_chat",
                "base_url": f"{upstream_server.url}/v1",
                "api_key": KEY,
                "headers": {"x-note": CANARY},
                "proxy_url": f"http://operator:{CANARY}@127.0.0.1:9",
                "proxy_enabled": False,
                "models": [model, "shared", f"{name}-broken"],
                "aliases": {model: "text", "shared": "text", f"{name}-broken": "error-500"},
                "priority": priority,
                "max_retries": 0,
            }
            assert admin(running, "POST", "/channels", channel).status == 201
        assert admin(running, "POST", "/keys", {"name": "laptop", "key": CLIENT}).status == 201
        yield running


@pytest.fixture
def board(browser: Browser, gateway: Gateway) -> Iterator[Board]:
    """A fresh profile; at the end nothing may have gone wrong in it."""
    yield from visit(browser, gateway)


def visit(browser: Browser, gateway: Gateway, **options: Any) -> Iterator[Board]:
    context = browser.new_context(**options)
    context.set_default_timeout(15_000)
    board = Board(context.new_page(), gateway)
    yield board
    context.close()
    assert board.watch.faults() == []


def channel_of(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    return reply.headers["dragoman-channel"]


def test_signing_in_and_out(board: Board) -> None:
    page = board.page
    page.goto(f"{board.gateway.url}/admin/")
    board.shows("dragoman keys create NAME --admin")
    assert page.evaluate("document.activeElement.id") == "key"
    board.submit("sk-gw-wrong")
    refusal = admin_words(board.gateway, "sk-gw-wrong")
    page.locator("#refusal", has_text=refusal).wait_for()
    board.watch.expected = {401, 403}
    board.submit(CLIENT)
    page.locator("#refusal", has_text="no admin key").wait_for()
    assert page.locator("main").is_hidden()
    board.submit(ADMIN)
    board.shows("environment-admin")
    board.row("first").wait_for()
    assert page.locator("#key").input_value() == ""
    page.get_by_role("button", name="Sign out").click()
    board.shows("Admin key")
    assert page.locator("#channels td, #requests td").count() == 0
    page.reload()
    board.shows("Admin key")


def admin_words(gateway: Gateway, key: str) -> str:
    """How the API refuses ``key``."""
    from tests.live.raw import ask  # noqa: PLC0415

    said = ask(gateway, "GET", "/admin/api/status", None, {"authorization": f"Bearer {key}"})
    return str(said.json["detail"])


def test_too_many_wrong_keys_have_to_wait(board: Board) -> None:
    board.watch.expected = {401, 429}
    board.page.goto(f"{board.gateway.url}/admin")
    for number in range(5):
        board.submit(f"sk-gw-wrong-{number}")
        board.page.locator('#enter[aria-busy="false"]').wait_for()
    board.submit("sk-gw-wrong")
    board.shows(re.compile(r"Too many wrong keys came from this address. Try again in \d s"))
    board.shows(re.compile(r"^Wait \d s$"))
    board.submit(ADMIN)  # as soon as the button can be used again
    board.shows("Live")


@pytest.mark.row("S2-47")
def test_high_availability_mode_is_switched_here(board: Board) -> None:
    gateway = board.gateway
    board.sign_in()
    board.is_on("High availability mode", False)
    assert channel_of(chat(gateway, CLIENT, "second-1")) == "second"
    assert chat(gateway, CLIENT, "no-such-model").status == 404
    board.press("High availability mode", on=True)
    assert channel_of(chat(gateway, CLIENT, "second-1")) == "first", "the very next request"
    assert channel_of(chat(gateway, CLIENT, "no-such-model")) == "first"
    assert stored_settings(gateway)["high_availability_mode"] is True
    board.page.reload()
    board.is_on("High availability mode", True)
    board.press("High availability mode", on=False)
    assert channel_of(chat(gateway, CLIENT, "second-1")) == "second"
    assert stored_settings(gateway)["high_availability_mode"] is False
    admin(gateway, "PATCH", "/settings", {"high_availability_mode": True})
    board.is_on("High availability mode", True)  # another place changed it
    admin(gateway, "PATCH", "/settings", {"high_availability_mode": None})
    board.is_on("High availability mode", False)


def stored_settings(gateway: Gateway) -> dict[str, Any]:
    """What the database holds."""
    (file,) = (gateway.folder / "data").glob("*.db")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT name, value FROM settings").fetchall()
    return {name: json.loads(value) for name, value in rows}


def test_a_mode_that_the_environment_fixes(browser: Browser) -> None:
    environ = {**ENVIRON, "DRAGOMAN_HIGH_AVAILABILITY_MODE": "true"}
    with Gateway(None, environ=environ) as gateway:
        for board in visit(browser, gateway):
            board.sign_in()
            board.shows("It is set by an environment variable of the gateway")
            board.is_on("High availability mode", True)
            assert board.switch("High availability mode").is_disabled()
            board.shows("No channel is configured yet.")
            board.shows("No request yet.")


def test_a_channel_is_switched_off_and_on(board: Board) -> None:
    board.sign_in()
    board.press("Channel third", on=False)
    board.row("third").get_by_text("switched off").wait_for()
    assert chat(board.gateway, CLIENT, "third-1").status in (403, 404, 503)
    board.page.locator("#healthy", has_text="2 of 2, 1 off").wait_for()
    board.press("Channel third", on=True)
    assert channel_of(chat(board.gateway, CLIENT, "third-1")) == "third"


def test_a_channel_is_tried(board: Board) -> None:
    board.sign_in()
    board.page.get_by_role("button", name="Test second").click()
    board.row("second").get_by_text(re.compile("✓ .*answers.*status 200")).wait_for()


def test_a_failing_channel_says_why_and_is_reset(board: Board) -> None:
    board.sign_in()
    row = board.row("third")
    row.locator(".state", has_text=re.compile("^ok$")).wait_for()
    reset = board.page.get_by_role("button", name="Reset third")
    assert reset.is_hidden()
    for _ in range(6):
        assert chat(board.gateway, CLIENT, "third-broken").status >= 500
    row.get_by_text(re.compile(r"failing: circuit open for \d+ s")).wait_for()
    row.get_by_text(re.compile("Last error: ")).wait_for()
    reset.click()
    row.locator(".state", has_text=re.compile("^ok$")).wait_for()
    assert channel_of(chat(board.gateway, CLIENT, "third-1")) == "third"


def test_a_request_is_explained_and_stays_text(board: Board) -> None:
    page = board.page
    assert chat(board.gateway, CLIENT, HOSTILE).status == 404
    board.sign_in()
    page.locator("#requests tr", has_text=HOSTILE).first.wait_for()
    assert channel_of(chat(board.gateway, CLIENT, "shared")) == "first"
    page.get_by_role("button", name=re.compile("Explain .*shared, 200 answered")).first.press(
        "Enter"
    )
    dialog = page.get_by_role("dialog")
    dialog.get_by_text(
        re.compile(r"✓ first, credential 1: text as openai_chat, status 200")
    ).wait_for()
    assert re.search(r"Over all\s+[\d.]+ (ms|s)", dialog.inner_text())
    assert dialog.get_by_text(re.compile(r"^– (second|third): not needed")).count() == 2
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert "Explain" in page.evaluate("document.activeElement.ariaLabel"), "focus is back"
    page.locator("#requests tr", has_text=HOSTILE).first.click()
    dialog.get_by_text(HOSTILE).first.wait_for()
    assert page.locator("img").count() == 0
    assert page.title() == "Dragoman"


def test_no_secret_is_in_the_page(board: Board) -> None:
    board.sign_in()
    chat(board.gateway, CLIENT, "first-1")
    board.page.get_by_role("button", name="Test first").click()
    board.row("first").get_by_text("answers").wait_for()
    board.page.locator("#requests tr", has_text="first-1").first.click()
    board.shows("Timings")
    document = board.page.content()
    kept = board.page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    )
    for secret in (CANARY, KEY, ADMIN, CLIENT):
        assert secret not in document + kept


def test_a_gateway_that_is_away_and_a_session_that_ended(board: Board) -> None:
    page = board.page
    chat(board.gateway, CLIENT, "first-1")
    board.sign_in()
    page.locator("#requests tr", has_text="first-1").first.click()
    board.shows("Timings")
    board.watch.away = True
    board.gateway.stop()
    page.locator("#pulse", has_text="The gateway does not answer. Trying again in").wait_for()
    assert board.row("first").is_visible(), "what was known stays"
    board.gateway.restart()
    look_again(page)
    page.locator("#refusal", has_text="The session has ended. Sign in again.").wait_for()
    assert page.get_by_role("dialog").is_hidden()
    board.submit(ADMIN)
    page.get_by_role("dialog").get_by_text("Timings").wait_for()
    page.get_by_role("button", name="Close").click()
    board.shows("Live")
    board.press("Channel third", on=False)  # with the new session's token
    board.press("Channel third", on=True)


def look_again(page: Page) -> None:
    """What the browser says when its tab is shown or hidden."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_nothing_is_asked_while_nobody_looks(board: Board) -> None:
    page = board.page
    page.clock.install()
    board.sign_in()
    with page.expect_response("**/requests?*"):
        page.clock.run_for(3_000)
    board.shows("Live")
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true})"
    )
    page.evaluate("window.away = true")
    look_again(page)
    before = len(board.watch.asked)
    page.clock.run_for(60_000)
    page.evaluate("0")  # whatever was asked has been noted by now
    assert len(board.watch.asked) == before
    page.evaluate("window.away = false")
    with page.expect_response("**/status"):
        look_again(page)


@pytest.mark.parametrize("look", ["light", "dark", "phone", "tablet"])
def test_it_can_be_used_by_everyone(browser: Browser, gateway: Gateway, look: str) -> None:
    size = SIZES.get(look, {"width": 1280, "height": 900})
    options = {"color_scheme": "dark" if look == "dark" else "light", "viewport": size}
    REPORTS.mkdir(exist_ok=True)
    long = "a-model-with-a-name-that-never-ends-" * 8
    for model in ("first-1", "second-1", "third-broken", long, HOSTILE):
        chat(gateway, CLIENT, model)
    for board in visit(browser, gateway, **options, has_touch=look in SIZES):
        page = board.page
        page.goto(f"{gateway.url}/admin")
        board.shows("Admin key")
        check(page, f"dashboard-{look}-sign-in")
        board.submit(ADMIN)
        page.locator("#requests tr", has_text="a-model-with").first.wait_for()
        page.get_by_role("button", name="Test third").click()
        board.row("third").get_by_text("answers").wait_for()
        check(page, f"dashboard-{look}")
        page.locator("#requests tr", has_text="a-model-with").first.click()
        board.shows("Timings")
        check(page, f"dashboard-{look}-request", whole=False)


def check(page: Page, name: str, *, whole: bool = True) -> None:
    """Take a picture; whatever can be used has a name, and nothing is wider than the screen."""
    page.screenshot(path=REPORTS / f"{name}.png", full_page=whole)
    assert page.evaluate(NAMES) == []
    wide = "[document.documentElement, ...document.querySelectorAll('main, section, dialog, dialog *, td')]"
    wider = f"{wide}.filter((one) => one.scrollWidth > one.clientWidth + 1)"
    assert (
        page.evaluate(f"{wider}.filter((one) => one.clientWidth).map((one) => one.outerHTML)") == []
    )
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
