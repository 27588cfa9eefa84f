//! EST with clients that others wrote: strongSwan's `pki`, and curl with openssl, as docs/est.md tells to use them.

use std::process::Stdio;

use tests::harness::est::{EstSite, TlsVersion, make_idevid, make_maker};
use tests::harness::{Process, Wishes, run, until};

const KINDS: &str = "\"idevid-tls\", \"one-time-token\"";

/// A site where a token may stand in for a registered IDevID.
fn site(devices: u32) -> EstSite {
    let site = EstSite::new(Wishes { devices, ..Wishes::default() }, KINDS);
    site.policy(|policy| {
        policy.replace("token_replaces_attestation = false", "token_replaces_attestation = true")
    });
    site
}

/// Whether openssl verifies a certificate strictly, up to our root, as a TLS client's.
fn verified(site: &EstSite, certificate: &str) -> bool {
    let (root, issuing) = (site.file("server/root-ca.crt"), site.file("server/issuing-ca.crt"));
    let verify =
        ["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", &root, "-untrusted", &issuing];
    site.openssl(&[&verify[..], &[certificate]].concat()).status.success()
}

fn public_key(site: &EstSite, what: &str, file: &str) -> String {
    site.openssl(&[what, "-in", file, "-noout", "-pubkey"]).success()
}

#[test]
fn strongswan_fetches_the_cas_enrolls_by_token_and_renews_by_its_certificate() {
    let site = site(2);
    let _server = site.serve();
    let (root, issuing) = (site.file("server/root-ca.crt"), site.file("server/issuing-ca.crt"));
    let url = format!("https://localhost:{}", site.port);
    for (version, device) in [TlsVersion::V12, TlsVersion::V13].into_iter().zip(&site.world.devices) {
        let name = |end: &str| site.file(&format!("ss-{version:?}{end}"));
        let out = name("-ca.pem");
        let fetch = ["--estca", "--url", &url, "--cacert", &root, "--caout", &out, "--outform", "pem"];
        let told = run(&mut site.pki(version, &fetch));
        assert!(told.status.success(), "{told:?}");
        let wanted = if version == TlsVersion::V12 { "negotiated TLS 1.2" } else { "negotiated TLS 1.3" };
        assert!(told.stderr.contains(wanted), "{told:?}");
        let mut found = site.world.certificates(&format!("ss-{version:?}-ca.pem"));
        found.extend(site.world.certificates(&format!("ss-{version:?}-ca-1.pem")));
        assert!(found.contains(&site.world.root()) && found.len() == 2, "{told:?}");

        let csr = |key: &str, csr: &str| {
            let made = site.pki(version, &["--gen", "--type", "ecdsa", "--size", "256", "--outform", "pem"]);
            std::fs::write(key, run(&mut { made }).success()).unwrap();
            let subject = format!("CN={device}");
            let ask = ["--req", "--in", key, "--type", "ecdsa", "--dn", &subject, "--outform", "pem"];
            std::fs::write(csr, run(&mut site.pki(version, &ask)).success()).unwrap();
        };
        let enroll = |arguments: &[&str], certificate: &str| {
            let to = ["--est", "--url", &url, "--cacert", &root, "--cacert", &issuing, "--outform", "pem"];
            let told = run(&mut site.pki(version, &[&to[..], arguments].concat()));
            assert!(told.status.success() && told.stderr.contains("is trusted"), "{told:?}");
            std::fs::write(certificate, told.stdout).unwrap();
        };
        let (first_key, first_csr, first) = (name("-1.key"), name("-1.csr"), name("-1.crt"));
        csr(&first_key, &first_csr);
        let user = format!("{device}:{}", site.token(device));
        enroll(&["--userpass", &user, "--in", &first_csr], &first);
        let (next_key, next_csr, next) = (name("-2.key"), name("-2.csr"), name("-2.crt"));
        csr(&next_key, &next_csr);
        enroll(&["--cert", &first, "--key", &first_key, "--in", &next_csr], &next);
        for (certificate, csr) in [(&first, &first_csr), (&next, &next_csr)] {
            assert!(verified(&site, certificate));
            assert_eq!(public_key(&site, "x509", certificate), public_key(&site, "req", csr));
        }
    }
    let list = site.issued();
    let mut ways: Vec<_> = list.as_array().unwrap().iter().map(|c| c["via"].as_str().unwrap()).collect();
    // What was recorded in the same second has no order.
    ways.sort_unstable();
    assert_eq!(ways, ["est-ldevid", "est-ldevid", "est-token", "est-token"]);
}

