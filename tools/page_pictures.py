#!/usr/bin/env python3
"""page_pictures.py TARE [MODEL]: write docs/page-chat*.png and docs/page-inspect*.png, the pictures of the page in README.md and docs/page.md

Headless Chromium shows tare serve: Chat with MODEL (SmolLM2-135M-Instruct in the pictures; default fable) and the probabilities of a token, Inspect with fable,
light and dark. Needs PyPI selenium, chromium and chromedriver, as tests/page does."""
import contextlib
import os
import re
import subprocess
import sys

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs")
SETTINGS = {"temperature": "0.6", "seed": "1", "max_tokens": "120"}
QUESTION = "What is the tare of a balance?"
TOKEN = 12  # whose probabilities are shown
CHAT, INSPECT = (1100, 620), (1000, 1300)  # windows in pixels: inspect has the head's decision and the map


def until(driver, true):
    return WebDriverWait(driver, 30, 0.05).until(lambda _: true())


def find(driver, selector):
    return driver.find_element(By.CSS_SELECTOR, selector)


def show(driver, url, view, size, theme):
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False})
    driver.get("about:blank")
    driver.get("%s/#%s" % (url, view))
    driver.execute_script("localStorage.clear(); sessionStorage.clear(); localStorage.setItem('tare.theme', arguments[0])", theme)
    driver.get("about:blank")
    driver.get("%s/#%s" % (url, view))
    until(driver, lambda: find(driver, "#model").text)


def chat(driver):
    """A question, its answer, and what else the model might have said at one place."""
    until(driver, lambda: driver.find_elements(By.CSS_SELECTOR, "#box"))
    for name, value in SETTINGS.items():
        field = find(driver, "[name=%s]" % name)
        field.clear()
        field.send_keys(value)
    find(driver, "[name=probabilities]").click()
    find(driver, "#box").send_keys(QUESTION, Keys.ENTER)
    until(driver, lambda: find(driver, "#send").is_displayed() and driver.find_elements(By.CSS_SELECTOR, ".message.assistant .token"))
    tokens = [token for token in driver.find_elements(By.CSS_SELECTOR, ".token") if len(token.text.strip()) > 3]
    driver.execute_script("document.querySelectorAll('*').forEach(one => { one.scrollTop = 0; })")
    webdriver.ActionChains(driver).move_to_element(tokens[TOKEN]).perform()
    until(driver, lambda: find(driver, "#token-tip").is_displayed())


def inspect(driver):
    until(driver, lambda: driver.find_elements(By.CSS_SELECTOR, ".treemap g"))


@contextlib.contextmanager
def serve(*model):
    """The address of a server with a model, the built-in one where none is named."""
    process = subprocess.Popen([sys.argv[1], "serve", *model, "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        yield re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline()).group()
    finally:
        process.terminate()
        process.wait()


options = webdriver.ChromeOptions()
for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-background-networking"):
    options.add_argument(flag)
browser = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
try:
    for what, act, window, served in (("chat", chat, CHAT, sys.argv[2:]), ("inspect", inspect, INSPECT, [])):
        for colours in ("light", "dark"):
            with serve(*served) as address:
                show(browser, address, what, window, colours)
                act(browser)
                browser.save_screenshot(os.path.join(DOCS, "page-%s%s.png" % (what, "-dark" if colours == "dark" else "")))
finally:
    browser.quit()
