//! What was looked at and what came out, for people and for programs.

use serde::Serialize;

use crate::finding::Finding;

/// A step on the way to a working connection, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The machine's time.
    Clock,
    /// Files, keys, records.
    Files,
    /// Name to addresses.
    Dns,
    /// The connection.
    Tcp,
    /// Protocol and cipher.
    Tls,
    /// The server's certificates: issuers, dates, purpose.
    Chain,
    /// The server's name.
    Name,
    /// Revocation lists.
    Revocation,
    /// The client's certificate: whether it is asked for and taken.
    ClientCertificate,
    /// The login at the broker.
    Login,
    /// The rights of the device there.
    Acl,
}

impl Step {
    /// Those of a connection.
    pub const CONNECTION: [Self; 9] = [
        Self::Clock,
        Self::Files,
        Self::Dns,
        Self::Tcp,
        Self::Tls,
        Self::Chain,
        Self::Name,
        Self::Revocation,
        Self::ClientCertificate,
    ];
    /// Those that follow at a broker.
    pub const BROKER: [Self; 2] = [Self::Login, Self::Acl];

    const fn words(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Files => "files",
            Self::Dns => "name lookup",
            Self::Tcp => "TCP connection",
            Self::Tls => "TLS",
            Self::Chain => "server's chain",
            Self::Name => "server's name",
            Self::Revocation => "revocation",
            Self::ClientCertificate => "client certificate",
            Self::Login => "MQTT login",
            Self::Acl => "MQTT rights",
        }
    }
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Passed,
    /// Wrong: see the findings.
    Failed,
    /// Not looked at on purpose; the detail says why.
    Skipped,
    /// Not looked at, because one before failed.
    NotReached,
}

/// A step with what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Which one.
    pub step: Step,
    /// What became of it.
    pub state: State,
    /// What was seen.
    pub detail: String,
}

/// What was found about one thing: a server, a file, the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was looked at.
    pub target: String,
    /// The steps, in their order.
    pub steps: Vec<Outcome>,
    /// What is wrong; the first one is the verdict.
    pub findings: Vec<Finding>,
    /// What is worth knowing, and no fault.
    pub notes: Vec<String>,
}

impl Report {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new(target: impl Into<String>) -> Self {
        Self { target: target.into(), steps: Vec::new(), findings: Vec::new(), notes: Vec::new() }
    }

    /// A step that is as it should be.
    pub fn pass(&mut self, step: Step, detail: impl Into<String>) {
        self.steps.push(Outcome { step, state: State::Passed, detail: detail.into() });
    }

    /// A step that was left out.
    pub fn skip(&mut self, step: Step, why: impl Into<String>) {
        self.steps.push(Outcome { step, state: State::Skipped, detail: why.into() });
    }

    /// A step that failed.
    pub fn fail(&mut self, step: Step, finding: Finding) {
        // Several findings may be about one step.
        if self.steps.last().is_none_or(|last| last.step != step || last.state != State::Failed) {
            self.steps.push(Outcome { step, state: State::Failed, detail: finding.found.clone() });
        }
        self.findings.push(finding);
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_fine(&self) -> bool {
        self.findings.is_empty()
    }

    /// Marks the steps of `all` that nothing was said about as not reached.
    pub fn close(&mut self, all: &[Step]) {
        for step in all {
            if !self.steps.iter().any(|outcome| outcome.step == *step) {
                let detail = String::new();
                self.steps.push(Outcome { step: *step, state: State::NotReached, detail });
            }
        }
        self.steps.sort_by_key(|outcome| outcome.step);
    }
}

/// Everything that was looked at in one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// `fine`, or the name of the first cause.
    pub verdict: &'static str,
    /// One report for each thing.
    pub reports: Vec<Report>,
}

impl Diagnosis {
    /// Of these reports.
    #[must_use]
    pub fn new(reports: Vec<Report>) -> Self {
        let first = reports.iter().flat_map(|report| &report.findings).next();
        Self { verdict: first.map_or("fine", |finding| finding.cause.name()), reports }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.reports.iter().all(Report::is_fine)
    }

    /// One JSON object.
    ///
    /// # Errors
    /// Where it cannot be written, which no report is known to cause.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// For people; with colours on a terminal.
    #[must_use]
    pub fn text(&self, colours: bool) -> String {
        let paint = |code: &str, text: &str| match colours {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        };
        let mut lines = Vec::new();
        for report in &self.reports {
            lines.push(paint("1", &plain(&report.target)));
            for Outcome { step, state, detail } in &report.steps {
                let mark = match state {
                    State::Passed => paint("32", "ok         "),
                    State::Failed => paint("31", "FAILED     "),
                    State::Skipped => paint("33", "left out   "),
                    State::NotReached => paint("2", "not reached"),
                };
                lines.push(format!("  {mark}  {:<18} {}", step.words(), plain(detail)).trim_end().to_owned());
            }
            for Finding { cause, subject, found, expected } in &report.findings {
                lines.push(format!("  {}: {}", paint("31", cause.name()), cause.meaning()));
                lines.push(format!("    about:     {}", plain(subject)));
                lines.push(format!("    found:     {}", plain(found)));
                lines.push(format!("    expected:  {}", plain(expected)));
                lines.push(format!("    do:        {}", cause.advice()));
            }
            for note in &report.notes {
                lines.push(format!("  note: {}", plain(note)));
            }
        }
        lines.push(match self.is_fine() {
            true => paint("32", "all fine"),
            false => paint("31", &format!("not fine: {}", self.verdict)),
        });
        lines.join("\n")
    }
}

/// Names in foreign certificates may hold anything: no control character reaches the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Diagnosis, Report, State, Step};
    use crate::finding::{Cause, Finding};

    #[test]
    fn the_first_finding_is_the_verdict_and_the_rest_is_not_reached() {
        let mut report = Report::new("host\u{1b}[2J");
        report.pass(Step::Dns, "1 address");
        report.fail(Step::Tcp, Finding::new(Cause::PortClosed, "host:1", "refused", "a listener"));
        report.close(&[Step::Dns, Step::Tcp, Step::Tls]);
        assert_eq!(report.steps[2].state, State::NotReached);
        let diagnosis = Diagnosis::new(vec![Report::new("other"), report]);
        assert_eq!(diagnosis.verdict, "port-closed");
        let text = diagnosis.text(false);
        assert!(text.contains("not reached") && !text.contains('\u{1b}'), "{text}");
        assert!(diagnosis.json().unwrap().contains("\"cause\": \"port-closed\""));
        assert_eq!(Diagnosis::new(Vec::new()).verdict, "fine");
    }
}
