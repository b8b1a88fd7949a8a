//! A real headless Chromium, driven through its debugging pipe.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// For one step of the browser, on a busy machine.
const STEP: Duration = Duration::from_secs(60);

/// What a page is looked at with.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
}

/// One tab of a browser.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Value,
    last: u64,
    /// What the browser complained about: a refused style, a file that is missing.
    pub complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    pub async fn start(program: &str) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        // Chromium reads commands from descriptor 3 and writes answers to descriptor 4.
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1",
            ])
            .arg(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
            .args(["--remote-debugging-pipe", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a browser");
        let mut browser = Self {
            input: child.stdin.take().expect("a pipe"),
            output: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
            session: Value::Null,
            last: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = json!({"url": "about:blank"});
        let target = browser.call("Target.createTarget", target).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = attached["sessionId"].clone();
        for domain in ["Page.enable", "Log.enable", "Runtime.enable"] {
            browser.call(domain, json!({})).await;
        }
        browser
    }

    /// Loads `url` as it looks on `screen`.
    pub async fn open(&mut self, url: &str, screen: Screen) {
        let scheme = if screen.dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", media).await;
        let metrics = json!({
            "width": screen.width, "height": screen.height, "deviceScaleFactor": 1, "mobile": screen.width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        self.send("Page.navigate", json!({"url": url})).await;
        loop {
            let message = self.message().await;
            assert_eq!(message["error"], Value::Null, "{url}: {message}");
            if message["method"] == "Page.loadEventFired" {
                return;
            }
        }
    }

    /// The value of a JavaScript expression on the page.
    pub async fn eval(&mut self, script: &str) -> Value {
        let ask = json!({"expression": script, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", ask).await;
        assert_eq!(answer["exceptionDetails"], Value::Null, "{answer:#}");
        answer["result"]["value"].clone()
    }

    /// The roles in the accessibility tree, each with its name.
    pub async fn roles(&mut self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().expect("nodes").iter();
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let seen = nodes.filter(|node| node["ignored"] != true);
        seen.map(|node| (text(&node["role"]), text(&node["name"])))
            .collect()
    }

    pub async fn press(&mut self, key: &str) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": 9});
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Writes a picture of what is seen.
    pub async fn picture(&mut self, path: &Path) {
        let ask = json!({"format": "png"});
        let answer = self.call("Page.captureScreenshot", ask).await;
        let data = answer["data"].as_str().expect("a picture");
        let png = STANDARD.decode(data).expect("base64");
        std::fs::write(path, png).expect("a file");
    }

    pub async fn close(mut self) {
        self.send("Browser.close", json!({})).await;
        let _ = timeout(STEP, self.child.wait()).await;
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.send(method, parameters).await;
        loop {
            let message = self.message().await;
            if message["id"] == id {
                assert_eq!(message["error"], Value::Null, "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    async fn send(&mut self, method: &str, parameters: Value) -> u64 {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if self.session != Value::Null && !method.starts_with("Browser.") {
            message["sessionId"] = self.session.clone();
        }
        let text = format!("{message}\0");
        let sent = self.input.write_all(text.as_bytes()).await;
        sent.expect("the browser reads");
        self.last
    }

    async fn message(&mut self) -> Value {
        let mut text = Vec::new();
        let read = timeout(STEP, self.output.read_until(0, &mut text)).await;
        read.expect("the browser answers in time")
            .expect("the browser answers");
        let end = text.pop();
        assert_eq!(end, Some(0), "the browser has ended");
        let message: Value = serde_json::from_slice(&text).expect("JSON");
        if message["method"] == "Log.entryAdded" || message["method"] == "Runtime.exceptionThrown" {
            self.complaints.push(message["params"].to_string());
        }
        message
    }
}
