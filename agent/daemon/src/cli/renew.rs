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
use crate::state_dir::StateDir;

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

/// Carries the command out.
pub(super) async fn renew(config: &Config, control: Arc<Control>, how: How) -> Result<Exit, StartError> {
    if !how.force
        && let Some(identity) = not_due(&startup::status(config).await?)
    {
        startup::tidy(config).await?;
        let text = format!(
            "not due: the certificate ends {}, and the agent renews it by itself {}; to renew it now: \
             agent renew --force",
            identity.not_after, identity.renew_at
        );
        return tell(how, &Report::of("not-due", Some(&identity)), &text, Exit::Done);
    }
    let answer = match StateDir::look(&config.state_dir)? {
        Some(dir) => ask(&dir, Question::Renew).await.map_err(StartError::Control)?,
        None => None,
    };
    match answer {
        Some(answer) => by_running_agent(config, how, answer).await,
        None => alone(config, &control, how).await,
    }
}

/// The identity in use, where the time to renew it has not come.
fn not_due(status: &Status) -> Option<IdentityStatus> {
    let now = crate::clock::wall().map_or(status.time_floor, |wall: UnixTime| wall.max(status.time_floor));
    status.identity.clone().filter(|identity| now < identity.renew_at)
}

async fn alone(config: &Config, control: &Control, how: How) -> Result<Exit, StartError> {
    match until_signalled(control, startup::renew(config, control)).await {
        Ok(status) => {
            let report = Report::of("renewed", status.identity.as_ref());
            tell(how, &report, &status_text(&status, None), Exit::Done)
        }
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
        say(text);
    }
    Ok(exit)
}

fn print(report: &Report) -> Result<(), StartError> {
    say(&serde_json::to_string(report).map_err(StartError::Json)?);
    Ok(())
}
