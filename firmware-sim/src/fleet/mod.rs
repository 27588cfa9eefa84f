//! Many devices in one process.
//!
//! A device's futures are not `Send`, as on the device; so each thread runs its share on a runtime of its own.

mod tally;
mod together;

use core::time::Duration;
use std::sync::Arc;
use std::thread::JoinHandle;

use agent_core::flow::Control;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::device::{self, Behaviour, DeviceError, DeviceSpec, Milestone};

pub(crate) use enroll_server::issuance::chain;
pub use tally::{Tally, percentile};
use together::together;

/// Devices that run. Dropping it asks them to stop; they end on their own.
#[derive(Debug)]
pub struct Fleet {
    controls: Vec<Arc<Control>>,
    threads: Vec<JoinHandle<()>>,
}

/// What a device tells.
#[derive(Debug)]
pub struct Told {
    /// Its place in the list the fleet was started with.
    pub device: usize,
    /// When.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What there is to tell.
#[derive(Debug)]
pub enum What {
    /// It begins.
    Begun,
    /// It reached something, or something went wrong that it will try again.
    Milestone(Milestone),
    /// It ended.
    Ended(Result<(), DeviceError>),
}

/// How to run a fleet.
#[derive(Clone, Copy, Debug)]
pub struct FleetOptions {
    /// How each device behaves.
    pub behaviour: Behaviour,
    /// Threads to run them on.
    pub threads: usize,
    /// The devices begin one after the other, spread over this time.
    pub ramp: Duration,
}

impl FleetOptions {
    /// All at once, on as many threads as the machine has cores.
    #[must_use]
    pub fn new(behaviour: Behaviour) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
        Self { behaviour, threads, ramp: Duration::ZERO }
    }
}

/// Most tasks. The timer queue of embassy-time holds 64 tasks; were there more, they would wake each other all
/// the time. Devices that share a task share its place in the queue.
const MAX_TASKS: usize = 48;

type Member = (usize, DeviceSpec, Arc<Control>);

impl Fleet {
    /// Starts all `devices`. What they have to tell comes out of the receiver, which ends when all have ended.
    ///
    /// # Errors
    /// Where a thread cannot be made.
    pub fn start(
        devices: &[DeviceSpec],
        options: &FleetOptions,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Told>), DeviceError> {
        let (tell, told) = mpsc::unbounded_channel();
        let controls: Vec<Arc<Control>> = devices.iter().map(|_| Arc::default()).collect();
        let threads = options.threads.clamp(1, MAX_TASKS);
        let tasks = devices.len().clamp(1, MAX_TASKS);
        let mut shares: Vec<Vec<Vec<Member>>> = Vec::new();
        shares.resize_with(threads, Vec::new);
        for task in 0..tasks {
            let members = devices.iter().zip(&controls).enumerate().skip(task).step_by(tasks);
            let members =
                members.map(|(place, (spec, control))| (place, spec.clone(), Arc::clone(control))).collect();
            if let Some(share) = shares.get_mut(task % threads) {
                share.push(members);
            }
        }
        let mut fleet = Self { controls, threads: Vec::new() };
        let delay = options.ramp / u32::try_from(devices.len().max(1)).unwrap_or(u32::MAX);
        for share in shares.into_iter().filter(|share| !share.is_empty()) {
            let (tell, behaviour) = (tell.clone(), options.behaviour);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(DeviceError::Thread)?;
            let thread = std::thread::Builder::new()
                .name("devices".to_owned())
                // Debug builds keep large futures on the stack while they are made.
                .stack_size(8 * 1024 * 1024)
                .spawn(move || {
                    let tasks = LocalSet::new();
                    for members in share {
                        tasks.spawn_local(run_all(members, behaviour, delay, tell.clone()));
                    }
                    drop(tell);
                    runtime.block_on(tasks);
                })
                .map_err(DeviceError::Thread)?;
            fleet.threads.push(thread);
        }
        Ok((fleet, told))
    }

    /// Asks all devices to leave the broker in order and end.
    pub fn stop(&self) {
        for control in &self.controls {
            control.stop();
        }
    }

    /// The handle of one device.
    #[must_use]
    pub fn control(&self, device: usize) -> Option<&Arc<Control>> {
        self.controls.get(device)
    }

    /// Stops all devices and waits for them, at most `patience`; `false` where some are still running then, or
    /// one of their threads panicked.
    pub async fn finish(mut self, patience: Duration) -> bool {
        self.stop();
        let threads = core::mem::take(&mut self.threads);
        let joining = tokio::task::spawn_blocking(|| threads.into_iter().all(|thread| thread.join().is_ok()));
        matches!(tokio::time::timeout(patience, joining).await, Ok(Ok(true)))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs the devices of one task.
async fn run_all(
    members: Vec<Member>,
    behaviour: Behaviour,
    delay: Duration,
    tell: mpsc::UnboundedSender<Told>,
) {
    let devices = members.into_iter().map(|member| {
        let tell = tell.clone();
        let device = async move { run_one(member, behaviour, delay, tell).await };
        Box::pin(device) as together::Device
    });
    let devices = devices.collect();
    drop(tell);
    together(devices).await;
}

/// Waits until a device may begin; `false` where it is asked to stop before that.
async fn its_turn(after: Duration, control: &Control) -> bool {
    let begins = Instant::now() + after;
    while !control.is_stopped() {
        let now = Instant::now();
        if now >= begins {
            return true;
        }
        tokio::time::sleep_until(begins.min(now + LOOK)).await;
    }
    false
}

/// How often a device that waits for its turn looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(500);

async fn run_one(
    (device, spec, control): Member,
    behaviour: Behaviour,
    delay: Duration,
    tell: mpsc::UnboundedSender<Told>,
) {
    let place = u32::try_from(device).unwrap_or(u32::MAX);
    if !its_turn(delay.saturating_mul(place), &control).await {
        return;
    }
    let id = spec.id().to_owned();
    let say = move |what| {
        // Nobody listens any more once the fleet was given up.
        let _listened = tell.send(Told { device, at: Instant::now(), what });
    };
    say(What::Begun);
    let tap = {
        let say = say.clone();
        Box::new(move |notice: &agent_core::flow::Notice<'_>| {
            tracing::debug!(device = id.as_str(), notice = notice.name(), "{notice:?}");
            if let Some(milestone) = Milestone::of(notice) {
                say(What::Milestone(milestone));
            }
        })
    };
    let outcome = device::run(&spec, &behaviour, control, tap).await;
    say(What::Ended(outcome));
}

#[cfg(test)]
mod tests {
    use super::{Control, Duration, Instant, its_turn};

    #[tokio::test(start_paused = true)]
    async fn a_device_waits_for_its_turn_and_not_when_it_is_to_stop() {
        let (control, begun) = (Control::new(), Instant::now());
        assert!(its_turn(Duration::from_millis(1_700), &control).await);
        assert_eq!(begun.elapsed().as_millis(), 1_700);
        let (stopped, begun) = (Control::new(), Instant::now());
        let (turn, ()) = tokio::join!(its_turn(Duration::from_secs(3_600), &stopped), async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            stopped.stop();
        });
        assert!(!turn && begun.elapsed() < Duration::from_secs(11));
    }
}
