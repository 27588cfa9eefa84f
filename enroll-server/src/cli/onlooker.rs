//! Whoever looks on at a terminal: sees how far it is, and is asked.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar where somebody looks on; `of` is `None` where it is not known how many there are.
pub(super) fn bar(of: Option<u64>, what: &'static str) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match of {
        Some(of) => (ProgressBar::new(of), "{msg} [{bar:40}] {pos} of {len}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{msg} {spinner} {pos}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what);
    bar
}

/// Asks on the terminal; without one the answer is no.
pub(super) fn confirmed(question: &str) -> bool {
    if !stdin().is_terminal() {
        return false;
    }
    let mut terminal = stderr();
    let asked = write!(terminal, "{question} Type yes: ");
    let mut answer = String::new();
    let heard = asked.and_then(|()| terminal.flush()).and_then(|()| stdin().lock().read_line(&mut answer));
    heard.is_ok() && answer.trim() == "yes"
}
