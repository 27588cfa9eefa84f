//! Cuts a machine's power at random moments: while it enrolls, and while it renews.

use core::time::Duration;

use rand_core::{OsRng, RngCore as _};
use tokio::time::{Instant, timeout_at};

use super::machine::Machine;
use super::run::{QemuError, Watch};

/// One cut in so many is made during a renewal: it takes seconds until one is under way.
const RENEWAL: u32 = 4;
/// A first enrollment takes about half a second, a renewal as long.
const WINDOW: Duration = Duration::from_millis(700);
/// Longest time until a renewal that was asked for begins.
const PATIENCE: Duration = Duration::from_secs(30);

impl Watch<'_> {
    /// Lets `machine` run until the power is cut, for the `number`th time. A machine that stops by itself before
    /// is trouble.
    pub(super) async fn cut(&mut self, mut machine: Machine, number: u32) -> Result<(), QemuError> {
        let renewing = number % RENEWAL == RENEWAL - 1;
        let moment = WINDOW.mul_f64(f64::from(OsRng.next_u32()) / f64::from(u32::MAX));
        let mut until = Instant::now() + if renewing { PATIENCE } else { moment };
        let mut asked = false;
        while let Ok(line) = timeout_at(until, machine.line()).await {
            let Some(line) = line? else {
                self.report.trouble = Some(format!("the machine stopped by itself before cut {number}"));
                break;
            };
            if line == "event published telemetry" && renewing && !asked {
                self.ask_to_renew().await?;
                asked = true;
            }
            // Also one that was interrupted before, and goes on.
            if line == "event renewal-started" || (renewing && line == "event challenged") {
                until = until.min(Instant::now() + moment);
            }
        }
        machine.cut_power().await?;
        self.report.power_cuts += 1;
        Ok(())
    }
}
