//! Files that change under a server: taken when they stand still, kept out when they are broken.

use std::fs;
use std::path::Path;

use appraisal::GroupName;

use super::{Look, Policies, PolicyFiles, PolicyFilesError, Report, candidate_of, previous_of};

fn files(folder: &Path) -> PolicyFiles {
    PolicyFiles {
        policy: folder.join("policy.toml"),
        groups: folder.join("policy.d"),
        profile: folder.join("profile.toml"),
        profiles: folder.join("profiles.d"),
        reference_values: None,
    }
}

fn days(policies: &Policies, group: &str) -> Option<u64> {
    let group: GroupName = group.parse().unwrap();
    let current = policies.current();
    let policy = current.set.for_group(&group)?;
    Some(policy.policy().certificate_lifetime().unwrap().as_secs() / 86_400)
}

fn with_days(days: u32) -> String {
    format!("[certificate]\ndays = {days}\n")
}

#[test]
fn a_change_is_taken_when_the_files_have_stood_still() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    fs::write(&files.policy, with_days(1)).unwrap();
    let policies = Policies::load(files.clone()).unwrap();
    assert_eq!(policies.look(), Look::Nothing);
    let pinned = policies.current();
    fs::write(&files.policy, with_days(22)).unwrap();
    assert_eq!(policies.look(), Look::Nothing, "it may still be written");
    fs::write(&files.policy, with_days(30)).unwrap();
    assert_eq!(policies.look(), Look::Nothing, "it was");
    assert_eq!(days(&policies, "default"), Some(1));
    assert!(matches!(policies.look(), Look::Taken(_)));
    assert_eq!(days(&policies, "default"), Some(30));
    assert_eq!(policies.look(), Look::Nothing);
    let group = GroupName::default();
    let before = pinned.set.for_group(&group).unwrap().policy().certificate_lifetime().unwrap();
    assert_eq!(before.as_secs() / 86_400, 1, "who holds the old ones goes on with them");
}

#[test]
fn a_broken_file_keeps_the_old_policies_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    fs::create_dir(&files.groups).unwrap();
    fs::write(&files.policy, with_days(1)).unwrap();
    fs::write(files.groups.join("lab.toml"), with_days(2)).unwrap();
    let policies = Policies::load(files.clone()).unwrap();
    for (path, text) in [
        (files.policy.clone(), "[certificate]\ndays = 0\n"),
        (files.groups.join("lab.toml"), "[certificat]\n"),
        (files.groups.join("Lab.toml"), ""),
        (candidate_of(&files.policy), "= 3"),
        (files.groups.join("lab.candidate.toml"), "[rollout]\nmode = \"enforce\"\n"),
    ] {
        let before = fs::read(&path).ok();
        fs::write(&path, text).unwrap();
        let Look::Broken(problem) = policies.reload() else { panic!("{} was taken", path.display()) };
        assert!(problem.contains(&path.display().to_string()), "{problem}");
        assert_eq!(policies.problem(), Some(problem));
        assert_eq!((days(&policies, "default"), days(&policies, "lab")), (Some(1), Some(2)));
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        assert!(matches!(policies.reload(), Look::Taken(_)));
        assert_eq!(policies.problem(), None);
    }
    fs::remove_file(&files.policy).unwrap();
    let Look::Broken(problem) = policies.reload() else { panic!("a policy that is gone is no empty one") };
    assert!(problem.contains("cannot be read"), "{problem}");
    assert_eq!(days(&policies, "default"), Some(1));
}

#[test]
fn groups_come_and_go_with_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    fs::write(&files.policy, "").unwrap();
    let policies = Policies::load(files.clone()).unwrap();
    assert_eq!(days(&policies, "lab"), None, "a folder need not be there");
    fs::create_dir(&files.groups).unwrap();
    fs::write(files.groups.join("lab.toml"), with_days(5)).unwrap();
    fs::write(files.groups.join("lab.toml.previous"), "= no policy").unwrap();
    fs::write(files.groups.join("README"), "= no policy").unwrap();
    policies.look();
    let Look::Taken(taken) = policies.look() else { panic!("not taken") };
    assert_eq!(days(&policies, "lab"), Some(5));
    let report = Report::new(&taken, shared::UnixTime::from_secs(7), None);
    let names: Vec<_> = report.groups.iter().map(|group| group.group.as_str()).collect();
    assert_eq!((report.since, names), (7, vec!["default", "lab"]));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    fs::remove_file(files.groups.join("lab.toml")).unwrap();
    policies.look();
    assert!(matches!(policies.look(), Look::Taken(_)));
    assert_eq!(days(&policies, "lab"), None);
}

#[test]
fn a_start_with_mistakes_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    assert!(matches!(Policies::load(files.clone()), Err(PolicyFilesError::Unreadable { .. })));
    fs::write(&files.policy, "x = 1").unwrap();
    assert!(matches!(Policies::load(files), Err(PolicyFilesError::Mistakes(_))));
}

#[test]
fn names_of_companion_files() {
    assert_eq!(candidate_of(Path::new("/a/policy.toml")), Path::new("/a/policy.candidate.toml"));
    assert_eq!(candidate_of(Path::new("lab.toml")), Path::new("lab.candidate.toml"));
    assert_eq!(previous_of(Path::new("/a/policy.toml")), Path::new("/a/policy.toml.previous"));
}
