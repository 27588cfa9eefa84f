//! `policy check`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use appraisal::policy::{FileError, Policy, Problem, Surroundings, group_of};
use appraisal::{GroupName, MakerCa};
use serde_json::{Value, json};

use super::super::args::Global;
use super::super::failure::Failure;
use super::super::output::Output;
use crate::config::{Config, ConfigError};
use crate::policies::{PolicyFiles, PolicyFilesError, candidate_of, source};
use crate::store::Store;

/// Exit status where there are mistakes.
const MISTAKES: u8 = 3;

/// What is known around the files; without settings, nothing.
#[derive(Default)]
struct Around {
    files: Option<PolicyFiles>,
    makers: Option<Vec<appraisal::Maker>>,
    groups: Option<BTreeMap<String, u64>>,
    reference_values: bool,
}

/// What was found in one file.
struct Found {
    file: String,
    problems: Vec<Problem>,
    warnings: Vec<(String, String)>,
}

pub(super) fn run(
    global: &Global,
    files: &[PathBuf],
    group: Option<&GroupName>,
    output: &Output,
) -> Result<(), Failure> {
    let around = around(global, files.is_empty())?;
    let all = if files.is_empty() { configured(&around)? } else { files.to_vec() };
    let found: Vec<Found> = all.iter().map(|file| look(file, group, &around)).collect::<Result<_, _>>()?;
    let mut found = found;
    // What shows only when all files are looked at together: a policy and the profile that it names.
    if let Some(configured) =
        around.files.as_ref().filter(|_| found.iter().all(|found| found.problems.is_empty()))
    {
        let together = match files {
            [] => configured.read(),
            [one] => {
                let of = group.cloned().map_or_else(|| named(one, &around), Ok).unwrap_or_default();
                configured.read_with(&of, one)
            }
            _ => configured.read(),
        };
        if let Err(PolicyFilesError::Mistakes(wrong)) = together {
            let wrong = wrong.files.into_iter();
            found.extend(wrong.map(|FileError { file, problems }| Found {
                file,
                problems,
                warnings: Vec::new(),
            }));
        }
    }
    let missing = if files.is_empty() { without_policy(&around) } else { Vec::new() };
    let broken = found.iter().any(|found| !found.problems.is_empty());
    output.result(&value(&found, &missing, broken), || text(&found, &missing));
    if broken { Err(Failure::Told(MISTAKES)) } else { Ok(()) }
}

/// Settings and store, as far as they are there. A file can be checked where no server is.
fn around(global: &Global, needed: bool) -> Result<Around, Failure> {
    let config = match Config::load(&global.config) {
        Ok(config) => config,
        Err(ConfigError::Unreadable { source, .. })
            if !needed && source.kind() == std::io::ErrorKind::NotFound =>
        {
            return Ok(Around::default());
        }
        Err(error) => return Err(error.into()),
    };
    let files = PolicyFiles::of(&config.files);
    let reference_values = files.reference_values.is_some();
    if config.postgres.is_none() && !config.files.store.exists() {
        return Ok(Around { files: Some(files), reference_values, ..Around::default() });
    }
    let (makers, groups, imported) = super::with_store(&config, async |store: &dyn Store| {
        let imported = store.active_reference().await?.1;
        Ok((store.makers().await?, store.groups().await?, !imported.is_empty()))
    })?;
    let makers = makers.iter().filter_map(|maker| MakerCa::new(&maker.name, &maker.der).ok());
    Ok(Around {
        files: Some(files),
        makers: Some(makers.map(|ca| ca.maker().clone()).collect()),
        groups: Some(groups.into_iter().collect()),
        reference_values: reference_values || imported,
    })
}

/// All files that a server would read.
fn configured(around: &Around) -> Result<Vec<PathBuf>, Failure> {
    let Some(files) = &around.files else { return Ok(Vec::new()) };
    let mut all = vec![files.policy.clone()];
    all.extend(Some(candidate_of(&files.policy)).filter(|path| path.exists()));
    all.extend(files.group_files()?.into_iter().map(|(_, path)| path));
    Ok(all)
}

