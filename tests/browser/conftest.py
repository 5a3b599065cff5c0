"""A real browser, and the report of a real run to look at.

Without a browser the tests are skipped with the reason. On Debian: apt-get install chromium chromium-driver.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "tests/plugins/broken_backward.py"
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def module(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / "tests" / path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


_reports = module("report/conftest.py")
sample_report, empty_report, hostile_report = _reports.report, _reports.empty_report, _reports.hostile_report


@pytest.fixture(scope="session")
def samples():
    """Loads another test's module, for the reports, classes and grades that are made up there."""
    return module


class Browser:
    """A driver, with what these tests ask of it again and again."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, file, address="", *, width=1280, dark=False, media="", scripts=True):
        """A fresh page: nothing is left of the one before."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}  # so that what is clicked does not move
        self.cdp("Emulation.setEmulatedMedia", media=media, features=[scheme, still])
        self.cdp("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.driver.get("about:blank")
        self.requests()
        self.complaints()
        self.driver.get(file.as_uri() + address)

    def cdp(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def texts(self, selector):
        """The texts of all elements, shown or not."""
        return self.js("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector)

    def sideways(self):
        """By how many pixels the page is wider than what shows it."""
        return self.js("return document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def legibility(self):
        """How many texts there are, and those whose contrast is too low."""
        return self.js((Path(__file__).parent / "contrast.js").read_text())

    def complaints(self):
        """What the page has written to the console since the last call."""
        return self.driver.get_log("browser")

    def requests(self):
        """The addresses that were asked for since the last call."""
        events = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def pdf(self):
        return base64.b64decode(self.cdp("Page.printToPDF", printBackground=True)["data"])


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="selenium is not installed: pip install 'bnbench[test]'"
    )
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no browser: chromium and chromedriver are not on PATH (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()  # as root, Chromium does not start with its sandbox
    for flag in (*FLAGS, *root, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield Browser(started)
    started.quit()


@pytest.fixture(scope="session")
def run(browser, tmp_path_factory):  # noqa: ARG001 - without a browser nothing is run
    """The folder of a real run: one implementation that passes, and one whose backward is wrong."""
    folder = tmp_path_factory.mktemp("run")
    command = [sys.executable, "-m", "bnbench", "run", "broken_backward", "numpy_staged", "--plugin", PLUGIN, "--quick"]
    command += ["--quiet", "--budget", "0.002", "--output", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    return folder


@pytest.fixture(scope="session")
def results(run):
    """What the page is to show, as it stands in results.json."""
    return json.loads((run / "results.json").read_text())
