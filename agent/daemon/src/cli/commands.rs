//! What each command does, and how it ends.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::Arc;

use agent_core::flow::{Control, OnceError, Status};
use tokio::signal::unix::{SignalKind, signal};

use super::Command;
use super::renew::{How, renew};
use super::report::{chain, failure, refusal_text, say, status_json, status_text};
use crate::config::Config;
use crate::control::{Answer, Question, ask};
use crate::doctor::Wishes;
use crate::exit::Exit;
use crate::proxy::ProxyError;
use crate::startup::{self, StartError, Surroundings};
use crate::state_dir::StateDir;

/// Carries out one command.
pub(super) async fn carry_out(
    command: &Command,
    config: &Config,
    environment: &BTreeMap<String, String>,
) -> Exit {
    let control = Arc::new(Control::new());
    let outcome = match command {
        Command::Run => run(config, control, environment).await,
        Command::Enroll => enroll(config, control).await,
        Command::Status { json } => status(config, *json).await,
        Command::Renew { force, json } => renew(config, control, How { force: *force, json: *json }).await,
        Command::Doctor { server, json, login } => {
            let wishes = Wishes { server: server.clone(), login: *login };
            super::doctor::run(config, &wishes, *json).await
        }
        Command::Proxy => proxy(config, &control, environment).await,
        Command::Reset { yes } => reset(config, *yes).await,
        // Needs no configuration, and was carried out before one was read.
        Command::Sample => Ok(Exit::Done),
    };
    ended(outcome)
}

/// How a command ended; an error is told.
pub(super) fn ended(outcome: Result<Exit, StartError>) -> Exit {
    outcome.unwrap_or_else(|error| {
        failure(&chain(&error));
        exit_of(&error)
    })
}

async fn run(
    config: &Config,
    control: Arc<Control>,
    environment: &BTreeMap<String, String>,
) -> Result<Exit, StartError> {
    let surroundings = Surroundings::of_service(environment);
    until_signalled(&control, startup::run_with(config, Arc::clone(&control), surroundings)).await?;
    Ok(Exit::Done)
}

async fn proxy(
    config: &Config,
    control: &Control,
    environment: &BTreeMap<String, String>,
) -> Result<Exit, StartError> {
    let Some(settings) = &config.proxy else {
        failure(
            "proxy.listen is not set: say where programs connect, for example \
             --proxy-listen unix:/run/agent/mqtt.sock or --proxy-listen 127.0.0.1:1883",
        );
        return Ok(Exit::Usage);
    };
    let Surroundings { notifier, watchdog, .. } = Surroundings::of_service(environment);
    let work = async { Ok(crate::proxy::run(config, settings, control, notifier, watchdog).await?) };
    until_signalled(control, work).await?;
    Ok(Exit::Done)
}

async fn enroll(config: &Config, control: Arc<Control>) -> Result<Exit, StartError> {
    let status = until_signalled(&control, startup::enroll(config, &control)).await?;
    say(&status_text(&status, None))?;
    Ok(Exit::Done)
}

async fn status(config: &Config, json: bool) -> Result<Exit, StartError> {
    let Some(dir) = StateDir::look(&config.state_dir)? else {
        failure(&format!("there is no state directory {}", config.state_dir.display()));
        return Ok(Exit::NotEnrolled);
    };
    let running = match ask(&dir, Question::Status).await {
        Ok(Some(Answer::Status(snapshot))) => Some(snapshot),
        Ok(_) => None,
        Err(error) => {
            failure(&chain(&error));
            None
        }
    };
    let status = startup::status(config).await?;
    let text = if json {
        status_json(&status, running.as_ref()).map_err(StartError::Json)?
    } else {
        status_text(&status, running.as_ref())
    };
    say(&text)?;
    Ok(if has_valid_identity(&status) { Exit::Done } else { Exit::NotEnrolled })
}

async fn reset(config: &Config, yes: bool) -> Result<Exit, StartError> {
    if !yes && !confirmed(config) {
        return Ok(Exit::Usage);
    }
    startup::reset(config).await?;
    say("keys, certificates and exported files are erased")?;
    Ok(Exit::Done)
}

/// Asks on the terminal; without one the answer is no.
fn confirmed(config: &Config) -> bool {
    let mut terminal = std::io::stderr();
    if !std::io::stdin().is_terminal() {
        failure("reset erases the device's identity; say --yes to do it without being asked");
        return false;
    }
    let question = format!("Erase the identity in {}? Type yes: ", config.state_dir.display());
    let mut answer = String::new();
    let asked = terminal.write_all(question.as_bytes()).and_then(|()| terminal.flush());
    let heard = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    let confirmed = heard.is_ok() && answer.trim() == "yes";
    if !confirmed {
        failure("nothing was erased");
    }
    confirmed
}

/// Runs `work`; the first SIGTERM or SIGINT asks it to stop in order, the second one drops it. Dropping is safe
/// at any point: a write to the state directory never yields half-way.
pub(super) async fn until_signalled<T>(
    control: &Control,
    work: impl Future<Output = Result<T, StartError>>,
) -> Result<T, StartError> {
    let mut work = core::pin::pin!(work);
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signal)?;
    for _ in 0..2 {
        tokio::select! {
            outcome = &mut work => return outcome,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        control.stop();
    }
    Err(StartError::Once(OnceError::Stopped))
}

fn has_valid_identity(status: &Status) -> bool {
    let now = crate::clock::wall().unwrap_or(status.time_floor).max(status.time_floor);
    status.identity.as_ref().is_some_and(|identity| identity.not_after >= now)
}

pub(super) fn exit_of(error: &StartError) -> Exit {
    match error {
        StartError::StateDir(_)
        | StartError::Provision(_)
        | StartError::Export(_)
        | StartError::Answer(_) => Exit::Files,
        StartError::Proxy(ProxyError::StateDir(_) | ProxyError::Provision(_)) => Exit::Files,
        StartError::Run(_) | StartError::Once(OnceError::Run(_) | OnceError::Storage(_)) => Exit::Files,
        StartError::Once(OnceError::NotEnrolled) => Exit::NotEnrolled,
        StartError::Once(OnceError::Pending) => Exit::Pending,
        StartError::Once(OnceError::Refused { code }) => {
            failure(&refusal_text(*code));
            Exit::Refused
        }
        StartError::Once(_)
        | StartError::Proxy(_)
        | StartError::Control(_)
        | StartError::Socket(_)
        | StartError::Signal(_)
        | StartError::Json(_) => Exit::Later,
    }
}
