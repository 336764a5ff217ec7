//! SASL/PLAIN (RFC 4616): the password itself.

use std::future::ready;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Answer, Answering, Conversation, Credential, CredentialError};
use crate::wire::kafka::sasl;

/// A user and its password.
pub(super) struct Plain(Arc<Login>);

struct Login {
    username: String,
    password: Arc<Zeroizing<String>>,
}

impl Plain {
    pub(super) fn new(username: String, password: Arc<Zeroizing<String>>) -> Self {
        Self(Arc::new(Login { username, password }))
    }
}

impl Credential for Plain {
    fn mechanism(&self) -> &'static str {
        "PLAIN"
    }

    fn begin(&self) -> Box<dyn Conversation> {
        Box::new(Talk { login: self.0.clone(), said: false })
    }
}

struct Talk {
    login: Arc<Login>,
    said: bool,
}

impl Conversation for Talk {
    fn answer<'a>(&'a mut self, challenge: Option<&'a [u8]>) -> Answering<'a> {
        let answer = match (std::mem::replace(&mut self.said, true), challenge) {
            (false, None) => Ok(Answer::Send(sasl::plain_message(&self.login.username, &self.login.password))),
            (true, Some([])) => Ok(Answer::Done),
            _ => Err(CredentialError::OutOfTurn),
        };
        Box::pin(ready(answer))
    }
}
