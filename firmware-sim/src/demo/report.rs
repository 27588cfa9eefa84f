//! What the demonstration prints.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{self, Write};

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::refusals::Proof;
use super::{DemoError, DemoOptions};
use crate::device::{Milestones, Stack};
use crate::fleet::{Tally, percentile};
use crate::stage::Stage;

/// What came out, as `--json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Devices that were started.
    pub devices: usize,
    /// Devices that got an identity.
    pub enrolled: usize,
    /// Devices that the broker accepted.
    pub connected: usize,
    /// Devices whose telemetry arrived at the broker.
    pub published: usize,
    /// Scenarios, and whether who should be refused was refused.
    pub refused: BTreeMap<&'static str, bool>,
    /// Devices that did not reach all of it, and scenarios that did not end in a refusal.
    pub failed: usize,
    /// Median of the time from a blank device to its first acknowledged publication, in milliseconds.
    pub p50_ms: u64,
    /// 99th percentile of the same.
    pub p99_ms: u64,
}

impl Summary {
    pub(super) fn of(stage: &Stage, tally: &Tally) -> Self {
        let published = stage.lot.devices.iter().filter(|id| stage.observer.seen(id).telemetry > 0).count();
        let times = tally.sorted(|device| device.online);
        Self {
            devices: stage.lot.devices.len(),
            enrolled: tally.enrolled(),
            connected: tally.connected(),
            published,
            refused: BTreeMap::new(),
            failed: 0,
            p50_ms: milliseconds(percentile(&times, 50)),
            p99_ms: milliseconds(percentile(&times, 99)),
        }
    }

    /// Counts the failures, when all scenarios are in.
    pub(super) fn conclude(&mut self) {
        let reached = self.enrolled.min(self.connected).min(self.published);
        let let_in = self.refused.values().filter(|refused| !**refused).count();
        self.failed = self.devices.saturating_sub(reached) + let_in;
    }

    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let all = |count: usize| count == self.devices;
        self.failed == 0 && self.refused.len() == SCENARIOS && all(self.enrolled) && all(self.published)
    }
}

/// Number of scenarios; one that was left out must not pass for a success.
const SCENARIOS: usize = 5;

pub(super) fn opening(stage: &Stage, options: &DemoOptions, story: &mut dyn Write) -> Result<(), DemoError> {
    let stack = match options.stack {
        Stack::Mcu => "microcontroller stack (embedded-tls, P-256 in software, minimq, NOR flash image)",
        Stack::Linux => "Linux stack (rustls, rumqttc, files)",
    };
    writeln!(story, "Factory            {} devices of {}", stage.lot.devices.len(), stage.order.maker)?;
    writeln!(story, "Enrollment server  https://{}", stage.provision.address)?;
    writeln!(
        story,
        "Broker             mqtts://localhost:{} (for demonstrations)",
        stage.broker.address().port()
    )?;
    writeln!(story, "Devices            {stack}")?;
    Ok(())
}

pub(super) fn table(
    stage: &Stage,
    tally: &Tally,
    all_online: bool,
    took: Duration,
    story: &mut dyn Write,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["device", "identity", "broker login", "publication", "in all", ""]);
    let times: [fn(&Milestones) -> Option<Duration>; 4] =
        [|d| d.identity, |d| d.handshake, |d| d.publish, |d| d.online];
    let good = |device: &Milestones| device.telemetry > 0;
    let shown = if tally.devices().len() > MOST_ROWS { FEW_ROWS } else { MOST_ROWS };
    let mut left_out = 0;
    for (row, (id, device)) in stage.lot.devices.iter().zip(tally.devices()).enumerate() {
        // What went wrong is never left out.
        if row >= shown && good(device) {
            left_out += 1;
            continue;
        }
        let trouble = device.ended.as_ref().or(device.trouble.as_ref()).filter(|_| !good(device));
        let cells = times.iter().map(|time| cell(time(device)));
        let note = trouble.cloned().unwrap_or_default();
        table.add_row(core::iter::once(id.to_string()).chain(cells).chain([note]));
    }
    if left_out > 0 {
        table.add_row([format!("… {left_out} more")]);
    }
    for (name, percent) in [("p50", 50), ("p99", 99)] {
        let cells = times.iter().map(|time| {
            let sorted = tally.sorted(time);
            cell(sorted.first().map(|_| percentile(&sorted, percent)))
        });
        table.add_row(core::iter::once(name.to_owned()).chain(cells));
    }
    for column in table.column_iter_mut().skip(1).take(times.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(story, "\n{table}")?;
    let verdict = if all_online { "All devices are online" } else { "NOT all devices came online" };
    writeln!(
        story,
        "{verdict}: {} of {} after {:.1} s.\n",
        online(tally),
        tally.devices().len(),
        took.as_secs_f64()
    )
}

pub(super) fn proof(proof: &Proof, story: &mut dyn Write) -> io::Result<()> {
    let verdict = if proof.refused { "refused" } else { "NOT REFUSED" };
    writeln!(story, "{verdict:>11}  {:<24} {}", proof.scenario.replace('_', " "), proof.detail)
}