#[test]
fn strongswan_waits_for_the_operators_approval() {
    let site = site(1);
    site.world.configure(&[]);
    let config = site.world.text("server/enroll-server.toml");
    let line = config.lines().find(|line| line.starts_with("approval_retry")).unwrap();
    std::fs::write(
        site.world.path("server/enroll-server.toml"),
        config.replace(line, "approval_retry = \"1s\""),
    )
    .unwrap();
    site.policy(|policy| policy.replace("first = \"accept\"", "first = \"hold\""));
    let _server = site.serve();
    let device = site.world.devices[0].as_str();
    site.key_and_csr("held", &format!("/CN={device}"));
    let user = format!("{device}:{}", site.token(device));
    let (root, issuing, csr) =
        (site.file("server/root-ca.crt"), site.file("server/issuing-ca.crt"), site.file("held.csr"));
    let url = format!("https://localhost:{}", site.port);
    let mut command = site.pki(
        TlsVersion::V12,
        &[
            "--est",
            "--url",
            &url,
            "--cacert",
            &root,
            "--cacert",
            &issuing,
            "--userpass",
            &user,
            "--in",
            &csr,
            "--outform",
            "pem",
            "--interval",
            "1",
            "--maxpolltime",
            "60",
        ],
    );
    command.stdout(Stdio::piped());
    let mut pki = Process::start(&mut command);
    pki.wait_for_text("EST request pending, polling");
    let _approved = site.world.server(&["device", "approve", device]).success();
    let ended = pki.wait();
    assert!(ended.success(), "{}", pki.output());
    pki.wait_for_text("END CERTIFICATE");
    let list = site.issued();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["state"]), (1, &"issued".into()));
}

