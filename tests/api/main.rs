//! The control API as its users meet it over TCP: logins, roles, pages, problems and what it refuses, against the gateway's
//! own binary.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod browser;
#[path = "../cli_support/mod.rs"]
mod cli_support;
#[path = "../common/mod.rs"]
mod common;
mod decisions_page;
mod document;
mod events;
mod fuzzed;
mod grants;
#[path = "../logins/issuer.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod issuer;
mod links;
mod logins;
mod looks;
mod pages;
#[path = "../common/person.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod person;
mod policy;
mod policy_put;
mod recorded;
mod requests;
mod rig;
mod roles;
mod tls;
