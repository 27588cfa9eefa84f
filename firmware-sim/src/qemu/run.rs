//! Boots devices in QEMU beside a server and a broker, and sees them through enrollment, publication and renewal.

use core::time::Duration;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use shared::DeviceId;
use tokio::time::{Instant, timeout_at};

use super::image::{self, Board, Image, ImageError};
use super::machine::{Machine, MachineError};
use super::provision;
use crate::broker::AdminError;
use crate::device::{DeviceError, DeviceSpec};
use crate::stage::{Setting, Stage, StageError};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The board.
    pub board: Board,
    /// Number of devices.
    pub devices: u32,
    /// Longest time for each to get through.
    pub patience: Duration,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The board.
    pub board: &'static str,
    /// Bytes of flash the image takes.
    pub flash_bytes: usize,
    /// Bytes of static RAM.
    pub ram_bytes: u64,
    /// The devices.
    pub devices: Vec<DeviceReport>,
    /// Devices that did not get through.
    pub failed: usize,
}

/// What one device reached, in milliseconds since it was switched on.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DeviceReport {
    /// Its identifier.
    pub device: String,
    /// It got its first certificate.
    pub enrolled_ms: Option<u64>,
    /// The broker has its first telemetry.
    pub published_ms: Option<u64>,
    /// It uses its second certificate.
    pub renewed_ms: Option<u64>,
    /// The broker has telemetry under the second certificate.
    pub published_again_ms: Option<u64>,
    /// Most bytes of the stack that were used until the last publication.
    pub stack_used: Option<u32>,
    /// Bytes of the stack.
    pub stack_size: Option<u32>,
    /// The last thing that went wrong.
    pub trouble: Option<String>,
}

/// Why it could not be run.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// There is no image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Server or broker could not be set up.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A device's flash could not be written.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// QEMU is not there, or did not start.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The observer at the broker failed.
    #[error(transparent)]
    Observer(#[from] AdminError),
    /// The story could not be told, or a folder not be made.
    #[error("input or output failed")]
    Io(#[from] std::io::Error),
}

/// The address of the host as QEMU's user network has it.
const HOST: &str = "10.0.2.2";

/// Runs everything; tells what happens to `story`.
///
/// # Errors
/// Where it could not be run. A device that does not get through is no error: it stands in the summary.
pub async fn run(options: &Options, story: &mut (dyn Write + Send)) -> Result<Summary, QemuError> {
    writeln!(story, "Building the image for {} ...", options.board.name())?;
    story.flush()?;
    let image = image::build(options.board)?;
    writeln!(story, "Image              {} bytes of flash, {} of static RAM", image.flash, image.ram)?;

    let temporary = tempfile::Builder::new().prefix("firmware-sim-").tempdir()?;
    let setting = Setting {
        host: HOST,
        devices: options.devices,
        version: image.version.clone(),
        reference_values: reference_values(&image),
    };
    let stage = Box::pin(Stage::build(temporary.path(), &setting)).await?;
    writeln!(story, "Enrollment server  https://{}", stage.provision.address)?;
    writeln!(story, "Broker             mqtts://{HOST}:{}", stage.broker.address().port())?;

    let mut summary = Summary {
        board: options.board.name(),
        flash_bytes: image.flash,
        ram_bytes: image.ram,
        devices: Vec::new(),
        failed: 0,
    };
    // One after the other: QEMU takes a core each, and times would say nothing otherwise.
    for (id, device) in stage.lot.devices.iter().zip(stage.devices()?) {
        let folder = folder(&device)?;
        provision::write(&device, &folder.join("flash.img"))?;
        let machine = Machine::boot(options.board, &image.elf, &folder)?;
        let mut watch = Watch { id, begun: Instant::now(), report: DeviceReport::default(), stage: &stage };
        watch.report.device = id.to_string();
        watch.see_through(machine, options.patience, story).await?;
        summary.failed += usize::from(watch.report.published_again_ms.is_none());
        summary.devices.push(watch.report);
    }
    Box::pin(stage.strike()).await;
    Ok(summary)
}

fn folder(device: &DeviceSpec) -> Result<PathBuf, QemuError> {
    let folder = device.dir.join("board");
    fs::create_dir(&folder)?;
    Ok(folder)
}

fn reference_values(image: &Image) -> String {
    format!(
        "\n# The image, as the board measures it.\n[[measurement]]\ncomponent = \"application\"\n\
         version = \"{}\"\ndigest = \"{}\"\n",
        image.version,
        hex::encode(image.digest)
    )
}

/// Watches one device.
struct Watch<'s> {
    id: &'s DeviceId,
    begun: Instant,
    report: DeviceReport,
    stage: &'s Stage,
}

impl Watch<'_> {
    async fn see_through(
        &mut self,
        mut machine: Machine,
        patience: Duration,
        story: &mut (dyn Write + Send),
    ) -> Result<(), QemuError> {
        writeln!(story, "\n{}", self.id)?;
        let until = self.begun + patience;
        let mut asked = false;
        // The last line of interest tells of the stack, after the second publication.
        let mut last = false;
        while !last {
            let Ok(line) = timeout_at(until, machine.line()).await else {
                self.report.trouble = Some("it took too long".to_owned());
                break;
            };
            let Some(line) = line? else {
                self.report.trouble = Some("the machine stopped".to_owned());
                break;
            };
            writeln!(story, "{:>8} ms  {line}", self.elapsed())?;
            self.take(&line);
            last = self.report.published_again_ms.is_some() && line.starts_with("stack ");
            if self.report.published_ms.is_some() && !asked {
                // The device obeys its command topic; QEMU's console would be no way in on a real board.
                self.stage.observer.command(self.id, r#"{"command":"renew"}"#).await?;
                asked = true;
            }
        }
        machine.cut_power().await?;
        Ok(())
    }

    /// Takes a line of the console: `event NAME [DETAIL]`, or `stack USED of SIZE`.
    fn take(&mut self, line: &str) {
        let now = Some(self.elapsed());
        if let Some((used, size)) = line.strip_prefix("stack ").and_then(|stack| stack.split_once(" of ")) {
            (self.report.stack_used, self.report.stack_size) = (used.parse().ok(), size.parse().ok());
        }
        let Some(event) = line.strip_prefix("event ") else { return };
        let (name, detail) = event.split_once(' ').unwrap_or((event, ""));
        let report = &mut self.report;
        match name {
            "enrolled" if report.enrolled_ms.is_none() => report.enrolled_ms = now,
            "rotated" => report.renewed_ms = now,
            "published" if detail == "telemetry" && report.published_ms.is_none() => {
                report.published_ms = now
            }
            "published" if detail == "telemetry" && report.renewed_ms.is_some() => {
                report.published_again_ms = now
            }
            "refused" | "unreachable" | "bad-answer" => report.trouble = Some(event.to_owned()),
            _ => {}
        }
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
