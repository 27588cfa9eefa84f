//! Detached signatures as the `openssl` program makes them.

use std::path::Path;
use std::process::Command;

use crate::kit::{World, good};
use base64::Engine as _;
use reference_values::{Authority, Offer, ReleaseError, ReleaseKey, Trust};

fn openssl(folder: &Path, args: &str) {
    let output = Command::new("openssl").current_dir(folder).args(args.split(' ')).output();
    let output =
        output.unwrap_or_else(|error| panic!("openssl: {error}; install it: apt-get install openssl"));
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a key, signs `file`, and gives what a maker hands over.
fn signed(curve: &str, hash: &str, file: &[u8]) -> (ReleaseKey, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("list"), file).unwrap();
    openssl(path, &format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve} -out key.pem"));
    openssl(path, "pkey -in key.pem -pubout -out public.pem");
    openssl(path, &format!("dgst -{hash} -sign key.pem -out list.sig list"));
    let key = ReleaseKey::from_pem("acme", &std::fs::read(path.join("public.pem")).unwrap()).unwrap();
    (key, std::fs::read(path.join("list.sig")).unwrap())
}

fn open(key: ReleaseKey, bytes: &[u8], signature: &[u8]) -> Result<Authority, ReleaseError> {
    let mut world = World::new();
    world.keys.push(key);
    // A wrong signature is refused where none would have done.
    let trust = Trust { allow_unsigned: true, ..world.trust() };
    let release = reference_values::open(&Offer { bytes, signature: Some(signature) }, &trust)?;
    assert_eq!(release.maker(), "acme");
    Ok(release.authority().clone())
}

#[test]
fn lists_and_manifests_are_signed_beside() {
    let list = format!("component,version,digest\napplication,1.2.0,{}\n", "ab".repeat(32)).into_bytes();
    for file in [list, good()] {
        for (curve, hash) in [("P-256", "sha256"), ("P-384", "sha384")] {
            let (key, signature) = signed(curve, hash, &file);
            let by = Authority::Key { sha256: *key.sha256() };
            assert_eq!(open(key.clone(), &file, &signature), Ok(by.clone()));
            let text = base64::engine::general_purpose::STANDARD.encode(&signature);
            let (first, second) = text.split_at(64);
            assert_eq!(open(key.clone(), &file, format!("{first}\n{second}\n").as_bytes()), Ok(by));

            for at in 0..signature.len() {
                let mut bad = signature.clone();
                bad[at] ^= 1;
                assert!(open(key.clone(), &file, &bad).is_err(), "byte {at}");
                assert!(open(key.clone(), &file, &signature[..at]).is_err(), "cut at {at}");
            }
            let mut changed = file.clone();
            *changed.last_mut().unwrap() ^= 1;
            assert!(matches!(
                open(key.clone(), &changed, &signature),
                Err(ReleaseError::Signature { tried: 1, .. })
            ));
        }
    }
}

#[test]
fn each_curve_has_its_own_hash() {
    let file = good();
    for (curve, hash) in [("P-256", "sha384"), ("P-384", "sha256"), ("P-256", "sha1")] {
        let (key, signature) = signed(curve, hash, &file);
        assert!(
            matches!(open(key, &file, &signature), Err(ReleaseError::Signature { .. })),
            "{curve} {hash}"
        );
    }
    let (key, _) = signed("P-256", "sha256", &file);
    for form in [&b""[..], b"!", b"AAAA", &[0x31; 70], &[b'A'; 2000]] {
        assert_eq!(open(key.clone(), &file, form), Err(ReleaseError::SignatureForm));
    }
}
