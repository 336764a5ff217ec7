//! `weir replay`: a session once more on the terminal, at its own pace, faster, or a key press at a time.
//!
//! With a terminal on both sides the last line tells where the replay is, and keys steer it; else lines are printed at
//! their pace and nothing more.

mod keys;
mod pace;
mod view;

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::args::{From, ReplayArgs};
use super::error::CliError;
use super::records::select::Selection;
use super::records::{Shower, text};
use super::show::{self, NO_FRAMES};
use super::source::Recording;
use super::terminal::Style;
use super::view::{Event, Session};
use crate::config::Config;
use keys::{Command, Keys};
use pace::Pace;
pub(super) use pace::Speed;
use view::{RawLines, View};

/// How often the last line is drawn anew while nothing happens.
const REDRAW: Duration = Duration::from_millis(200);

pub(super) fn run(args: &ReplayArgs, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(&args.config.file)?;
    let recording = Recording::find(&config)?;
    let session = Session::deserialize(&recording.session(args.session)?)?;
    let from_ns = args.from.map_or(session.started_ns, |from| match from {
        From::After(after_ns) => session.started_ns.saturating_add(after_ns),
        From::At(at_ns) => at_ns,
    });
    let interactive = io::stdin().is_terminal() && io::stdout().is_terminal();
    if args.step && !interactive {
        return Err(CliError::Unsuitable("--step waits for keys, and this is no terminal".to_owned()));
    }
    let keys = if interactive { Some(Keys::take()?) } else { None };
    let mut out = RawLines::new(out, interactive);
    let style = Style::of_stdout();
    let view = View::new(&session, style);
    view.head(&mut out)?;
    if args.records && session.frames == 0 {
        writeln!(out, "{NO_FRAMES}\n")?;
    }
    let selection = Selection { topic: args.topic.clone(), since_ns: Some(from_ns), ..Selection::default() };
    let mut player = Player {
        keys,
        view,
        pace: Pace::new(args.speed, args.idle),
        paused: args.step,
        now_ns: from_ns,
        shower: args.records.then(|| Shower::new(&recording, args.session, from_ns)),
        style,
    };
    show::each_event(&recording, args.session, &selection, |_, event| player.play(event, &mut out))?;
    player.view.end(&mut out)
}

/// Plays one event after the other.
struct Player<'a> {
    keys: Option<Keys>,
    view: View,
    pace: Pace,
    /// Goes on by key press only.
    paused: bool,
    /// Where in the session's time the replay is.
    now_ns: u64,
    shower: Option<Shower<'a>>,
    style: Style,
}

impl Player<'_> {
    fn play(&mut self, event: &Event, out: &mut RawLines<impl Write>) -> Result<ControlFlow<()>, CliError> {
        if let Some(skipped_ns) = self.pace.skips(event.at_ns.saturating_sub(self.now_ns)) {
            self.view.idle(skipped_ns, out)?;
            self.now_ns = event.at_ns - self.pace.idle_ns();
        }
        if self.wait(event.at_ns, out)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        self.now_ns = self.now_ns.max(event.at_ns);
        self.view.event(event, out)?;
        if let Some(shower) = &mut self.shower {
            let selection = Selection::default();
            let mut lines = text::Lines { out, selection: &selection, style: self.style, full: false, before: None };
            shower.show(event, &mut lines)?;
        }
        out.flush()?;
        Ok(ControlFlow::Continue(()))
    }

    /// Lets the session's time go on until `until_ns`, or a key does so at once.
    fn wait(&mut self, until_ns: u64, out: &mut RawLines<impl Write>) -> Result<ControlFlow<()>, CliError> {
        let Some(keys) = &self.keys else {
            out.flush()?;
            std::thread::sleep(self.pace.takes(until_ns.saturating_sub(self.now_ns)));
            return Ok(ControlFlow::Continue(()));
        };
        loop {
            let left = self.pace.takes(until_ns.saturating_sub(self.now_ns));
            if !self.paused && left.is_zero() && !keys.pressed()? {
                return Ok(ControlFlow::Continue(()));
            }
            self.view.status(self.now_ns, self.pace.speed(), self.paused, out)?;
            let began = Instant::now();
            let command = keys.next(if self.paused { REDRAW } else { left.min(REDRAW) })?;
            if !self.paused {
                self.now_ns = until_ns.min(self.now_ns.saturating_add(self.pace.passed(began.elapsed())));
            }
            self.view.clear_status(out)?;
            match command {
                Some(Command::Quit) => return Ok(ControlFlow::Break(())),
                Some(Command::Next) => return Ok(ControlFlow::Continue(())),
                Some(Command::Pause) => self.paused = !self.paused,
                Some(Command::Faster) => self.pace.faster(),
                Some(Command::Slower) => self.pace.slower(),
                None => {}
            }
        }
    }
}
