#!/usr/bin/env python3
"""test_page.py TARE [--serve] [--shots FOLDER] [-v]: the page of tare serve in headless Chromium, driven by PyPI selenium, and
where PyPI axe-selenium-python is there, under axe-core. Without --serve a stand-in for the server answers (stub.py)."""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

import stub

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "src/serve/page")
asked = None


def embedded_json(html):
    return re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S).group(1)


def report(*args, cwd=ROOT):
    """The text of `tare check ... --html`, run in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "out.html")
        done = subprocess.run([asked.tare, *args, "--html", file], capture_output=True, text=True, check=False, cwd=cwd)
        assert done.returncode in (0, 1), done.stderr
        with open(file, encoding="utf-8") as f:
            return f.read()


class Page(unittest.TestCase):
    @classmethod
    def flags(cls):
        return [os.path.join(ROOT, "models/fable")]

    @classmethod
    def setUpClass(cls):
        cls.server, cls.process = None, None
        if asked.serve:
            cls.process = subprocess.Popen([asked.tare, "serve", *cls.flags(), "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            cls.url = next(found.group() for found in (re.search(r"http://127\.0\.0\.1:\d+", line) for line in cls.process.stdout) if found)
        else:
            cls.server = stub.start(PAGE, embedded_json(report("check", "models/fable")))
            cls.url = "http://127.0.0.1:%d" % cls.server.server_address[1]
        options = webdriver.ChromeOptions()
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-background-networking"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        cls.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))

    @classmethod
    def tearDownClass(cls):
        cls.driver.quit()
        if cls.server:
            cls.server.shutdown()
            cls.server.server_close()
        if cls.process:
            cls.process.terminate()
            cls.process.wait()
            cls.process.stdout.close()

    def setUp(self):
        self.open(1440, 900)
        self.driver.execute_script("localStorage.clear(); sessionStorage.clear(); localStorage.setItem('tare.theme', 'light')")
        self.open(1440, 900)

    def complaints(self):
        return [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def tearDown(self):
        """Nothing was complained of in the console, and no other host was asked."""
        bad = self.complaints()
        self.assertEqual(bad, [])
        hosts = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = urlsplit(message["params"]["request"]["url"])
                if url.scheme in ("http", "https", "ws", "wss"):
                    hosts.add(url.netloc)
        self.assertLessEqual(hosts, {urlsplit(self.url).netloc})

    def open(self, width, height, view="chat"):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.driver.get("about:blank")
        self.driver.get("%s/#%s" % (self.url, view))
        self.until(lambda: self.find("#model").text)
        self.until(lambda: self.all("#box"))

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def until(self, true, seconds=30):
        return WebDriverWait(self.driver, seconds, 0.05, [StaleElementReferenceException]).until(lambda driver: true())

    def shot(self, name):
        if asked.shots:
            self.driver.save_screenshot(os.path.join(asked.shots, name + ".png"))

    def slow_line(self):
        """The built-in model answers within a tenth of a second: over a slow line that takes long enough to be seen."""
        if not self.server:
            self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, "latency": 1, "downloadThroughput": 20000, "uploadThroughput": 100000})
            self.addCleanup(self.driver.execute_cdp_cmd, "Network.emulateNetworkConditions", {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})

    def send(self, text):
        self.find("#box").send_keys(text, Keys.ENTER)

    def done(self):
        self.until(lambda: self.find("#send").is_displayed() and self.all(".message.assistant"))

    def wide(self):
        """By how many pixels the page is wider than its window."""
        return self.driver.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def axe(self, where):
        try:
            from axe_selenium_python import Axe
        except ImportError:
            self.skipTest("axe-selenium-python is not installed")
        axe = Axe(self.driver)
        with open(axe.script_url, encoding="utf-8") as f:  # over the protocol, which the policy of the page does not hold back
            self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": f.read()})
        found = [(one["id"], [node["html"][:160] for node in one["nodes"]][:3]) for one in axe.run()["violations"] if one["impact"] in ("serious", "critical")]
        self.assertEqual(found, [], where)


class Chat(Page):
    def test_streams(self):
        self.slow_line()
        self.send("Tell me a story")
        lengths = set()
        self.until(lambda: lengths.add(len(self.find(".message.assistant .body").text)) or self.find("#send").is_displayed())
        self.assertGreater(len(lengths), 2, "the answer came at once")
        self.assertIn("tokens/s", self.find(".message.assistant .actions").text)
        self.assertEqual(self.find(".messages").get_attribute("aria-busy"), "false")
        self.assertEqual(self.find("[role=status]").get_attribute("textContent"), "The answer is complete.")
        self.shot("page-chat-light")

    def test_markup_is_text(self):
        if not self.server:
            self.skipTest("the text is the stub's")
        self.send("markup")
        self.done()
        body = self.find(".message.assistant .body")
        self.assertIn("<script>alert(2)</script>", body.text)
        self.assertEqual(body.find_elements(By.CSS_SELECTOR, "img, script, [onerror]"), [])
        self.assertEqual([a.get_attribute("href") for a in body.find_elements(By.CSS_SELECTOR, "a")], ["https://example.org/"])
        self.assertEqual(body.find_element(By.CSS_SELECTOR, "strong").text, "bold")
        self.assertEqual(body.find_element(By.CSS_SELECTOR, "pre code").text, "print('<b>not bold</b>')")
        self.assertEqual(len(body.find_elements(By.CSS_SELECTOR, "ul li")), 2)
        self.assertEqual(len(body.find_elements(By.CSS_SELECTOR, "td")), 2)

    def test_stops_by_escape(self):
        if self.server:
            self.server.stopped.clear()
        self.slow_line()
        self.send("a slow one")
        self.until(lambda: self.all(".message.assistant .body") and len(self.find(".message.assistant .body").text) > 5)
        self.find("#box").send_keys(Keys.ESCAPE)
        self.done()
        self.assertIn("stopped", self.find(".message.assistant .actions").text)
        if self.server:
            self.until(lambda: self.server.stopped, 5)

    def test_regenerates_and_branches(self):
        self.send("first question")
        self.done()
        self.find(".regenerate").click()
        self.done()
        self.assertIn("2 / 2", self.find(".message.assistant .branches").text)
        self.find(".message.user .actions button:nth-of-type(2)").click()
        area = self.find(".message.user textarea")
        area.clear()
        area.send_keys("second question", Keys.ENTER)
        self.done()
        self.assertEqual(self.find(".message.user .body").text, "second question")
        self.find(".message.user .branches button").click()
        self.assertEqual(self.find(".message.user .body").text, "first question")
        self.assertIn("2 / 2", self.find(".message.assistant .branches").text)
        self.open(1440, 900)
        self.assertEqual(self.find(".message.user .body").text, "first question", "it was not kept")

    def test_schema_and_settings(self):
        self.find("[name=system]").send_keys("Be brief.")
        schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}}, "required": ["name"], "additionalProperties": False}
        self.find("[name=schema]").send_keys("{")
        self.assertIn("Not JSON", self.find(".settings [role=alert]").text)
        self.find("[name=schema]").clear()
        self.find("[name=schema]").send_keys(json.dumps(schema))
        self.send("Who?")
        self.done()
        self.assertIn("name", json.loads(self.find(".message.assistant .body").text))
        if self.server:
            request = self.server.requests[-1]
            self.assertEqual(request["messages"], [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}])
            self.assertEqual(request["response_format"]["json_schema"]["schema"], schema)

    def test_probabilities(self):
        self.find("[name=probabilities]").click()
        self.send("Tell")
        self.done()
        tokens = [token for token in self.all(".token") if len(token.text.strip()) > 1]
        self.assertGreater(len(tokens), 2)
        webdriver.ActionChains(self.driver).scroll_to_element(tokens[1]).move_to_element(tokens[1]).perform()
        self.until(lambda: self.find("#token-tip").is_displayed())
        self.assertRegex(self.find("#token-tip").text, r"%")
        self.shot("page-tokens-light")

    def test_keyboard_alone(self):
        """From the box, which has the focus at the start: send, then back to the copy button, and the model's view by its link."""
        active = self.driver.switch_to.active_element
        self.assertEqual(active.get_attribute("id"), "box")
        active.send_keys("hello", Keys.ENTER)
        self.done()
        seen = []
        for _ in range(12):
            webdriver.ActionChains(self.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
            seen.append(self.driver.switch_to.active_element.text)
            if seen[-1] == "Copy" and "Regenerate" in seen:
                break
        self.assertIn("Regenerate", seen)
        self.driver.switch_to.active_element.send_keys(Keys.ENTER)
        self.until(lambda: self.find("[role=status]").get_attribute("textContent") == "Copied.")
        self.driver.get(self.url)
        self.until(lambda: self.all("#box"))
        for _ in range(60):  # round the page, past its end
            webdriver.ActionChains(self.driver).send_keys(Keys.TAB).perform()
            if self.driver.switch_to.active_element.text == "Inspect":
                break
        self.driver.switch_to.active_element.send_keys(Keys.ENTER)
        self.until(lambda: self.all(".head"))

    def test_export(self):
        self.send("to be kept")
        self.done()
        with tempfile.TemporaryDirectory() as folder:
            self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": folder})
            self.find(".side .row button:nth-of-type(2)").click()
            file = os.path.join(folder, "tare-chats.json")
            self.until(lambda: os.path.exists(file) and os.path.getsize(file))
            with open(file, encoding="utf-8") as f:
                nodes = json.load(f)[0]["nodes"].values()
        self.assertEqual([node["role"] for node in nodes], ["user", "assistant"])
        self.assertEqual([node["content"] for node in nodes][0], "to be kept")

    def test_narrow_and_dark(self):
        self.open(360, 740)
        self.find("#theme").click()
        self.assertEqual(self.find("html").get_attribute("data-theme"), "dark")
        self.send("Tell")
        self.done()
        self.assertEqual(self.wide(), 0)
        self.shot("page-chat-phone")
        self.axe("chat, dark, 360 px")

    def test_axe(self):
        self.send("Tell")
        self.done()
        self.axe("chat, light")


class Inspect(Page):
    def test_head_and_treemap(self):
        self.open(1440, 900, "inspect")
        self.until(lambda: self.all(".treemap g"))
        self.assertIn("dropped", self.find(".head .decision").text)
        self.assertIn("config:tie_word_embeddings", self.find(".head").text)
        self.assertIn("equal", self.find(".head").text)
        self.assertTrue(self.all(".treemap .kindset"), "the redundant head is not in the map")
        self.shot("page-inspect-light")
        self.axe("inspect, light")
        before = len(self.all(".treemap g"))
        self.find('.treemap g[aria-label^="model.layers.0"]').send_keys(Keys.ENTER)
        self.until(lambda: len(self.all('nav[aria-label="Place in the map"] button')) > 1)
        self.assertNotEqual(before, len(self.all(".treemap g")))
        webdriver.ActionChains(self.driver).scroll_to_element(self.find(".legend")).perform()
        self.shot("page-treemap-light")

    def test_search_and_module(self):
        self.open(1440, 900, "inspect")
        self.until(lambda: self.all(".tensors td button"))
        self.find("input[type=search]").send_keys("layers.0 o_proj qweight")
        self.assertEqual(len(self.all(".tensors tbody tr")), 1)
        self.find(".tensors td button").click()
        self.until(lambda: len(self.all("#module .histogram")) >= 2)
        self.assertIn("o_proj", self.find("#module").text)
        self.shot("page-module-light")

    def test_narrow_and_dark(self):
        self.open(360, 740, "inspect")
        self.until(lambda: self.all(".treemap g"))
        self.find("#theme").click()
        self.assertEqual(self.wide(), 0)
        self.shot("page-inspect-phone")
        self.axe("inspect, dark, 360 px")


class Load(Page):
    def test_figures(self):
        self.open(1440, 900, "load")
        self.until(lambda: [one for one in self.all(".figure") if re.search(r"\d", one.text)])
        time.sleep(2.2)
        if not self.server:
            cards = {card.find_element(By.TAG_NAME, "h2").text: card.find_element(By.CLASS_NAME, "figure").text for card in self.all(".card") if card.is_displayed()}
            self.assertEqual(cards["Slots in use"], "0 of 32")
            self.assertEqual(cards["Models in memory"], "1 of 1")
            self.assertRegex(cards["Memory of the server"], r"^\d+ MB$")
            self.assertRegex(cards["States of texts"], r"^.* B of .* GB$")
        self.shot("page-load-light")
        self.axe("load, light")
        self.open(360, 740, "load")
        self.assertEqual(self.wide(), 0)


class Several(Page):
    """A folder of models, of which one is chosen; only tare serve has one."""

    @classmethod
    def flags(cls):
        cls.room = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.room.cleanup)
        for name in ("alder", "birch"):
            shutil.copytree(os.path.join(ROOT, "models/fable"), os.path.join(cls.room.name, name))
        os.mkdir(os.path.join(cls.room.name, "rotten"))
        with open(os.path.join(cls.room.name, "rotten", "config.json"), "w", encoding="utf-8") as f:
            f.write("{")
        return ["--models-dir", cls.room.name]

    def setUp(self):
        if not asked.serve:
            self.skipTest("the stub has one model")
        super().setUp()

    def choose(self, name):
        Select(self.find("#model select")).select_by_visible_text(name)

    def test_choose(self):
        self.assertEqual([o.text for o in Select(self.find("#model select")).options], ["alder", "birch", "rotten"])
        self.choose("birch")
        self.send("Tell me a story")
        self.done()
        self.open(1440, 900, "load")
        self.assertEqual(self.find("#model select").get_property("value"), "birch", "the choice was not kept")
        self.until(lambda: "1 of 3" in self.find(".cards").text)
        self.driver.get(self.url + "/#inspect")
        self.until(lambda: self.all(".head") and "birch" in self.find("#view-inspect").text)
        self.choose("alder")
        self.until(lambda: "alder" in self.find("#view-inspect h2, #view-inspect").text)
        self.axe("inspect of the second model")

    def test_broken(self):
        self.choose("rotten")
        self.send("Hi")
        self.until(lambda: "cannot be loaded" in self.find(".messages").text)
        self.assertNotIn(self.room.name, self.find("body").text)
        self.assertEqual(len([one for one in self.complaints() if "500" not in one["message"]]), 0)


