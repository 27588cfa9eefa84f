//! Boots devices in QEMU beside a server and a broker, and sees them through enrollment, publication and renewal.

use core::time::Duration;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use shared::DeviceId;
use tokio::time::{Instant, timeout_at};

use super::image::{self, Build, Image, ImageError};
use super::machine::{Count, Machine, MachineError};
use super::spent::Spent;
use crate::board::{self, Board, flash_image, fuses};
use crate::broker::AdminError;
use crate::device::{DeviceError, DeviceSpec};
use crate::factory::{FactoryError, write_private};
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
    /// How often the power is cut at a random moment before a device is let through.
    pub power_cuts: u32,
    /// Whether time passes with instructions or with the host's clock.
    pub count: Count,
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
    /// How often its power was cut.
    pub power_cuts: u32,
    /// How often it was asked to renew.
    pub renewals_asked: u32,
    /// Certificates that the server has issued to it: one, and at most one more for each renewal asked for.
    pub certificates: usize,
    /// What it had spent at each certificate and each publication.
    pub spent: Vec<Spent>,
    /// Whether the IDevID key lies in the flash wrapped, and in the clear no more.
    pub key_wrapped: bool,
    /// The last thing that went wrong.
    pub trouble: Option<String>,
}

impl DeviceReport {
    /// Whether it got through all of it, with no certificate more than was asked for.
    fn is_good(&self) -> bool {
        let renewals = usize::try_from(self.renewals_asked).unwrap_or(usize::MAX);
        self.published_again_ms.is_some()
            && self.key_wrapped
            && (2..=renewals.saturating_add(1)).contains(&self.certificates)
            && (self.power_cuts == 0 || self.trouble.is_none())
    }
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
    /// A file of a device could not be written.
    #[error(transparent)]
    Write(#[from] FactoryError),
    /// QEMU is not there, or did not start.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The observer at the broker failed.
    #[error(transparent)]
    Observer(#[from] AdminError),
    /// The server's inventory cannot be read.
    #[error("the enrollment server's inventory cannot be read")]
    Inventory(#[from] enroll_server::admin::AdminError),
    /// The story could not be told, or a folder not be made.
    #[error("input or output failed")]
    Io(#[from] std::io::Error),
}

/// The address of the host as QEMU's user network has it.
pub const HOST: &str = "10.0.2.2";

/// Builds the image and runs everything; tells what happens to `story`.
///
/// # Errors
/// Where it could not be run. A device that does not get through is no error: it stands in the summary.
pub async fn run(options: &Options, story: &mut (dyn Write + Send)) -> Result<Summary, QemuError> {
    writeln!(story, "Building the image for {} ...", options.board.name())?;
    story.flush()?;
    run_image(&image::build(options.board, Build::Release)?, options, story).await
}

/// Runs everything with an image that is built.
///
/// # Errors
/// As [`run`].
pub async fn run_image(
    image: &Image,
    options: &Options,
    story: &mut (dyn Write + Send),
) -> Result<Summary, QemuError> {
    writeln!(story, "Image              {} bytes of flash, {} of static RAM", image.flash, image.ram)?;

    let temporary = tempfile::Builder::new().prefix("firmware-sim-").tempdir()?;
    // A copy: a build that goes on beside would change what the devices are, in the middle of their lives.
    let elf = temporary.path().join("image.elf");
    fs::copy(&image.elf, &elf)?;
    let setting = Setting {
        host: HOST,
        devices: options.devices,
        version: image.version.clone(),
        reference_values: reference_values(image),
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
        let _made = fuses(&folder)?;
        write_private(&folder.join("flash.img"), &flash_image(&device, &options.board.layout())?)?;
        let boot = || Machine::boot(options.board, &elf, &folder, options.count);
        let report = DeviceReport { device: id.to_string(), ..DeviceReport::default() };
        let mut watch = Watch { id, begun: Instant::now(), spent: None, report, stage: &stage };
        writeln!(story, "\n{id}")?;
        for cut in 0..options.power_cuts {
            watch.cut(boot()?, cut).await?;
        }
        if options.power_cuts > 0 {
            writeln!(story, "{:>8} ms  the power was cut {} times", watch.elapsed(), options.power_cuts)?;
        }
        let stopped = watch.report.trouble.take();
        watch.see_through(boot()?, options.patience, story).await?;
        watch.report.trouble = stopped.or(watch.report.trouble);
        watch.count_certificates().await?;
        watch.report.key_wrapped = has_wrapped_key(options.board, &folder).await;
        summary.failed += usize::from(!watch.report.is_good());
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

async fn has_wrapped_key(board: Board, folder: &Path) -> bool {
    let Ok(image) = fs::read(folder.join("flash.img")) else { return false };
    let contents = board::read(board, &image).await;
    contents.is_ok_and(|found| found.idevid_key.factory == "blank" && found.idevid_key.wrapped == "key")
}

/// The image as the board measures it, in the form of a policy's reference values.
#[must_use]
pub fn reference_values(image: &Image) -> String {
    format!(
        "\n# The image, as the board measures it.\n[[measurement]]\ncomponent = \"application\"\n\
         version = \"{}\"\ndigest = \"{}\"\n",
        image.version,
        hex::encode(image.digest)
    )
}

/// Watches one device.
pub(super) struct Watch<'s> {
    id: &'s DeviceId,
    begun: Instant,
    spent: Option<String>,
    pub(super) report: DeviceReport,
    stage: &'s Stage,
}

impl Watch<'_> {
    async fn see_through(
        &mut self,
        mut machine: Machine,
        patience: Duration,
        story: &mut (dyn Write + Send),
    ) -> Result<(), QemuError> {
        self.begun = Instant::now();
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
                self.ask_to_renew().await?;
                asked = true;
            }
        }
        machine.cut_power().await?;
        Ok(())
    }

    /// The device obeys its command topic; QEMU's console would be no way in on a real board.
    pub(super) async fn ask_to_renew(&mut self) -> Result<(), AdminError> {
        self.report.renewals_asked += 1;
        self.stage.observer.command(self.id, r#"{"command":"renew"}"#).await
    }

    async fn count_certificates(&mut self) -> Result<(), QemuError> {
        self.report.certificates = self.stage.server.admin().certificates(Some(self.id)).await?.len();
        Ok(())
    }

    /// Takes a line of the console: `event NAME [DETAIL]`, `stack USED of SIZE`, or `spent TICKS PAGES BYTES` for the
    /// event that follows.
    fn take(&mut self, line: &str) {
        let now = Some(self.elapsed());
        if let Some((used, size)) = line.strip_prefix("stack ").and_then(|stack| stack.split_once(" of ")) {
            (self.report.stack_used, self.report.stack_size) = (used.parse().ok(), size.parse().ok());
        }
        if let Some(numbers) = line.strip_prefix("spent ") {
            self.spent = Some(numbers.to_owned());
        }
        let Some(event) = line.strip_prefix("event ") else { return };
        let (name, detail) = event.split_once(' ').unwrap_or((event, ""));
        let milestone = ["enrolled", "published"].into_iter().find(|milestone| *milestone == name);
        if let (Some(numbers), Some(at)) = (&self.spent, milestone) {
            self.report.spent.extend(Spent::parse(numbers, at));
            self.spent = None;
        }
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
