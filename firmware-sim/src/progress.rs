//! Progress bars on standard error; none where that is no terminal.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::fleet::Tally;

/// Bars for a fleet: identities, logins, publications.
#[derive(Debug)]
pub struct FleetBars {
    all: MultiProgress,
    identity: ProgressBar,
    connected: ProgressBar,
    published: ProgressBar,
}

impl FleetBars {
    /// Bars for so many devices; hidden ones where `visible` is false.
    #[must_use]
    pub fn new(devices: usize, visible: bool) -> Self {
        let all = MultiProgress::new();
        if !visible {
            all.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        let add = |name: &'static str| all.add(bar(devices as u64, name));
        let (identity, connected, published) = (add("identity"), add("broker login"), add("publication"));
        Self { all, identity, connected, published }
    }

    /// Shows where the fleet is.
    pub fn show(&self, tally: &Tally) {
        self.identity.set_position(tally.enrolled() as u64);
        self.connected.set_position(tally.connected() as u64);
        self.published.set_position(tally.published() as u64);
    }

    /// Takes the bars away.
    pub fn clear(&self) {
        for bar in [&self.identity, &self.connected, &self.published] {
            bar.finish_and_clear();
        }
        // Only the terminal can fail here, and there is nothing left to show.
        let _cleared = self.all.clear();
    }
}

/// One bar of `length` steps.
#[must_use]
pub fn bar(length: u64, name: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(name);
    if let Ok(style) = ProgressStyle::with_template("{msg:>14} {wide_bar:.green} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar
}