class Key(Page):
    """A server that asks for a key; only tare serve does."""

    @classmethod
    def flags(cls):
        return [os.path.join(ROOT, "models/fable"), "--api-key", "a key"]

    def setUp(self):
        if not asked.serve:
            self.skipTest("the stub asks for no key")
        self.open(1440, 900)
        self.driver.execute_script("localStorage.clear(); sessionStorage.clear(); localStorage.setItem('tare.theme', 'light')")
        self.driver.get("about:blank")
        self.driver.get(self.url + "/#chat")
        self.until(lambda: self.all("#model input"))

    def open(self, width, height, view="chat"):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.driver.get("about:blank")
        self.driver.get("%s/#%s" % (self.url, view))
        self.until(lambda: self.all("#model input, #model select") or self.find("#model").text)

    def complaints(self):
        return [entry for entry in super().complaints() if "401" not in entry["message"]]

    def test_key(self):
        self.assertEqual(self.driver.switch_to.active_element, self.find("#model input"))
        self.axe("the question for a key")
        self.shot("page-key-light")
        self.find("#model input").send_keys("wrong", Keys.ENTER)
        self.until(lambda: "not taken" in self.find("#model").text)
        self.find("#model input").send_keys("a key", Keys.ENTER)
        self.until(lambda: self.find("#model").text == "fable")
        self.send("Tell me a story")
        self.done()
        self.assertIn("tokens/s", self.find(".message.assistant .actions").text)
        self.driver.get(self.url + "/#load")
        self.until(lambda: "0 of 32" in self.find(".cards").text)
        kept = self.driver.execute_script("return [JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie]")
        self.assertNotIn("a key", kept[0] + kept[2])
        self.assertIn("a key", kept[1])
        self.driver.switch_to.new_window("tab")  # another tab is asked again
        self.addCleanup(lambda: (self.driver.close(), self.driver.switch_to.window(self.driver.window_handles[0])))
        self.driver.get(self.url + "/#chat")
        self.until(lambda: self.all("#model input"))

    def test_narrow(self):
        self.open(360, 740)
        self.assertEqual(self.wide(), 0)
        self.assertTrue(self.find(".key button").is_displayed())
        self.shot("page-key-phone")


