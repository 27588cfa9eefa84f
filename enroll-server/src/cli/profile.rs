//! `profile`.

use std::path::Path;

use appraisal::policy::{FileError, Problem};
use ca::{Facts, LdevidProfile, Profile as CertificateProfile, pem, rehearse, sample};
use serde_json::{Value, json};

use super::args::{Global, Profile};
use super::failure::Failure;
use super::output::Output;
use crate::config::Config;
use crate::issuance::chain;
use crate::policies::{PolicyFiles, REHEARSED_AT, source};

/// Exit status where there are mistakes.
const MISTAKES: u8 = 3;
/// The sample's tenant and enterprise number (RFC 5612) where there is no server.
const SAMPLE_TENANT: &str = "Example";
const SAMPLE_ENTERPRISE: u32 = 32_473;

/// What was found in one file.
struct Found {
    file: String,
    problems: Vec<Problem>,
    sample: Option<ca::Sample>,
}

pub(super) fn run(global: &Global, command: Profile, output: &Output) -> Result<(), Failure> {
    match command {
        Profile::Check { files, device, group, model, label } => {
            let Ok(server) = LdevidProfile::new(SAMPLE_TENANT, SAMPLE_ENTERPRISE) else {
                return Err(Failure::Nothing { what: "server for the sample".into() });
            };
            let facts = Facts {
                tenant: SAMPLE_TENANT,
                enterprise: SAMPLE_ENTERPRISE,
                group: group.as_str(),
                label: Some(&label),
                model: model.as_deref(),
            };
            let look = |file: &Path| -> Result<Found, Failure> {
                let source = source(file)?;
                let made = CertificateProfile::parse(&source.file, &source.text).and_then(|profile| {
                    let name = ca::DEFAULT_PROFILE;
                    let rehearsed = rehearse(name, &profile, REHEARSED_AT);
                    rehearsed
                        .and_then(|()| sample(name, &profile, &facts, &device, &server, REHEARSED_AT))
                        .map_err(|error| {
                            let message = format!("its certificates must not be signed: {}", chain(&error));
                            let problems = vec![Problem { line: 1, field: String::new(), message }];
                            FileError { file: source.file.clone(), problems }
                        })
                });
                Ok(match made {
                    Ok(sample) => Found { file: source.file, problems: Vec::new(), sample: Some(sample) },
                    Err(FileError { file, problems }) => Found { file, problems, sample: None },
                })
            };
            let found: Vec<Found> = files.iter().map(|file| look(file)).collect::<Result<_, _>>()?;
            let broken = found.iter().any(|found| !found.problems.is_empty());
            let files: Vec<Value> = found.iter().map(Found::value).collect();
            output.result(&json!({ "good": !broken, "files": files }), || {
                found.iter().map(Found::text).collect::<Vec<_>>().join("\n")
            });
            if broken { Err(Failure::Told(MISTAKES)) } else { Ok(()) }
        }
        Profile::Show { name } => show(global, name.as_deref(), output),
        Profile::Rules => {
            let rules: Vec<Value> =
                ca::rules().map(|(rule, section)| json!({ "rule": rule, "section": section })).collect();
            output.result(&rules, || {
                ca::rules()
                    .map(|(rule, section)| format!("{rule:32} {section}"))
                    .collect::<Vec<_>>()
                    .join("\n")
            });
            Ok(())
        }
    }
}

fn show(global: &Global, name: Option<&str>, output: &Output) -> Result<(), Failure> {
    let config = Config::load(&global.config)?;
    let in_force = PolicyFiles::of(&config.files).read()?;
    let mut shown = Vec::new();
    let mut texts = Vec::new();
    for (found, profile) in
        in_force.profiles.iter().filter(|(found, _)| name.is_none_or(|name| name == *found))
    {
        let groups: Vec<String> = in_force
            .set
            .iter()
            .filter(|(_, policy)| policy.policy().certificate_profile() == found)
            .map(|(group, _)| group.to_string())
            .collect();
        let text = profile.to_toml();
        texts.push(format!("# Profile {found}, for the groups: {}\n{}", groups.join(", "), text.trim_end()));
        shown.push(json!({ "profile": found, "groups": groups, "text": text }));
    }
    if shown.is_empty() {
        return Err(Failure::Nothing { what: format!("profile '{}'", name.unwrap_or_default()) });
    }
    output.result(&shown, || texts.join("\n\n"));
    Ok(())
}

impl Found {
    fn value(&self) -> Value {
        let problems = self.problems.iter().map(
            |Problem { line, field, message }| json!({ "line": line, "field": field, "message": message }),
        );
        let sample = self.sample.as_ref().map(|sample| {
            json!({
                "certificate": pem::certificate(&sample.certificate),
                "issuer": pem::certificate(&sample.issuer),
                "recorded": sample.bound.text(),
            })
        });
        json!({ "file": self.file, "problems": problems.collect::<Vec<_>>(), "sample": sample })
    }

    fn text(&self) -> String {
        match &self.sample {
            Some(sample) => format!(
                "{}: good\n{}\n{}",
                self.file,
                sample.bound.text().trim_end(),
                pem::certificate(&sample.certificate).trim_end()
            ),
            None => FileError { file: self.file.clone(), problems: self.problems.clone() }.to_string(),
        }
    }
}