fn look(file: &Path, group: Option<&GroupName>, around: &Around) -> Result<Found, Failure> {
    let shown = file.display().to_string();
    let found = |problems, warnings| Found { file: shown.clone(), problems, warnings };
    let group = match group.cloned().map_or_else(|| named(file, around), Ok) {
        Ok(group) => group,
        Err(problem) => return Ok(found(vec![problem], Vec::new())),
    };
    let source = source(file)?;
    // A broken base is told of by itself, and its values do not matter here.
    let base = (!group.is_default())
        .then(|| around.files.as_ref().and_then(|files| crate::policies::source(&files.policy).ok()))
        .flatten()
        .and_then(|base| Policy::parse(&base.file, &base.text).ok())
        .unwrap_or_default();
    match Policy::parse_over(&base, &source.file, &source.text) {
        Err(FileError { problems, .. }) => Ok(found(problems, Vec::new())),
        Ok(policy) => {
            let devices = around.groups.as_ref().map(|groups| *groups.get(group.as_str()).unwrap_or(&0));
            let surroundings = Surroundings {
                makers: around.makers.clone(),
                // Nobody is told that a new server has no devices.
                devices: devices.filter(|devices| *devices > 0 || !group.is_default()),
                other_reference_values: around.reference_values,
            };
            let warnings = policy.warnings(&surroundings);
            Ok(found(Vec::new(), warnings.into_iter().map(|w| (w.field.to_owned(), w.message)).collect()))
        }
    }
}

/// The group that a file is for, by its place and name.
fn named(file: &Path, around: &Around) -> Result<GroupName, Problem> {
    let folder = |path: &Path| std::fs::canonicalize(path).ok();
    let in_groups = around.files.as_ref().is_some_and(|files| {
        let groups = folder(&files.groups);
        groups.is_some() && file.parent().and_then(folder) == groups
    });
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    match group_of(&name).filter(|_| in_groups) {
        None => Ok(GroupName::default()),
        Some((group, _)) => group.parse().map_err(|error| Problem {
            line: 1,
            field: String::new(),
            message: format!("{group:?} is no group: {error}"),
        }),
    }
}

/// Groups with devices and without a policy: their devices get nothing.
fn without_policy(around: &Around) -> Vec<(String, u64)> {
    let (Some(files), Some(groups)) = (&around.files, &around.groups) else { return Vec::new() };
    let has =
        |group: &String| group.parse::<GroupName>().is_ok_and(|group| files.of_group(&group).0.exists());
    groups.iter().filter(|(group, _)| !has(group)).map(|(group, devices)| (group.clone(), *devices)).collect()
}

fn value(found: &[Found], missing: &[(String, u64)], broken: bool) -> Value {
    let files: Vec<Value> = found
        .iter()
        .map(|Found { file, problems, warnings }| {
            let problems = problems.iter().map(|Problem { line, field, message }| {
                json!({ "line": line, "field": field, "message": message })
            });
            let warnings =
                warnings.iter().map(|(field, message)| json!({ "field": field, "message": message }));
            json!({
                "file": file,
                "problems": problems.collect::<Vec<_>>(),
                "warnings": warnings.collect::<Vec<_>>(),
            })
        })
        .collect();
    let missing: Vec<Value> =
        missing.iter().map(|(group, devices)| json!({ "group": group, "devices": devices })).collect();
    json!({ "good": !broken, "files": files, "groups_without_policy": missing })
}

fn text(found: &[Found], missing: &[(String, u64)]) -> String {
    let mut lines = Vec::new();
    for Found { file, problems, warnings } in found {
        if !problems.is_empty() {
            lines.push(FileError { file: file.clone(), problems: problems.clone() }.to_string());
        } else if warnings.is_empty() {
            lines.push(format!("{file}: good"));
        } else {
            lines.push(format!("{file}: good, but"));
        }
        lines.extend(warnings.iter().map(|(field, message)| format!("  warning: {field}: {message}")));
    }
    for (group, devices) in missing {
        lines.push(format!(
            "warning: the group {group:?} has {devices} devices and no policy: they get no certificates"
        ));
    }
    lines.join("\n")
}
