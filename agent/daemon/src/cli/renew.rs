//! `agent renew`: now if it is due or wanted by force, through the agent that runs or by itself.

use std::sync::Arc;

use agent_core::flow::{Control, IdentityStatus, OnceError, Status};
use serde::Serialize;
use shared::UnixTime;

use super::commands::{exit_of, until_signalled};
use super::report::{chain, failure, refusal_text, say, serial, status_text};
use crate::config::Config;
use crate::control::{Answer, Question, ask};
use crate::exit::Exit;
use crate::live::Renewal;
use crate::startup::{self, StartError};
use crate::state_dir::{StateDir, StateDirError};

/// What the command is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// Renews although it is not due.
    pub(super) force: bool,
    /// Prints one JSON object.
    pub(super) json: bool,
}

/// What `agent renew --json` prints.
#[derive(Debug, Default, Serialize)]
struct Report {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renew_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Report {
    fn of(outcome: &'static str, identity: Option<&IdentityStatus>) -> Self {
        Self {
            outcome,
            serial: identity.map(|identity| serial(&identity.serial)),
            not_after: identity.map(|identity| identity.not_after.to_string()),
            renew_at: identity.map(|identity| identity.renew_at.to_string()),
            ..Self::default()
        }
    }

    fn because(outcome: &'static str, reason: String) -> Self {
        Self { outcome, reason: Some(reason), ..Self::default() }
    }
}

/// Whether it is time, by what can be known without a question.
#[derive(Debug, PartialEq)]
enum Due {
    /// By the device's own clock, or because somebody wants it.
    Now,
    /// Not by the device's own clock.
    NotYet(IdentityStatus),
    /// The device's own clock shows a time that is past for certain.
    Unknown(IdentityStatus),
}

/// Carries the command out.
pub(super) async fn renew(config: &Config, control: Arc<Control>, how: How) -> Result<Exit, StartError> {
    let due = if how.force { Due::Now } else { due(&startup::status(config).await?, crate::clock::wall()) };
    match due {
        Due::NotYet(identity) => {
            startup::tidy(config).await?;
            not_due(how, &identity)
        }
        // The agent that runs knows the time, and renews by itself.
        Due::Unknown(identity) => match alone(config, &control, how).await {
            Err(StartError::StateDir(StateDirError::Busy { .. })) => not_due(how, &identity),
            outcome => report(config, how, outcome).await,
        },
        Due::Now => {
            let answer = match StateDir::look(&config.state_dir)? {
                Some(dir) => ask(&dir, Question::Renew).await.map_err(StartError::Control)?,
                None => None,
            };
            match answer {
                Some(answer) => by_running_agent(config, how, answer).await,
                None => report(config, how, alone(config, &control, how).await).await,
            }
        }
    }
}

fn due(status: &Status, wall: Option<UnixTime>) -> Due {
    let floor = status.time_floor;
    match &status.identity {
        Some(identity) if wall.is_none_or(|wall| wall < floor) => Due::Unknown(identity.clone()),
        Some(identity) if wall.is_some_and(|wall| wall < identity.renew_at) => Due::NotYet(identity.clone()),
        _ => Due::Now,
    }
}

fn not_due(how: How, identity: &IdentityStatus) -> Result<Exit, StartError> {
    let text = format!(
        "not due: the certificate ends {}, and the agent renews it by itself {}; to renew it now: agent renew --force",
        identity.not_after, identity.renew_at
    );
    tell(how, &Report::of("not-due", Some(identity)), &text, Exit::Done)
}

/// The outcome, where no agent runs; without a status it was not due by the server's time.
async fn alone(config: &Config, control: &Control, how: How) -> Result<Option<Status>, StartError> {
    let work = async {
        if how.force {
            startup::renew(config, control).await.map(Some)
        } else {
            startup::renew_if_due(config, control).await
        }
    };
    until_signalled(control, work).await
}

async fn report(
    config: &Config,
    how: How,
    outcome: Result<Option<Status>, StartError>,
) -> Result<Exit, StartError> {
    match outcome {
        Ok(Some(status)) => {
            let report = Report::of("renewed", status.identity.as_ref());
            tell(how, &report, &status_text(&status, None), Exit::Done)
        }
        Ok(None) => match startup::status(config).await?.identity {
            Some(identity) => not_due(how, &identity),
            None => Err(OnceError::NotEnrolled.into()),
        },
        Err(error) if how.json => {
            let reason = Some(chain(&error));
            let (outcome, code) = match &error {
                StartError::Once(OnceError::Refused { code }) => ("refused", Some(*code)),
                StartError::Once(OnceError::Pending) => ("pending", None),
                StartError::Once(OnceError::NotEnrolled) => ("not-enrolled", None),
                _ => ("failed", None),
            };
            print(&Report { outcome, code, reason, ..Report::default() })?;
            Ok(exit_of(&error))
        }
        Err(error) => Err(error),
    }
}

async fn by_running_agent(config: &Config, how: How, answer: Answer) -> Result<Exit, StartError> {
    let (report, text, exit) = match answer {
        Answer::Renewal(Renewal::Renewed) => {
            let status = startup::status(config).await?;
            let report = Report::of("renewed", status.identity.as_ref());
            return tell(how, &report, "renewed by the running agent", Exit::Done);
        }
        Answer::Renewal(Renewal::Pending) => {
            let text = "the server holds the request for an operator's approval".to_owned();
            (Report::because("pending", text.clone()), text, Exit::Pending)
        }
        Answer::Renewal(Renewal::Refused { code }) => {
            let text = format!("the server refused: {}", refusal_text(code));
            (Report { code: Some(code), ..Report::because("refused", text.clone()) }, text, Exit::Refused)
        }
        Answer::Renewal(Renewal::Failed { reason }) => {
            let text = format!("not renewed: {reason}; the running agent tries again");
            (Report::because("failed", reason), text, Exit::Later)
        }
        Answer::StillRenewing | Answer::Status(_) => {
            let text = "the running agent was asked and is not done yet; see: agent status".to_owned();
            (Report::because("under-way", text.clone()), text, Exit::Later)
        }
        Answer::BadQuestion(reason) => {
            let text = format!("the running agent did not understand, is it of another version? {reason}");
            (Report::because("failed", text.clone()), text, Exit::Later)
        }
    };
    if how.json {
        print(&report)?;
    } else {
        failure(&text);
    }
    Ok(exit)
}

fn tell(how: How, report: &Report, text: &str, exit: Exit) -> Result<Exit, StartError> {
    if how.json {
        print(report)?;
    } else {
        say(text)?;
    }
    Ok(exit)
}

fn print(report: &Report) -> Result<(), StartError> {
    say(&serde_json::to_string(report).map_err(StartError::Json)?)
}

#[cfg(test)]
mod tests {
    use super::{Due, due};
    use agent_core::flow::{IdentityStatus, Status};
    use agent_core::lifecycle::Phase;
    use agent_core::platform::Slot;
    use shared::{DeviceId, UnixTime};

