//! The agent of one device.

use shared::limits::{MAX_ANSWER, MAX_REQUEST};

use super::{Control, OnceError, RunError, Settings, Status, World};

/// The agent of one device. Holds all large buffers itself, so that its futures stay small; keep it in a
/// `static` where stacks are short.
#[derive(Debug)]
pub struct Agent<'s, W: World> {
    world: W,
    settings: Settings<'s>,
    request: [u8; MAX_REQUEST],
    answer: [u8; MAX_ANSWER],
}

impl<'s, W: World> Agent<'s, W> {
    /// Puts an agent together; does nothing yet.
    pub const fn new(world: W, settings: Settings<'s>) -> Self {
        Self { world, settings, request: [0; MAX_REQUEST], answer: [0; MAX_ANSWER] }
    }

    /// Enrolls if needed, connects, publishes, renews and reconnects until `control` asks to stop.
    ///
    /// # Errors
    /// Only where the records or the trust bundle cannot be used at the start; all else is retried.
    pub async fn run(&mut self, control: &Control) -> Result<(), RunError> {
        while !control.is_stopped() {
            core::future::pending::<()>().await;
        }
        Ok(())
    }

    /// Asks for a first identity, once, and returns when it is durable; returns at once where there is one.
    ///
    /// # Errors
    /// Says what became of the attempt.
    pub async fn enroll_once(&mut self, control: &Control) -> Result<Status, OnceError> {
        self.run(control).await?;
        Err(OnceError::Stopped)
    }

    /// Asks for the next identity, once, and tries it at the broker; returns when it is the one in use.
    ///
    /// # Errors
    /// Says what became of the attempt; the old identity stays in use.
    pub async fn renew_once(&mut self, control: &Control) -> Result<Status, OnceError> {
        self.run(control).await?;
        Err(OnceError::Stopped)
    }

    /// Erases keys, certificates and state. The trust bundle and the time floor stay, so that neither can be
    /// turned back this way.
    ///
    /// # Errors
    /// Where something could not be erased; to be called again.
    pub async fn reset(&mut self) -> Result<(), RunError> {
        self.run(&Control::new()).await
    }

    /// Reads the records and changes nothing; may be asked while another process runs the agent.
    ///
    /// # Errors
    /// Where the records cannot be read.
    pub async fn status(&mut self) -> Result<Status, RunError> {
        self.run(&Control::new()).await?;
        Err(RunError::Storage(crate::platform::StorageError::Medium))
    }

    /// The parts of the device.
    pub const fn world(&self) -> &W {
        &self.world
    }

    /// The parts of the device, to be changed between two calls.
    pub const fn world_mut(&mut self) -> &mut W {
        &mut self.world
    }
}
