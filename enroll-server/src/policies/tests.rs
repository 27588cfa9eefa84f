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

/// What kept a file from being read passes, and leaves it as it was.
#[test]
fn files_that_could_not_be_read_once_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    fs::write(&files.policy, with_days(1)).unwrap();
    let policies = Policies::load(files.clone()).unwrap();
    fs::write(&files.policy, with_days(22)).unwrap();
    // EIO
    let broken: super::ReadFiles = |files| {
        let source = std::io::Error::from_raw_os_error(5);
        Err(PolicyFilesError::Unreadable { path: files.policy.clone(), source })
    };
    assert_eq!(policies.look_by(broken), Look::Nothing, "it may still be written");
    let Look::Broken(problem) = policies.look_by(broken) else { panic!("taken") };
    assert!(problem.contains("cannot be read"), "{problem}");
    for _ in 0..4 {
        assert_eq!(policies.look_by(broken), Look::Nothing, "it is told once");
        assert_eq!((policies.problem(), days(&policies, "default")), (Some(problem.clone()), Some(1)));
    }
    let looks = [policies.look(), policies.look()];
    assert!(looks.iter().any(|look| matches!(look, Look::Taken(_))), "{looks:?}");
    assert_eq!((policies.problem(), days(&policies, "default")), (None, Some(22)));
    assert_eq!([policies.look(), policies.look()], [Look::Nothing, Look::Nothing]);
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

/// A policy and the profile that it names are taken together, or neither.
#[test]
fn a_policy_and_its_profile_have_to_go_together() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    for name in [&files.groups, &files.profiles] {
        fs::create_dir(name).unwrap();
    }
    let (group, plant) = (files.groups.join("lab.toml"), files.profiles.join("plant.toml"));
    let good = "[certificate]\ndays = 20\nprofile = \"plant\"\nlabel = \"p7\"\n";
    fs::write(&files.policy, "").unwrap();
    fs::write(&group, good).unwrap();
    fs::write(&plant, "[validity]\nmost = \"30d\"\n[names]\ndns = [\"{id-hash}.{label}.devices.example\"]\n")
        .unwrap();
    let policies = Policies::load(files.clone()).unwrap();
    let before = policies.current();
    let server = ca::LdevidProfile::new("acme", 32473).unwrap();
    let lab: GroupName = "lab".parse().unwrap();
    let of_group = before.set.for_group(&lab).unwrap().policy();
    let pinned = before.profiles.pin(of_group, &lab, None, &server).unwrap();
    assert_eq!((pinned.bound.name(), pinned.lifetime.as_secs() / 86_400), ("plant", 20));
    assert!(pinned.bound.text().contains("{id-hash}.p7.devices.example"));
    let default = GroupName::default();
    let of_default = before.set.for_group(&default).unwrap().policy();
    let pinned = before.profiles.pin(of_default, &default, None, &server).unwrap();
    assert_eq!((pinned.bound.name(), pinned.lifetime.as_secs() / 86_400), ("default", 90));

    for (path, text, told) in [
        (
            &group,
            good.replace("\"plant\"", "\"plan\""),
            "lab.toml:3: certificate.profile: there is no profile",
        ),
        (&group, good.replace("20", "31"), "lab.toml:2: certificate.days: 744 hours"),
        (&group, good.replace("label = \"p7\"", ""), "lab.toml:1: certificate.label: is missing"),
        (&plant, "[validity]\nmost = \"999d\"\n".into(), "plant.toml:2: validity.most"),
        (&plant, "[names]\nuri = [\"https://host/{id}\"]\n".into(), "alt-name-uri"),
        (&files.profile, "[subject]\ncommon_name = \"x\"\n".into(), "profile.toml:2: subject.common_name"),
        (&files.profiles.join("Plant.toml"), String::new(), "is no name for a profile"),
    ] {
        let kept = fs::read(path).ok();
        fs::write(path, text).unwrap();
        let Look::Broken(problem) = policies.reload() else { panic!("{told}: was taken") };
        assert!(problem.contains(told), "{problem}");
        assert_eq!(policies.current(), before);
        match kept {
            Some(kept) => fs::write(path, kept).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
    }
    fs::write(&plant, "[validity]\nmost = \"25d\"\n").unwrap();
    policies.look();
    assert!(matches!(policies.look(), Look::Taken(_)), "a change of a profile is seen");
    assert_ne!(policies.current().profiles, before.profiles);
}
