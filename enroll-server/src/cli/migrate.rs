//! `migrate`: the database from SQLite to PostgreSQL, with a bar where somebody looks on.

use std::io::{IsTerminal as _, stderr};

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Global, Migrate};
use super::failure::Failure;
use super::output::Output;
use crate::config::Config;
use crate::store::{MoveProgress, Moved, SqliteOptions, transfer};

pub(super) fn run(global: &Global, options: &Migrate, output: &Output) -> Result<(), Failure> {
    let config = Config::load(&global.config)?;
    let target = config.postgres.as_ref().ok_or(Failure::NoTarget)?.options()?;
    let bar = if stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {pos} of {len} rows, {eta} left") {
        bar.set_style(style.progress_chars("=> "));
    }
    let mut watch = |progress: MoveProgress| {
        bar.set_length(progress.of);
        bar.set_message(progress.table);
        bar.set_position(progress.done);
    };
    let done = transfer(&SqliteOptions::new(&config.files.store), target, options.dry_run, &mut watch);
    bar.finish_and_clear();
    let moved = done?;
    output.result(&moved, || text(&moved));
    Ok(())
}

fn text(moved: &Moved) -> String {
    let mut text = String::new();
    for table in moved.tables.iter().filter(|table| table.rows > 0) {
        text += &format!("{:>12}  {}\n", table.rows, table.table);
    }
    text += if moved.dry_run {
        "Nothing was changed; the target is empty."
    } else {
        "Moved, read back and compared. The file takes nothing new any more; start servers on PostgreSQL."
    };
    text
}
