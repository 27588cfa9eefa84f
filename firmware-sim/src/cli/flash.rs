//! `firmware-sim flash`.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use zeroize::Zeroizing;

use super::Failure;
use crate::board::{Board, CertificateSummary, Contents, read};

/// Look into a board's flash image: what the factory wrote, and what the device made of it
///
/// Keys are not printed, nor is anything that depends on one: only whether they are there.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The image, as `firmware-sim factory --flash` writes it or a programmer reads it back
    file: PathBuf,
    /// The board
    #[arg(long, value_enum, default_value_t)]
    board: Board,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = arguments.file.display();
    // One byte more than the image may have, so that a longer file is told from a whole one.
    let limit = arguments.board.layout().whole().len() as u64 + 1;
    let mut image = Zeroizing::new(Vec::new());
    let unreadable = |error| format!("cannot read {path}: {error}");
    let file = std::fs::File::open(&arguments.file).map_err(unreadable)?;
    file.take(limit).read_to_end(&mut image).map_err(unreadable)?;
    let contents = read(arguments.board, &image).await.map_err(|error| format!("{path}: {error}"))?;
    let mut out = io::stdout();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&contents)?)?;
    } else {
        print(&mut out, &contents)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl io::Write, contents: &Contents) -> io::Result<()> {
    writeln!(out, "Server         {}", contents.server)?;
    writeln!(
        out,
        "Hardware       {} {} of maker {}",
        contents.model, contents.hardware_version, contents.maker_number
    )?;
    let bundle = contents
        .trust_bundle
        .map_or_else(|| "cannot be read".to_owned(), |number| format!("number {number}"));
    writeln!(out, "Trust bundle   {bundle}")?;
    for certificate in &contents.idevid {
        writeln!(out, "IDevID         {}", line(certificate))?;
    }
    let key = match (contents.idevid_key.factory, contents.idevid_key.wrapped) {
        ("blank", "key") => "wrapped by the device",
        ("key", "blank") => "in the clear, until the device's first start",
        ("blank", "blank") => "missing",
        _ => "not yet taken over whole: the next start sorts it out",
    };
    writeln!(out, "IDevID key     {key}")?;
    for (slot, certificate) in ["A", "B"].into_iter().zip(&contents.ldevid) {
        let text = certificate.as_ref().map_or_else(|| "none".to_owned(), line);
        writeln!(out, "LDevID slot {slot}  {text}")?;
    }
    let records: Vec<String> =
        contents.records.iter().map(|(name, bytes)| format!("{name} {bytes} bytes")).collect();
    writeln!(
        out,
        "Records        {}",
        if records.is_empty() { "none".to_owned() } else { records.join(", ") }
    )
}

fn line(certificate: &CertificateSummary) -> String {
    let CertificateSummary { name, serial, not_before, not_after } = certificate;
    format!("{name}, serial {serial}, {not_before} to {not_after}")
}