pub(super) fn ending(
    stage: &Stage,
    options: &DemoOptions,
    summary: &Summary,
    story: &mut dyn Write,
) -> io::Result<()> {
    if summary.is_good() {
        writeln!(story, "\nEverything is as it should be.")?;
    } else {
        writeln!(story, "\n{} of devices and scenarios FAILED.", summary.failed)?;
    }
    if options.keep_running {
        return Ok(());
    }
    writeln!(story, "\nTry next:")?;
    for (command, what) in [
        ("firmware-sim demo --keep-running", "leave it up, and talk to the devices"),
        ("firmware-sim demo --stack linux", "the same with the Linux agent"),
        ("firmware-sim demo --devices 200", "more devices"),
        ("enroll-server --help", "set up a server of your own"),
    ] {
        writeln!(story, "  {command:<36} {what}")?;
    }
    if options.state.is_some() {
        writeln!(story, "Keys, certificates and flash images are in {}.", stage.dir.display())?;
    }
    Ok(())
}

/// How a person talks to what is running.
pub(super) fn how_to_connect(stage: &Stage, options: &DemoOptions, story: &mut dyn Write) -> io::Result<()> {
    let door = stage.broker.operator_door();
    let password = stage.dir.join("broker").join("operator.password");
    crate::factory::write_private(&password, door.password.as_bytes()).map_err(io::Error::other)?;
    let mosquitto = format!(
        "-V 5 -h 127.0.0.1 -p {} -u {} -P \"$(cat {})\"",
        door.address.port(),
        door.user,
        password.display()
    );
    let id = stage.lot.devices.first().map(ToString::to_string).unwrap_or_default();
    writeln!(story, "\nEverything stays up until you press Ctrl-C.")?;
    writeln!(story, "\nWatch all devices (plain MQTT on the loopback interface, around the guard):")?;
    writeln!(story, "  mosquitto_sub {mosquitto} -t 'devices/#' -v")?;
    writeln!(story, "Have one renew its certificate, or publish its status:")?;
    for command in ["renew", "status"] {
        let payload = format!("{{\"command\":\"{command}\"}}");
        writeln!(story, "  mosquitto_pub {mosquitto} -t devices/{id}/command -m '{payload}'")?;
    }
    let root = stage.root.display();
    writeln!(story, "See what the broker wants of a client:")?;
    let broker = stage.broker.address().port();
    writeln!(story, "  openssl s_client -connect localhost:{broker} -CAfile {root} -tls1_3 </dev/null")?;
    writeln!(story, "Ask the enrollment server's operator:")?;
    let config = stage.dir.join("server").join("enroll-server.toml");
    writeln!(story, "  enroll-server device list --config {}", config.display())?;
    writeln!(story, "  enroll-server device renew {id} --wait 1m --config {}", config.display())?;
    if options.stack == Stack::Linux {
        let pem = stage.lot.dir.join("devices").join(&id).join("pem").join("current");
        writeln!(story, "The first device's key and certificate for other programs: {}", pem.display())?;
    }
    Ok(())
}

/// So many devices are all shown.
const MOST_ROWS: usize = 25;
/// Of more, so many are.
const FEW_ROWS: usize = 10;

fn online(tally: &Tally) -> usize {
    tally.devices().iter().filter(|device| device.telemetry > 0).count()
}

fn cell(time: Option<Duration>) -> String {
    time.map_or_else(|| "–".to_owned(), |time| format!("{} ms", time.as_millis()))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Summary;
    use std::collections::BTreeMap;

    fn summary() -> Summary {
        let names = [
            "changed_firmware",
            "cloned_idevid",
            "no_client_certificate",
            "revoked_while_connected",
            "unknown_maker",
        ];
        Summary {
            devices: 3,
            enrolled: 3,
            connected: 3,
            published: 3,
            refused: names.map(|name| (name, true)).into(),
            failed: 0,
            p50_ms: 1,
            p99_ms: 2,
        }
    }

    fn concluded(change: impl FnOnce(&mut Summary)) -> Summary {
        let mut summary = summary();
        change(&mut summary);
        summary.conclude();
        summary
    }

    #[test]
    fn only_a_full_success_is_good() {
        assert!(concluded(|_| ()).is_good());
        assert_eq!(concluded(|s| s.enrolled = 2).failed, 1);
        assert_eq!(concluded(|s| s.published = 0).failed, 3);
        assert_eq!(concluded(|s| *s.refused.get_mut("unknown_maker").unwrap() = false).failed, 1);
        assert!(!concluded(|s| s.connected = 2).is_good());
        let without_scenarios = concluded(|s| s.refused = BTreeMap::new());
        assert!(!without_scenarios.is_good(), "a scenario that was left out is no success");
    }

    #[test]
    fn the_json_is_what_the_documentation_promises() {
        let json: serde_json::Value = serde_json::to_value(summary()).unwrap();
        let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let promised =
            ["connected", "devices", "enrolled", "failed", "p50_ms", "p99_ms", "published", "refused"];
        assert_eq!(keys, promised);
        assert_eq!(json["refused"]["cloned_idevid"], true);
    }
}