    const FLOOR: u64 = 1_000;
    const RENEW_AT: u64 = 2_000;

    #[test]
    fn a_clock_that_is_known_to_be_wrong_does_not_say_that_it_is_too_early() {
        let at = UnixTime::from_secs;
        let identity = IdentityStatus {
            slot: Slot::A,
            serial: heapless::Vec::new(),
            not_before: at(0),
            not_after: at(3_000),
            renew_at: at(RENEW_AT),
            accepted: true,
        };
        let mut status = Status {
            phase: Phase::Operational,
            device: DeviceId::new("SN-1").unwrap(),
            identity: Some(identity.clone()),
            candidate: None,
            last_refusal: None,
            trust_number: None,
            time_floor: at(FLOOR),
        };
        let unknown = || Due::Unknown(identity.clone());
        for (wall, expected) in [
            (None, unknown()),
            (Some(0), unknown()),
            (Some(FLOOR - 1), unknown()),
            (Some(FLOOR), Due::NotYet(identity.clone())),
            (Some(RENEW_AT - 1), Due::NotYet(identity.clone())),
            (Some(RENEW_AT), Due::Now),
            (Some(u64::MAX), Due::Now),
        ] {
            assert_eq!(due(&status, wall.map(at)), expected, "{wall:?}");
        }
        status.identity = None;
        assert_eq!(due(&status, None), Due::Now, "what is missing is told by the attempt");
    }
}
