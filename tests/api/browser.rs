//! A real browser, driven from a test by `tests/clients/browser`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

pub struct Browser {
    process: Child,
    steps: Option<ChildStdin>,
    done: BufReader<ChildStdout>,
}

impl Browser {
    pub fn start() -> Browser {
        let modules = loadtest::cache().unwrap().join("browser/node_modules");
        let mut command = Command::new("node");
        command.env("NODE_PATH", modules).arg("tests/clients/browser/browser.js");
        command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (steps, done) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        Browser { process, steps, done }
    }

    /// Takes a step, which has to succeed within the driver's patience, and gives what came of it.
    pub fn step(&mut self, step: &Value) -> Value {
        writeln!(self.steps.as_mut().unwrap(), "{step}").unwrap();
        let mut line = String::new();
        self.done.read_line(&mut line).unwrap();
        let done: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{step}: {e}: {line:?}"));
        assert!(done["failed"].is_null(), "{step}: {done}");
        done
    }

    pub fn open(&mut self, url: &str) {
        assert_eq!(self.step(&json!({ "do": "open", "url": url })), 200, "{url}");
    }

    pub fn fill(&mut self, label: &str, text: &str) {
        self.step(&json!({ "do": "fill", "label": label, "text": text }));
    }

    /// Types on the keyboard, wherever the page has put it.
    pub fn type_in(&mut self, text: &str) {
        self.step(&json!({ "do": "type", "text": text }));
    }

    pub fn press(&mut self, button: &str) {
        self.step(&json!({ "do": "press", "button": button }));
    }

    /// What an element says.
    pub fn text(&mut self, of: &str) -> String {
        self.step(&json!({ "do": "text", "of": of })).as_str().unwrap().to_owned()
    }

    /// Waits until the page tells somebody this, and gives all that it tells.
    pub fn told(&mut self, words: &str) -> String {
        self.step(&json!({ "do": "text", "of": "#news", "words": words })).as_str().unwrap().to_owned()
    }

    /// How many elements there are.
    pub fn count(&mut self, of: &str) -> u64 {
        self.step(&json!({ "do": "count", "of": of })).as_u64().unwrap()
    }

    pub fn log_in(&mut self, token: &str) {
        self.fill("Weir token or JWT", token);
        self.press("Log in");
    }

    /// What browsers complain about on their console, and dialogs that came up.
    pub fn complaints(&mut self) -> Vec<String> {
        serde_json::from_value(self.step(&json!({ "do": "complaints" }))).unwrap()
    }
}

impl Drop for Browser {
    /// The driver ends with its steps, and takes the browser with it.
    fn drop(&mut self) {
        drop(self.steps.take());
        let _ended = self.process.wait();
    }
}
