//! `weir reload`.

use std::io::Write;

use super::args::ReloadArgs;
use super::error::CliError;
use crate::config::Config;
use crate::control::PolicyReloaded;
use crate::control::client::Client;

pub(super) fn run(args: &ReloadArgs, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(&args.config.file).map_err(CliError::NotReloaded)?;
    let Some(gateway) = Client::find(&config.control.socket)? else {
        let socket = config.control.socket.display();
        return Err(CliError::Unsuitable(format!(
            "no gateway runs that listens on {socket}; it reads the policy when it starts"
        )));
    };
    let reloaded: PolicyReloaded = gateway.post("/api/v1/policy/reload", &())?;
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&reloaded)?)?);
    }
    let policy = config.policy.path.as_deref().unwrap_or(&args.config.file).display();
    let hash = reloaded.hash.get(..12).unwrap_or(&reloaded.hash);
    if !reloaded.changed {
        return Ok(writeln!(out, "{policy}: in force already (sha256 {hash}…)")?);
    }
    let PolicyReloaded {
        access_rules,
        approval_rules,
        recording_rules,
        masking_rules,
        shards,
        connections_closed,
        took_ms,
        ..
    } = reloaded;
    writeln!(
        out,
        "{policy}: in force on all {shards} shards after {took_ms} ms (sha256 {hash}…); rules: {access_rules} for access, {approval_rules} for approvals, \
         {recording_rules} for recording, {masking_rules} for masking"
    )?;
    if connections_closed > 0 {
        writeln!(
            out,
            "connections closed: {connections_closed}, which did not take in time what the older policy let pass"
        )?;
    }
    Ok(())
}
