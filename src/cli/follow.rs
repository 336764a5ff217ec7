//! `weir follow`: what is being done through the running gateway, as it is recorded.

use std::collections::HashMap;
use std::io::Write;
use std::ops::ControlFlow;

use serde::Deserialize;
use serde_json::Value;

use super::args::FollowArgs;
use super::error::CliError;
use super::exchange::Line;
use super::records::select::Selection;
use super::records::{Shower, json, text};
use super::source::{Recording, encoded};
use super::terminal::{Columns, Style, harmless, shortened};
use super::time::{Clock, length};
use super::view::{Event, EventKind, Identity};
use crate::config::Config;
use crate::control::FOLLOW_ENDED;
use crate::control::client::{Client, ClientError, LinesEnd};
use crate::event::SessionId;

/// Sessions whose frames are followed at a time; more come with many clients, and those of old are not needed.
const SHOWERS_MAX: usize = 256;

/// Columns of who it is, what is done, and how long it took.
const COLUMNS: [(&str, u16); 4] = [("TIME", 12), ("WHO", 16), ("WHAT", 20), ("TOOK", 6)];

#[derive(Deserialize)]
struct Followed {
    session: Whose,
    #[serde(flatten)]
    event: Event,
}

#[derive(Deserialize)]
struct Whose {
    id: SessionId,
    identity: Identity,
    client_id: Option<String>,
}

pub(super) fn run(args: &FollowArgs, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(&args.config.file)?;
    let none_runs = || {
        CliError::Unsuitable(
            "no gateway runs that could be followed; `weir sessions` lists what was recorded".to_owned(),
        )
    };
    let gateway = Client::find(&config.control.socket)?.ok_or_else(none_runs)?;
    let recording = Recording::find(&config)?;
    let mut follower = Printer {
        recording: &recording,
        selection: Selection { topic: args.topic.clone(), ..Selection::default() },
        showers: HashMap::new(),
        columns: Columns::new(&COLUMNS, "RESULT"),
        clock: Clock::local(),
        style: Style::of_stdout(),
        args,
        stopped: false,
    };
    let end = gateway.lines(&path(args), |line| {
        let more = follower.line(line, out)?;
        out.flush()?;
        Ok::<_, CliError>(more)
    })?;
    match end {
        LinesEnd::Interrupted => Ok(()),
        LinesEnd::Ended if follower.stopped => {
            eprintln!("weir: the gateway stopped");
            Ok(())
        }
        LinesEnd::Ended => Err(CliError::Unsuitable("the gateway went away".to_owned())),
    }
}

fn path(args: &FollowArgs) -> String {
    let mut path = format!("/api/v1/follow?errors_only={}", args.errors_only);
    let address = args.address.map(|address| address.to_string());
    let named =
        [("identity", &args.identity), ("client_id", &args.client_id), ("address", &address), ("topic", &args.topic)];
    for (name, value) in named {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    path
}

/// Prints what comes.
struct Printer<'a> {
    args: &'a FollowArgs,
    recording: &'a Recording,
    selection: Selection,
    showers: HashMap<SessionId, Shower<'a>>,
    columns: Columns,
    clock: Clock,
    style: Style,
    stopped: bool,
}

impl Printer<'_> {
    fn line(&mut self, line: &[u8], out: &mut impl Write) -> Result<ControlFlow<()>, CliError> {
        let value: Value = serde_json::from_slice(line)?;
        if value.get("event").and_then(Value::as_str) == Some(FOLLOW_ENDED) {
            self.stopped = true;
            return Ok(ControlFlow::Break(()));
        }
        let followed = Followed::deserialize(&value)?;
        if self.args.json {
            writeln!(out, "{value}")?;
            let mut lines = json::Lines { out, exchange: &followed.event.id, selection: &self.selection, before: None };
            if let Some(shower) = shower(&mut self.showers, self.recording, self.args.records, &followed) {
                unless_it_went(shower.show(&followed.event, &mut lines))?;
            }
            return Ok(ControlFlow::Continue(()));
        }
        let row = self.row(&followed);
        writeln!(out, "{row}")?;
        let (selection, style) = (&self.selection, self.style);
        let mut lines = text::Lines { out, selection, style, full: false, before: None };
        if let Some(shower) = shower(&mut self.showers, self.recording, self.args.records, &followed) {
            unless_it_went(shower.show(&followed.event, &mut lines))?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn row(&mut self, followed: &Followed) -> String {
        let Followed { session, event } = followed;
        let client = session.client_id.as_deref().unwrap_or("-");
        let who = usize::from(COLUMNS[1].1);
        let took = match &event.kind {
            EventKind::Exchange { response, .. } => {
                let latency = &response.latency;
                length(latency.client_ns + latency.weir_ns + latency.broker_ns)
            }
            _ => String::new(),
        };
        let Line { what, result, .. } = Line::of(&event.kind);
        let at = self.clock.time_of_day(event.at_ns);
        let who =
            format!("{}\n{}", shortened(&harmless(&session.identity.subject), who), shortened(&harmless(client), who));
        self.columns.row(vec![at, who, what, took, result])
    }
}

/// A gateway that stops tells the last of what was recorded, and is not there any more to ask for its records.
fn unless_it_went(shown: Result<(), CliError>) -> Result<(), CliError> {
    match shown {
        Err(CliError::Gateway(error @ ClientError::NoAnswer { .. })) => {
            eprintln!("weir: records not shown: {error}");
            Ok(())
        }
        shown => shown,
    }
}

/// What shows a session's records, where they are asked for.
fn shower<'s, 'a>(
    showers: &'s mut HashMap<SessionId, Shower<'a>>,
    recording: &'a Recording,
    records: bool,
    followed: &Followed,
) -> Option<&'s mut Shower<'a>> {
    if !records {
        return None;
    }
    let id = followed.session.id;
    if showers.len() >= SHOWERS_MAX && !showers.contains_key(&id) {
        showers.clear();
    }
    Some(showers.entry(id).or_insert_with(|| Shower::live(recording, id, followed.event.at_ns)))
}
