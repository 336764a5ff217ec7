//! Keys, one at a time, and the terminal as it was before, whatever happens.
//!
//! Invariants:
//! - The terminal's mode is given back when `Keys` is dropped, when the process panics, and when a signal ends it.

use std::io;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use tokio::signal::unix::{SignalKind, signal};

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Next,
    Pause,
    Faster,
    Slower,
    Quit,
}

/// The terminal, taken for keys.
pub(super) struct Keys(());

impl Keys {
    /// Takes the terminal: keys come at once and are not shown.
    pub(super) fn take() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let _ = disable_raw_mode();
            before(panic);
        }));
        give_back_on_signals()?;
        enable_raw_mode()?;
        Ok(Keys(()))
    }

    /// Whether a key waits to be read.
    pub(super) fn pressed(&self) -> io::Result<bool> {
        event::poll(Duration::ZERO)
    }

    /// The next key's command, if one comes within `limit`.
    pub(super) fn next(&self, limit: Duration) -> io::Result<Option<Command>> {
        if !event::poll(limit)? {
            return Ok(None);
        }
        Ok(match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => command(key),
            _ => None,
        })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = disable_raw_mode();
    }
}

fn command(key: KeyEvent) -> Option<Command> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c' | 'd') if control => Command::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Command::Quit,
        KeyCode::Char(' ' | 'n') | KeyCode::Enter => Command::Next,
        KeyCode::Char('p') => Command::Pause,
        KeyCode::Char('+' | '=') | KeyCode::Right | KeyCode::Up => Command::Faster,
        KeyCode::Char('-') | KeyCode::Left | KeyCode::Down => Command::Slower,
        _ => return None,
    })
}

/// Without this a signal would end the process and leave the terminal as it is. Exit codes are those of the shell.
fn give_back_on_signals() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = runtime.block_on(async {
        let stream = |kind: SignalKind| Ok::<_, io::Error>((signal(kind)?, 128 + kind.as_raw_value()));
        Ok::<_, io::Error>([
            stream(SignalKind::interrupt())?,
            stream(SignalKind::terminate())?,
            stream(SignalKind::hangup())?,
        ])
    })?;
    std::thread::Builder::new().name("weir-signals".to_owned()).spawn(move || {
        let [(mut interrupt, by_interrupt), (mut terminate, by_terminate), (mut hangup, by_hangup)] = signals;
        let code = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => by_interrupt,
                _ = terminate.recv() => by_terminate,
                _ = hangup.recv() => by_hangup,
            }
        });
        let _ = disable_raw_mode();
        std::process::exit(code);
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_last_line_says() {
        let pressed = |code, modifiers| command(KeyEvent::new(code, modifiers));
        for (code, expected) in [
            (KeyCode::Char(' '), Command::Next),
            (KeyCode::Enter, Command::Next),
            (KeyCode::Char('p'), Command::Pause),
            (KeyCode::Char('+'), Command::Faster),
            (KeyCode::Left, Command::Slower),
            (KeyCode::Char('q'), Command::Quit),
        ] {
            assert_eq!(pressed(code, KeyModifiers::NONE), Some(expected));
        }
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Command::Quit));
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::NONE), None);
    }
}
