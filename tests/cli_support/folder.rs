//! A folder with a configuration and a policy, for tests of commands that need no gateway.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub struct Folder(pub TempDir, u16);

impl Folder {
    pub fn new(config: &str, policy: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap(), 80);
        fs::write(folder.0.path().join("weir.yaml"), config).unwrap();
        fs::write(folder.0.path().join("policy.yaml"), policy).unwrap();
        folder
    }

    /// Seen in a terminal of this width; 80 columns unless it is said.
    #[allow(dead_code, reason = "not every test is about wide terminals")]
    pub fn columns(self, columns: u16) -> Self {
        Self(self.0, columns)
    }

    pub fn weir(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(arguments)
            .arg("--config")
            .arg(self.0.path().join("weir.yaml"))
            .env("COLUMNS", self.1.to_string())
            .env_remove("WEIR_CONFIG")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What a command that has to end well prints.
    pub fn printed(&self, arguments: &[&str]) -> String {
        let output = self.weir(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}
