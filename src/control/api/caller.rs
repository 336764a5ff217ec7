//! Who calls: what resources know of whoever asks, whichever door they came through.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::control::problem::Problem;
use crate::control::tokens::Minter;
use crate::policy::{Person, Roles};

/// Whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Caller {
    /// Who vouches: `weir`, an identity provider's issuer URL, or `local` for a user of the gateway's machine.
    pub(in crate::control) issuer: String,
    /// The person or service; of a local user `uid N`.
    pub(in crate::control) subject: String,
    /// Their groups, sorted.
    pub(in crate::control) groups: Vec<String>,
    /// What they may use the API for.
    pub(in crate::control) roles: Roles,
    /// Who minted the token they came with, where a person did: they count as that person.
    pub(in crate::control) minted_by: Option<Person>,
    /// How they proved who they are.
    pub(in crate::control) how: How,
    /// Where they connect from; none on the local socket.
    pub(in crate::control) address: Option<IpAddr>,
}

/// How a caller proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) enum How {
    /// They could open the local socket.
    LocalSocket,
    /// By a token that Weir issued.
    WeirToken {
        /// Its public name.
        id: String,
    },
    /// By an identity provider's JWT.
    Jwt,
}

impl Caller {
    /// A user of the gateway's machine, who may do all.
    pub(in crate::control) fn local(user: String) -> Caller {
        Caller {
            issuer: "local".to_owned(),
            subject: user,
            groups: Vec::new(),
            roles: Roles::ALL,
            minted_by: None,
            how: How::LocalSocket,
            address: None,
        }
    }

    /// Who is counted where persons are: with a token that somebody minted, that somebody as well.
    pub(in crate::control) fn person(&self) -> Person {
        let minted_by = self.minted_by.clone().map(Box::new);
        Person { minted_by, ..Person::new(&self.issuer, &self.subject) }
    }

    /// As who mints a token.
    pub(in crate::control) fn minter(&self) -> Minter {
        match self.how {
            How::LocalSocket => Minter::LocalUser(self.subject.clone()),
            How::WeirToken { .. } | How::Jwt => Minter::Person(self.person()),
        }
    }
}

impl How {
    /// As answers and looks write it.
    pub(in crate::control) fn name(&self) -> &'static str {
        match self {
            How::LocalSocket => "local_socket",
            How::WeirToken { .. } => "weir_token",
            How::Jwt => "jwt",
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| Problem::internal("it is not known who asks"))
    }
}