#[test]
fn curl_enrolls_with_idevids_of_every_kind_of_key_over_both_versions_of_tls() {
    let site = site(1);
    make_maker(&site, "rsa-maker", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    make_maker(&site, "ec-maker", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    for maker in ["rsa-maker.crt", "ec-maker.crt"] {
        let _added = site.world.server(&["maker", "add", &site.file(maker)]).success();
    }
    let rsa: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"];
    let p384: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
    let p256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let mut inventory = "device,model,idevid_sha256\n".to_owned();
    let mut clients = vec![(
        site.world.devices[0].clone(),
        site.of_device(&site.world.devices[0], "idevid.pem"),
        site.of_device(&site.world.devices[0], "idevid.key"),
    )];
    for (device, maker, key) in
        [("RSA-1", "rsa-maker", rsa), ("RSA-2", "rsa-maker", p256), ("P384-1", "ec-maker", p384)]
    {
        make_idevid(&site, maker, device, key);
        inventory.push_str(&format!("{device},,\n"));
        clients.push((
            device.to_owned(),
            site.file(&format!("{device}.crt")),
            site.file(&format!("{device}.key")),
        ));
    }
    std::fs::write(site.world.path("more.csv"), inventory).unwrap();
    let _imported = site.world.server(&["device", "import", &site.file("more.csv")]).success();
    let _server = site.serve();
    for (number, (device, certificate, key)) in clients.iter().enumerate() {
        for (version, flags) in
            [("1.2", ["--tlsv1.2", "--tls-max", "1.2"]), ("1.3", ["--tlsv1.3", "--tls-max", "1.3"])]
        {
            let name = format!("key-{number}-{version}");
            site.key_and_csr(&name, &format!("/serialNumber={device}/CN=whatever"));
            let client = EstSite::as_client(certificate, key);
            let client: Vec<&str> = client.iter().map(String::as_str).chain(flags).collect();
            let status = site.enroll("simpleenroll", &name, &client);
            assert_eq!(status, 200, "{device} over TLS {version}: {}", site.told(&name));
            let [certificate] = site.certificates(&name).try_into().unwrap();
            assert!(verified(&site, &site.file(&format!("{name}.crt"))));
            // The same key again gets the very same certificate, and no second one.
            let status = site.enroll("simpleenroll", &name, &client);
            assert_eq!((status, site.certificates(&name)), (200, vec![certificate]), "{device}");
        }
    }
    let list = site.issued();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 2 * clients.len());
    assert!(list.iter().all(|found| found["via"] == "est-idevid"));
    // A second enrollment of the same IDevID supersedes the first, as in the native protocol.
    let of = |state: &str| list.iter().filter(|found| found["state"] == state).count();
    assert_eq!((of("issued"), of("revoked")), (clients.len(), clients.len()));
}

#[test]
fn curl_renews_and_the_trail_says_how_each_certificate_came() {
    let site = site(1);
    let _server = site.serve();
    let device = site.world.devices[0].as_str();
    // The operator's question first: which CAs, what kind of CSR.
    assert_eq!(site.curl("cacerts", &[], "cas.p7"), 200);
    let mut cas = site.certificates("cas");
    let mut wanted = vec![site.world.root(), site.world.certificates("server/issuing-ca.crt").remove(0)];
    cas.sort();
    wanted.sort();
    assert_eq!(cas, wanted);
    let read = site.openssl(&["cms", "-cmsout", "-noout", "-inform", "DER", "-in", &site.file("cas.p7.der")]);
    assert!(read.status.success(), "{read:?}");
    assert_eq!(site.curl("default/csrattrs", &[], "attrs.p7"), 200);
    let (text, der) = (site.file("attrs.p7"), site.file("attrs.der"));
    let _der = site.openssl(&["base64", "-d", "-A", "-in", &text, "-out", &der]).success();
    let attributes = site.openssl(&["asn1parse", "-inform", "DER", "-in", &der]).success();
    for wanted in ["id-ecPublicKey", "prime256v1", "ecdsa-with-SHA256"] {
        assert!(attributes.contains(wanted), "{attributes}");
    }

    site.key_and_csr("first", "/");
    let token = format!("{device}:{}", site.token(device));
    assert_eq!(site.enroll("simpleenroll", "first", &["--user", &token]), 200, "{}", site.told("first"));
    let [first] = site.certificates("first").try_into().unwrap();
    // A lost answer: the same request again, with the token that is used up by it.
    assert_eq!(site.enroll("simpleenroll", "first", &["--user", &token]), 200);
    assert_eq!(site.certificates("first"), [first.as_slice()]);
    site.key_and_csr("other", "/");
    assert_eq!(site.enroll("simpleenroll", "other", &["--user", &token]), 401);
    assert!(site.told("other").starts_with("bad-token: "), "{}", site.told("other"));

    let client = EstSite::as_client(&site.file("first.crt"), &site.file("first.key"));
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    assert_eq!(site.enroll("simplereenroll", "first", &client), 403);
    assert!(site.told("first").starts_with("key-reused: "), "{}", site.told("first"));
    site.key_and_csr("second", &format!("/CN={device}/serialNumber={device}/O=Example"));
    assert_eq!(site.enroll("simplereenroll", "second", &client), 200, "{}", site.told("second"));
    let [second] = site.certificates("second").try_into().unwrap();
    assert_ne!(first, second);
    assert_eq!(site.enroll("simplereenroll", "second", &client), 200);
    assert_eq!(site.certificates("second"), [second]);

    let events = site.world.server_json(&["event", "list", "--kind", "issued"]);
    let details: Vec<_> = events.as_array().unwrap().iter().map(|e| e["detail"].as_str().unwrap()).collect();
    assert_eq!(details.len(), 2, "{details:?}");
    assert!(details[0].ends_with("by EST, TLS client authentication with the LDevID"), "{details:?}");
    assert!(details[1].ends_with("by EST, HTTP Basic authentication with a one-time token"), "{details:?}");
    let told = until("a record", || {
        let told = site.world.server(&["policy", "explain", "--device", device, "--last", "20"]);
        // Refusals are recorded a little later.
        told.stdout.contains("key-reused").then_some(told.stdout)
    });
    assert!(told.contains("client-authentication") && told.contains("tls-identity"), "{told}");
}