class Report(Page):
    def show(self, html):
        file = tempfile.NamedTemporaryFile("w", suffix=".html", delete=False, encoding="utf-8")
        with file:
            file.write(html)
        self.addCleanup(os.unlink, file.name)
        self.driver.get("file://" + file.name)

    def test_check(self):
        self.show(report("check", "models/fable"))
        self.until(lambda: self.all(".treemap g"))
        self.assertIn("dropped", self.find(".head .decision").text)
        self.axe("check --html")

    def test_diff(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(os.path.join(ROOT, "models/fable"), os.path.join(folder, "fable"))
            subprocess.run([asked.tare, "convert", "fable", "-o", "fable-mlx", "--to", "mlx"], check=True, capture_output=True, cwd=folder)
            self.show(report("diff", "./fable", "fable-mlx", cwd=folder))
        self.until(lambda: self.all("tbody tr"))
        largest = [float(cell.text) for cell in self.all("tbody td:nth-child(3)") if cell.text]
        self.assertGreater(len(largest), 2)
        self.assertEqual(largest, sorted(largest, reverse=True))
        self.assertTrue(self.all(".histogram rect"))
        self.shot("page-diff-light")
        self.axe("diff --html")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tare")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--shots")
    asked, rest = parser.parse_known_args()
    asked.tare = os.path.abspath(asked.tare)
    del Page  # its subclasses are the tests
    unittest.main(argv=[sys.argv[0], *rest])
