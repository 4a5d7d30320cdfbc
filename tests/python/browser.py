"""A real browser without a window: Chromium, driven by Selenium. Tests that ask for `page` are skipped where there is
none, but fail where DIFFAPPLE_BROWSER=required (scripts/test.sh --full)."""

import json
import os
import shutil
from pathlib import Path

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDE, PHONE = (1280, 800), (390, 844)


def missing() -> str:
    """What a machine lacks for these tests, in words."""
    if not any(map(shutil.which, PROGRAMS)) or not shutil.which("chromedriver"):
        return "no chromium with chromedriver (Debian: chromium chromium-driver)"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "no selenium (tests/requirements.txt)"
    return ""


def start():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, PROGRAMS)))
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_page_load_timeout(60)
    driver.set_script_timeout(60)
    return driver


@pytest.fixture(scope="session")
def browser_process():
    if lack := missing():
        if os.environ.get("DIFFAPPLE_BROWSER") == "required":
            pytest.fail(f"{lack}, and DIFFAPPLE_BROWSER=required")
        pytest.skip(lack)
    driver = start()
    yield driver
    driver.quit()


class Page:
    """A report in the browser. What it finds it finds as a reader would: by names and texts."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path: Path, size=WIDE, dark: bool = False, fragment: str = ""):
        self.resize(size)
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]},
        )
        self.driver.get("about:blank")
        self.logs()
        self.driver.get(path.resolve().as_uri() + fragment)
        return self

    def resize(self, size):
        width, height = size
        metrics = dict(width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def js(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list:
        """Elements that can be seen."""
        return [element for element in self.driver.find_elements("css selector", selector) if element.is_displayed()]

    def texts(self, selector: str) -> list[str]:
        """Of the elements that are not hidden, in the order of the page."""
        return self.js(
            "const all = [...document.querySelectorAll(arguments[0])];"
            "return all.filter(element => element.checkVisibility()).map(element => element.textContent)",
            selector,
        )

    def button(self, text: str):
        (found,) = [
            button for button in self.all("button") if text in (button.text, button.get_attribute("aria-label"))
        ]
        return found

    def press(self, *keys: str):
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self) -> str:
        return self.js("const e = document.activeElement; return e.getAttribute('aria-label') ?? e.textContent")

    def logs(self) -> tuple[list[str], list[str]]:
        """Since they were asked for last: the console's lines, and the addresses that were asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        requests = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [entry["message"] for entry in self.driver.get_log("browser")], requests

    def screenshot(self, path: Path):
        self.driver.save_screenshot(str(path))


@pytest.fixture
def page(browser_process) -> Page:
    return Page(browser_process)
