//! `firmware-sim size`.

use core::time::Duration;
use std::io::{self, Write as _};
use std::process::ExitCode;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::{Failure, INTERRUPTED, interrupted};
use crate::board::Board;
use crate::qemu::image::{self, Build};
use crate::qemu::size::{Sizes, sizes};
use crate::qemu::{Cost, Costs, Count, Options, reference_values, run_image};

/// Print how much flash, RAM and stack a device takes on a board
///
/// Builds the board's image and reads what it is made of; then boots a device in QEMU, sees it through enrollment and
/// renewal, and looks how deep its stack has grown.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The board
    #[arg(long, value_enum, default_value_t)]
    board: Board,
    /// Print one JSON object in place of the tables
    #[arg(long)]
    json: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Figures {
    board: &'static str,
    #[serde(flatten)]
    sizes: Sizes,
    flash_bytes: usize,
    ram_bytes: u64,
    stack_used: Option<u32>,
    stack_size: Option<u32>,
    costs: Option<Costs>,
    /// Erasures of each page of the records in a year.
    erasures_per_page_and_year: Option<f64>,
}

/// Life of a certificate by default, in days.
const CERTIFICATE_DAYS: u32 = 90;

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let image = image::build(arguments.board, Build::Release)?;
    let options = Options {
        board: arguments.board,
        devices: 1,
        patience: Duration::from_secs(120),
        power_cuts: 0,
        count: Count::Instructions,
    };
    let mut nowhere = io::sink();
    // What QEMU cannot boot is only weighed.
    let boots = arguments.board.machine().is_some();
    let summary = tokio::select! {
        outcome = run_image(&image, &options, &mut nowhere), if boots => Some(outcome?),
        () = interrupted(), if boots => return Ok(ExitCode::from(INTERRUPTED)),
        else => None,
    };
    let failed = summary.as_ref().map_or(0, |summary| summary.failed);
    let device = summary.and_then(|summary| summary.devices.first().cloned()).unwrap_or_default();
    let costs = Costs::of(&device.spent);
    let layout = arguments.board.layout();
    let pages = u32::try_from(layout.records.len()).unwrap_or(u32::MAX) / layout.page;
    let figures = Figures {
        board: arguments.board.name(),
        sizes: sizes(&image.elf)?,
        flash_bytes: image.flash,
        ram_bytes: image.ram,
        stack_used: device.stack_used,
        stack_size: device.stack_size,
        costs,
        erasures_per_page_and_year: costs
            .map(|costs| costs.erasures_per_page_and_year(CERTIFICATE_DAYS, pages, layout.page)),
    };
    let mut out = io::stdout();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&figures)?)?;
    } else {
        print(&mut out, &figures)?;
        writeln!(out, "\nReference value for the policy:\n{}", reference_values(&image).trim_start())?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(out: &mut impl io::Write, figures: &Figures) -> io::Result<()> {
    let Figures { sizes, flash_bytes, ram_bytes, .. } = figures;
    let flash = sizes.flash.iter().map(|(part, bytes)| ((*part).to_owned(), *bytes));
    writeln!(out, "{}\n", table("flash", flash, u64::try_from(*flash_bytes).unwrap_or(u64::MAX)))?;
    let ram = sizes.ram.iter().map(|(name, bytes)| (name.clone(), *bytes));
    writeln!(out, "{}\n", table("static RAM", ram, *ram_bytes))?;
    if let Some(costs) = &figures.costs {
        print_costs(out, costs, figures.erasures_per_page_and_year.unwrap_or_default())?;
    }
    match (figures.stack_used, figures.stack_size) {
        (Some(used), Some(size)) => writeln!(
            out,
            "Stack: at most {used} of {size} bytes were used in an enrollment, a renewal and two logins at the broker.\n\
             RAM in all: {} bytes with the stack as long as it may grow.",
            ram_bytes + u64::from(size)
        ),
        _ if figures.board == Board::default().name() => {
            writeln!(out, "The stack was not measured: the device did not get through (firmware-sim qemu).")
        }
        _ => writeln!(out, "The stack was not measured: QEMU does not play this board."),
    }
}

fn print_costs(out: &mut impl io::Write, costs: &Costs, erasures: f64) -> io::Result<()> {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["what a step costs", "million instructions", "pages erased", "bytes written"]);
    let steps: [(&str, Cost); 4] = [
        ("enrollment", costs.enrollment),
        ("login at the broker", costs.login),
        ("renewal", costs.renewal),
        ("login after it, old key scrubbed", costs.login_after_renewal),
    ];
    for (name, cost) in steps {
        let millions = format!("{}.{}", cost.instructions / 1_000_000, cost.instructions / 100_000 % 10);
        table.add_row([
            name.to_owned(),
            millions,
            cost.erased_pages.to_string(),
            cost.written_bytes.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(
        out,
        "{table}\n\nWear: each page of the records is erased {erasures:.1} times in a year of certificates of \
         {CERTIFICATE_DAYS} days;\nflash that stands 10,000 erasures lasts {:.0} years.",
        10_000.0 / erasures.max(0.001)
    )
}

/// The largest first, and the sum.
fn table(title: &str, rows: impl Iterator<Item = (String, u64)>, sum: u64) -> Table {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|(_, bytes)| core::cmp::Reverse(*bytes));
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_header([title, "bytes"]);
    for (name, bytes) in rows {
        table.add_row([name, bytes.to_string()]);
    }
    table.add_row(["in all".to_owned(), sum.to_string()]);
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
