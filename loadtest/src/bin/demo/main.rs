//! `make demo`: a real Kafka, Weir in front of it, three identities at work, what each of them sees and what Weir saw of
//! them.
//!
//! Stays up until Ctrl-C, then ends everything it started and removes every file. With `ONCE=1` it ends by itself, and
//! fails when a single thing was not as promised. A second Ctrl-C, or one before all is up, needs no care: processes and
//! folders go with this process in any case.

mod orders;
mod scene;
mod screen;

use std::process::ExitCode;

use loadtest::{During, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use scene::Scene;
use screen::Screen;

fn main() -> ExitCode {
    let screen = Screen::new();
    match run(&screen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            screen.failed(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(screen: &Screen) -> Result<()> {
    let once = std::env::var("ONCE").is_ok_and(|v| !matches!(v.as_str(), "" | "0"));
    screen.title("Weir", "a real Kafka, Weir in front of it, three identities at work");
    let mut scene = Scene::set(screen)?;
    scene.play(screen)?;
    scene.show(screen)?;
    if !once {
        scene.suggest(screen);
        let mut signals = Signals::new([SIGINT, SIGTERM]).during("cannot wait for Ctrl-C")?;
        signals.forever().next();
    }
    screen.blank();
    scene.end(screen)
}
