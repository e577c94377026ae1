"""A Chromium that opens written reports and holds every complaint of the page against the test."""

import shutil
from dataclasses import dataclass, field

import pytest

from factories import make_run
from smoothcert.report.html_report import write_page

WIDE = {"width": 1400, "height": 900}
NARROW = {"width": 390, "height": 844}


@dataclass
class Watched:
    """What a page did that it should not."""

    faults: list = field(default_factory=list)

    def watch(self, page):
        page.on("console", lambda message: self.faults.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", self._request)

    def _request(self, request):
        if not request.url.startswith("file://") or not request.is_navigation_request():
            self.faults.append(f"request: {request.url}")


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs chromium on the PATH (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, tmp_path):
    """Open the report of a run: `visit(run, viewport=..., color_scheme=...)`; faults fail the test at its end."""
    watched, contexts = Watched(), []

    def open_report(run, **settings):
        context = chromium.new_context(**{"viewport": WIDE, **settings})
        contexts.append(context)
        page = context.new_page()
        watched.watch(page)
        page.goto(write_page(run, tmp_path).as_uri())
        if settings.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]")
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert watched.faults == []


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run of 120 images at three noise levels, k = 1 and 2."""
    path = tmp_path_factory.mktemp("browser") / "run"
    return make_run(path, images=120, sigma="0.25,0.5,1.0", k="1,2", radius="0.1,0.25,0.5", primary=PRIMARY)


PRIMARY = {"sigma": 0.5, "radius": 0.25, "k": 1}
