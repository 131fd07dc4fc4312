"""A real browser without a window, for pages that the engine writes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1400,900"
).split()


def start(profile: Path) -> Any:
    """Chromium through its own driver; nothing is downloaded. Skips where one of the two is missing."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium with chromedriver here: the page is not opened in a browser")
    selenium = pytest.importorskip("selenium.webdriver", reason="no selenium here: the page is not opened")
    from selenium.webdriver.chrome.service import Service

    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return selenium.Chrome(options=options, service=Service(executable_path=driver))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Selenium's driver of one Chromium for all tests of a worker."""
    driver = start(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()
