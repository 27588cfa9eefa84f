//! `device export`: pages of devices, written as they are read, in the form that `device import` reads.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::json;

use super::args::Format;
use super::failure::Failure;
use crate::admin::Admin;
use crate::inventory::guarded;
use crate::store::{Device, DeviceFilter, Page};

/// Devices of one query.
const PAGE: u32 = 1_000;
/// The columns, in their order.
const COLUMNS: [&str; 7] = ["device", "model", "idevid_sha256", "group", "tags", "state", "added"];

/// Writes what `filter` finds.
pub(super) async fn run(
    admin: &Admin,
    format: Format,
    path: Option<&Path>,
    filter: DeviceFilter,
) -> Result<(), Failure> {
    let unwritable = |source| Failure::Unwritable {
        path: path.map_or_else(|| "standard output".into(), Path::to_owned),
        source,
    };
    let out: Box<dyn Write> = match path {
        Some(path) => {
            Box::new(OpenOptions::new().write(true).create_new(true).open(path).map_err(unwritable)?)
        }
        None => Box::new(io::stdout().lock()),
    };
    let mut rows = Rows::begin(format, BufWriter::new(out)).map_err(unwritable)?;
    let mut page = Page::first(PAGE);
    loop {
        let found = admin.devices(filter.clone(), page).await?;
        for device in &found.devices {
            match rows.write(device) {
                // A reader that has seen enough, such as `head`, is no failure.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                written => written.map_err(unwritable)?,
            }
        }
        match found.next {
            Some(next) => page = Page { after: Some(next), limit: PAGE },
            None => return rows.end().map_err(unwritable),
        }
    }
}

enum Rows<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Json(W),
}

impl<W: Write> Rows<W> {
    fn begin(format: Format, out: W) -> io::Result<Self> {
        Ok(match format {
            Format::Jsonl => Self::Json(out),
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(COLUMNS)?;
                Self::Csv(Box::new(csv))
            }
        })
    }

    fn write(&mut self, device: &Device) -> io::Result<()> {
        let identity = device.idevid_sha256.map(hex::encode);
        match self {
            Self::Csv(csv) => {
                let tags: Vec<_> = device.tags.iter().map(crate::store::Tag::as_str).collect();
                csv.write_record([
                    device.device.as_str(),
                    // The only cell whose first character is not of a form that has no such signs.
                    &guarded(device.model.as_deref().unwrap_or_default()),
                    identity.as_deref().unwrap_or_default(),
                    device.group.as_str(),
                    &tags.join(" "),
                    device.state.name(),
                    &device.added.to_string(),
                ])?;
                Ok(())
            }
            Self::Json(out) => {
                let value = json!({
                    "device": device.device.as_str(),
                    "model": device.model,
                    "idevid_sha256": identity,
                    "group": device.group.as_str(),
                    "tags": device.tags,
                    "state": device.state,
                    "added": device.added.to_string(),
                });
                writeln!(out, "{value}")
            }
        }
    }

    fn end(self) -> io::Result<()> {
        match self {
            Self::Csv(mut csv) => csv.flush(),
            Self::Json(mut out) => out.flush(),
        }
    }
}
