//! The pay page in Chromium, driven over WebDriver: the author reads it, pays with a click, and sees how it ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::satchel::Satchel;
use crate::support::{eventually, has_tool, run};
use crate::{asked, stranger_writes};

/// A headless Chromium behind its driver (W3C WebDriver), spoken to with curl.
struct Browser {
    driver: Child,
    session: String,
    /// Profile and home of this one browser.
    _home: tempfile::TempDir,
}

impl Browser {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("started successfully on port ")?.1.trim_end_matches('.').to_owned()))
            .expect("chromedriver says its port");
        // Its later words are read away, so that it never waits for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let base = format!("http://127.0.0.1:{port}/session");
        let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": arguments } } } });
        let mut browser = Self { driver, session: base, _home: home };
        let id = browser.call("POST", "", &wanted)["sessionId"].as_str().expect("a session").to_owned();
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--request", method]);
        if method == "POST" {
            curl.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
        }
        let answer: Value = serde_json::from_str(&run(curl.arg(format!("{}{path}", self.session)))).unwrap();
        answer["value"].clone()
    }

    fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// The value of a JavaScript expression in the page.
    fn value(&self, expression: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": format!("return {expression}"), "args": [] }))
    }

    /// Waits until the page's text holds `words`, without touching it.
    fn sees(&self, words: &str) {
        eventually(&format!("the page says {words:?}"), || {
            self.value("document.querySelector('main').innerText").as_str()?.contains(words).then_some(())
        });
    }

    /// Clicks the button with this name, as a person would.
    fn click(&self, name: &str) {
        let found = self.call(
            "POST",
            "/element",
            &json!({ "using": "xpath", "value": format!("//button[normalize-space()='{name}']") }),
        );
        let (_, id) = found.as_object().and_then(|object| object.iter().next()).expect("the button is there");
        let answer = self.call("POST", &format!("/element/{}/click", id.as_str().expect("an element")), &json!({}));
        assert!(answer.is_null(), "clicking {name:?}: {answer}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = Command::new("curl").args(["--silent", "--max-time", "10", "-X", "DELETE", &self.session]).output();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
fn the_pay_page_shows_the_invoice_takes_the_click_and_says_by_itself_how_it_ends() {
    if !["chromium", "chromedriver", "curl", "swaks"].iter().all(|tool| has_tool(tool)) {
        return;
    }
    let satchel = Satchel::start("");
    stranger_writes(&satchel, "bob@shop.test", "Fresh figs");
    let bolt11 = asked(&satchel, "bob@shop.test")["bolt11"].as_str().unwrap().to_owned();
    // The way there is the link in the payment request, which the sandbox has caught.
    let front = format!("http://127.0.0.1:{}", satchel.ports.web);
    let page = eventually("the payment request is caught", || {
        let caught = run(Command::new("curl").args(["--silent", "--fail", &format!("{front}/sandbox")]));
        let token: String = caught.split_once("/pay/")?.1.chars().take_while(char::is_ascii_alphanumeric).collect();
        Some(format!("{front}/pay/{token}"))
    });

    let browser = Browser::start();
    browser.open(&page);
    browser.sees("100 sat");
    browser.sees("alice@satchel.test");
    browser.sees(&bolt11);
    let link = browser.value("document.querySelector('a[href^=\"lightning:\"]').href");
    assert_eq!(link.as_str().unwrap().to_lowercase(), format!("lightning:{bolt11}"));
    assert!(browser.value("document.querySelector('svg.qr').getBoundingClientRect().width").as_f64().unwrap() > 150.0);
    assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), true, "nothing sticks out");

    browser.click("Pay with the sandbox wallet");
    browser.sees("Locked");
    satchel.wait_for_state("bob@shop.test", "held");
    // Nobody touches the page from here on.
    let mut imap = satchel.imap();
    let uid = imap.find("Requests", "Fresh figs")[0];
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    browser.sees("The mail was accepted and the payment is settled.");
}
