//! Somebody at a gateway, logged in with a token of their own.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use loadtest::clients::{JavaTools, Login, Target};
use loadtest::weir::{Gateway, Token};

pub struct Person {
    pub bootstrap: String,
    pub token: Token,
}

impl Person {
    pub fn of(gateway: &Gateway, subject: &str, groups: &str) -> Person {
        Person { bootstrap: gateway.bootstrap(), token: gateway.token(subject, groups).unwrap() }
    }

    pub fn target(&self, client_id: &str) -> Target {
        let login = Login::Plain { user: self.token.subject.clone(), password: self.token.token.clone() };
        Target::with_login(self.bootstrap.clone(), client_id, login)
    }

    pub fn java(&self, client_id: &str) -> JavaTools {
        JavaTools::new(&self.target(client_id)).unwrap()
    }

    pub fn kcat_command(&self, args: &[&str]) -> Command {
        let login = [
            "security.protocol=SASL_PLAINTEXT".to_owned(),
            "sasl.mechanisms=PLAIN".to_owned(),
            format!("sasl.username={}", self.token.subject),
            format!("sasl.password={}", self.token.token),
        ];
        let login: Vec<&str> = login.iter().flat_map(|setting| ["-X", setting]).collect();
        kcat_command(&self.bootstrap, &[&login, args].concat())
    }
}

/// kcat, which gives up after half a minute.
pub fn kcat_command(bootstrap: &str, args: &[&str]) -> Command {
    let mut command = Command::new("kcat");
    command.env("KCAT_CONFIG", "/dev/null").args(["-b", bootstrap, "-m", "30"]).args(args);
    command
}
