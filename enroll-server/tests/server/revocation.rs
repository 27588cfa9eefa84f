//! Lists by distribution point, and OCSP: what relying parties get over HTTP.

use ca::crl::Reason;
use core::time::Duration;
use enroll_server::clock::Clock;
use enroll_server::config::IssuingKey;
use enroll_server::store::Action;
use x509_parser::prelude::{FromDer as _, ParsedExtension};
use x509_parser::revocation_list::CertificateRevocationList;

use crate::kit::client::{Identity, Reply, exchange, http, request as http_request};
use crate::kit::ocsp::{Hash, asked, nonce, post, request, statuses};
use crate::kit::{Site, assert_refused, until};

const URL: &str = "http://ca.example/crl/{issuer}/{partition}.crl";
const OCSP: &str = "application/ocsp-request";

/// The address of the list that a certificate names: the one and only.
fn named(identity: &Identity) -> String {
    let (_, leaf) = x509_parser::parse_x509_certificate(&identity.chain[0]).unwrap();
    let text: Vec<String> = leaf
        .extensions()
        .iter()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::CRLDistributionPoints(points) => Some(points),
            _ => None,
        })
        .flat_map(|points| points.iter())
        .map(|point| format!("{:?}", point.distribution_point.as_ref().unwrap()))
        .collect();
    assert_eq!(text.len(), 1);
    let (_, rest) = text[0].split_once("http://").unwrap();
    format!("http://{}", rest.split('"').next().unwrap())
}

fn serial(identity: &Identity) -> Vec<u8> {
    x509_parser::parse_x509_certificate(&identity.chain[0]).unwrap().1.raw_serial().to_vec()
}

struct Read {
    number: u64,
    serials: Vec<Vec<u8>>,
    point: bool,
}

fn read(der: &[u8], url: &str) -> Read {
    let (_, list) = CertificateRevocationList::from_der(der).unwrap();
    let point = list.extensions().iter().find(|e| e.oid.to_id_string() == "2.5.29.28");
    if let Some(point) = point {
        assert!(point.critical && point.value.windows(url.len()).any(|part| part == url.as_bytes()), "{url}");
    }
    Read {
        number: u64::try_from(list.crl_number().unwrap()).unwrap(),
        serials: list.iter_revoked_certificates().map(|entry| entry.raw_serial().to_vec()).collect(),
        point: point.is_some(),
    }
}

#[tokio::test]
async fn a_certificate_names_one_list_and_a_revocation_changes_that_one_and_the_complete_one() {
    let site = Site::with(|config| {
        config.certificates.crl_url = Some(URL.into());
        config.crl.partition_size = 2;
    })
    .await;
    let mut identities = Vec::new();
    for number in 1..=5 {
        identities.push(site.enroll(&site.device(&format!("SN-{number}")).await).await);
    }
    let urls: Vec<String> = identities.iter().map(named).collect();
    let url = |partition: u32| format!("http://ca.example/crl/1/{partition}.crl");
    assert_eq!(urls, [url(1), url(1), url(2), url(2), url(3)]);
    let get = async |partition: u32| {
        let reply = http(site.http(), &format!("/crl/1/{partition}.crl")).await;
        assert_eq!(reply.status, 200, "{partition}: {reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/pkix-crl"));
        read(&reply.body, &url(partition))
    };
    until("the list of the last partition", async || http(site.http(), "/crl/1/3.crl").await.status == 200)
        .await;
    let (before, other) = (get(2).await, get(1).await);
    assert!(before.point && before.serials.is_empty() && other.serials.is_empty());

    let third = site.device("SN-3").await.id;
    site.admin().revoke(&third, Reason::KeyCompromise).await.unwrap();
    until("the entry", async || !get(0).await.serials.is_empty()).await;
    let after = get(2).await;
    assert_eq!(after.serials, [serial(&identities[2])]);
    assert!(after.number > before.number);
    let complete = get(0).await;
    assert_eq!((complete.serials, complete.point), (after.serials, false), "and it is for all certificates");
    assert_eq!(get(1).await.number, other.number, "what did not change was not signed again");
    assert_refused(&http(site.http(), "/crl/1/4.crl").await, shared::Reject::NoSuchEndpoint);
    for wrong in ["/crl/1/01.crl", "/crl/1/+1.crl", "/crl/1/1", "/crl/2/1.crl", "/crl/x/1.crl"] {
        assert_eq!(http(site.http(), wrong).await.status, 404, "{wrong}");
    }
    assert_eq!(http(site.http(), "/readyz").await.status, 200);
}

#[tokio::test]
async fn a_hold_comes_and_goes_and_an_entry_leaves_after_one_list_beyond_its_end() {
    let site = Site::with(|config| config.certificates.crl_url = Some(URL.into())).await;
    let device = site.device("SN-1").await;
    let identity = site.enroll(&device).await;
    let listed = async || {
        let [all, part] = ["/crl/1/0.crl", "/crl/1/1.crl"];
        let count = async |path| {
            let reply = http(site.http(), path).await;
            if reply.status == 200 {
                read(&reply.body, "http://ca.example/crl/1/1.crl").serials.len()
            } else {
                9
            }
        };
        (count(all).await, count(part).await)
    };
    site.admin().act_on(&device.id, Action::Suspend).await.unwrap();
    until("the hold", async || listed().await == (1, 1)).await;
    site.admin().act_on(&device.id, Action::Resume).await.unwrap();
    until("its end", async || listed().await == (0, 0)).await;
    site.admin().revoke(&device.id, Reason::Superseded).await.unwrap();
    until("the revocation", async || listed().await == (1, 1)).await;

    // Through the end of its life, and a day for clocks that are behind.
    let (_, leaf) = x509_parser::parse_x509_certificate(&identity.chain[0]).unwrap();
    let end = u64::try_from(leaf.validity().not_after.timestamp()).unwrap();
    let number = async || read(&http(site.http(), "/crl/1/0.crl").await.body, "").number;
    site.clock.set(shared::UnixTime::from_secs(end).after(Duration::from_secs(86_400 + 60)));
    let before = number().await;
    until("a list made after its end", async || number().await > before).await;
    assert_eq!(listed().await.0, 1, "RFC 5280, section 3.3: once more after its end");
    site.later(site.config.crl.valid);
    until("the next one", async || listed().await.0 == 0).await;
}

/// A clock that was ahead by a year has all certificates ended; when it is right again they have not, and what was revoked
/// before and meanwhile is on the list again.
#[tokio::test]
async fn a_clock_that_was_ahead_loses_no_revocation() {
    let site = Site::new().await;
    let listed = async || read(&http(site.http(), "/crl/1/0.crl").await.body, "").serials.len();
    let number = async || read(&http(site.http(), "/crl/1/0.crl").await.body, "").number;
    for name in ["SN-1", "SN-2"] {
        let device = site.device(name).await;
        site.enroll(&device).await;
    }
    let device = |name| shared::DeviceId::new(name).unwrap();
    site.admin().revoke(&device("SN-1"), Reason::KeyCompromise).await.unwrap();
    until("the first revocation", async || listed().await == 1).await;

    let right = Clock::now(&site.clock);
    site.clock.set(right.after(Duration::from_secs(365 * 86_400)));
    let before = number().await;
    until("a list of then", async || number().await > before).await;
    site.admin().revoke(&device("SN-2"), Reason::KeyCompromise).await.unwrap();
    let until_taken_in = number().await;
    site.later(site.config.crl.valid);
    until("another list of then", async || number().await > until_taken_in && listed().await == 0).await;
    site.clock.set(right.after(Duration::from_secs(60)));
    until("both on the list again", async || listed().await == 2).await;
}

/// A disk that takes no list keeps it from no one who asks by HTTP; the server says that it is not ready.
#[tokio::test]
async fn a_list_that_cannot_be_written_is_served_all_the_same() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    site.enroll(&device).await;
    let file = &site.config.crl.der;
    let before = std::fs::read(file).unwrap();
    std::fs::remove_file(file).unwrap();
    std::fs::create_dir(file).unwrap();
    std::fs::write(file.join("in the way"), "").unwrap();
    site.admin().revoke(&device.id, Reason::KeyCompromise).await.unwrap();
    let listed = async || read(&http(site.http(), "/crl/1/0.crl").await.body, "").serials.len();
    until("the revocation", async || listed().await == 1).await;
    std::fs::remove_dir_all(file).unwrap();
    until("the file", async || std::fs::read(file).is_ok_and(|now| now != before)).await;
}

#[tokio::test]
async fn caches_are_told_whether_there_is_a_newer_list() {
    let site = Site::new().await;
    let reply = http(site.http(), "/crl.der").await;
    let tag = reply.header("etag").unwrap().to_owned();
    assert_eq!(reply.header("cache-control"), Some("public, no-cache"));
    assert!(httpdate(&reply, "last-modified") <= httpdate(&reply, "expires"));
    let again = with_tag(&site, "/crl.der", &tag).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let device = site.device("SN-1").await;
    site.enroll(&device).await;
    site.admin().revoke(&device.id, Reason::KeyCompromise).await.unwrap();
    until("a newer list", async || with_tag(&site, "/crl.der", &tag).await.status == 200).await;
}

pub(super) async fn with_tag(site: &Site, path: &str, tag: &str) -> Reply {
    let stream = tokio::net::TcpStream::connect(site.http()).await.unwrap();
    exchange(stream, &http_request("GET", path, &format!("If-None-Match: \"x\", {tag}\r\n"), &[]))
        .await
        .unwrap()
}

fn httpdate(reply: &Reply, name: &str) -> std::time::SystemTime {
    // The kit reads headers without regard to case, and HTTP's dates have theirs.
    let mut text = reply.header(name).unwrap().replace("gmt", "GMT").into_bytes();
    for at in [0, 8] {
        text[at].make_ascii_uppercase();
    }
    httpdate::parse_http_date(core::str::from_utf8(&text).unwrap()).unwrap()
}

#[tokio::test]
async fn ocsp_tells_of_a_revocation_at_once() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let identity = site.enroll(&device).await;
    let issuing = &identity.chain[1];
    for hash in [Hash::Sha1, Hash::Sha256] {
        let question = request(&[asked(issuing, hash, &serial(&identity))], None);
        let reply = post(site.http(), OCSP, &question).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/ocsp-response")));
        assert_eq!(statuses(&reply.body), Some(vec![0]));
        assert_eq!(post(site.http(), OCSP, &question).await.body, reply.body, "signed once");
    }
    let question = request(&[asked(issuing, Hash::Sha1, &serial(&identity))], None);
    site.other_admin().act_on(&device.id, Action::Suspend).await.unwrap();
    assert_eq!(statuses(&post(site.http(), OCSP, &question).await.body), Some(vec![1]));
    site.other_admin().act_on(&device.id, Action::Resume).await.unwrap();
    assert_eq!(statuses(&post(site.http(), OCSP, &question).await.body), Some(vec![0]));
    site.other_admin().revoke(&device.id, Reason::KeyCompromise).await.unwrap();
    assert_eq!(statuses(&post(site.http(), OCSP, &question).await.body), Some(vec![1]));
    // Signed anew when half of its time is over.
    let kept = post(site.http(), OCSP, &question).await.body;
    site.later(site.config.ocsp.valid / 2);
    let newer = post(site.http(), OCSP, &question).await.body;
    assert!(kept != newer && statuses(&newer) == Some(vec![1]));
    // Weeks later the responder's certificate is another one.
    site.later(ca::ocsp::RESPONDER_LIFETIME);
    assert_eq!(statuses(&post(site.http(), OCSP, &question).await.body), Some(vec![1]));
}

#[tokio::test]
async fn ocsp_repeats_nonces_and_says_what_it_does_not_know() {
    let site = Site::new().await;
    let identity = site.enroll(&site.device("SN-1").await).await;
    let issuing = &identity.chain[1];
    let mine = asked(issuing, Hash::Sha256, &serial(&identity));
    for length in [1, 32, 128] {
        let wanted = vec![7; length];
        let reply = post(site.http(), OCSP, &request(core::slice::from_ref(&mine), Some(&wanted))).await;
        assert_eq!((statuses(&reply.body), nonce(&reply.body)), (Some(vec![0]), Some(wanted)));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    let by_parameters = format!("{OCSP}; charset=binary");
    let reply = post(site.http(), &by_parameters, &request(core::slice::from_ref(&mine), None)).await;
    assert_eq!(statuses(&reply.body), Some(vec![0]), "parameters of the media type say nothing");
    let root = site.root();
    let several = [
        mine.clone(),
        asked(issuing, Hash::Sha1, &[1]),
        asked(issuing, Hash::Sha1, &[0x7f; 16]),
        asked(&root, Hash::Sha1, &serial(&identity)),
        mine.clone(),
    ];
    let reply = post(site.http(), OCSP, &request(&several, None)).await;
    assert_eq!(statuses(&reply.body), Some(vec![0, 2, 2, 2, 0]));
    let stranger = request(&[asked(&root, Hash::Sha1, &serial(&identity))], None);
    let long = vec![7; 129];
    for (body, kind, status) in [
        (stranger.as_slice(), OCSP, 6),
        (b"no request", OCSP, 1),
        (&request(core::slice::from_ref(&mine), Some(&long)), OCSP, 1),
        (&request(core::slice::from_ref(&mine), Some(&[])), OCSP, 1),
        (&request(&vec![mine.clone(); 17], None), OCSP, 1),
        (&[0x30; 5000], OCSP, 1),
        (&request(core::slice::from_ref(&mine), None), "application/cbor", 1),
    ] {
        let reply = post(site.http(), kind, body).await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, &[0x30, 3, 0x0a, 1, status][..]));
    }
    let metrics = http(site.http(), "/metrics").await.text();
    for outcome in ["signed", "malformed", "unauthorized"] {
        let line = format!("enroll_requests_total{{endpoint=\"ocsp\",outcome=\"{outcome}\",reason=\"\"}}");
        assert!(metrics.contains(&line), "{outcome}\n{metrics}");
    }
}

#[tokio::test]
async fn ocsp_by_get_can_be_kept_by_caches() {
    use base64::Engine as _;
    let site = Site::new().await;
    let identity = site.enroll(&site.device("SN-1").await).await;
    let question = request(&[asked(&identity.chain[1], Hash::Sha1, &serial(&identity))], None);
    let text = base64::engine::general_purpose::STANDARD.encode(&question);
    let escaped = text.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
    let first = http(site.http(), &format!("/ocsp/{text}")).await;
    assert_eq!(statuses(&first.body), Some(vec![0]));
    for path in [format!("/ocsp/{escaped}"), format!("/ocsp//{}", text.trim_end_matches('='))] {
        assert_eq!(http(site.http(), &path).await.body, first.body, "{path}");
    }
    let rule = first.header("cache-control").unwrap();
    let age = site.config.ocsp.valid.as_secs();
    assert!(
        (1..=age).any(|age| rule == format!("max-age={age}, public, no-transform, must-revalidate")),
        "{rule}"
    );
    let life = httpdate(&first, "expires").duration_since(httpdate(&first, "last-modified")).unwrap();
    assert_eq!(life.as_secs(), age);
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(with_tag(&site, &format!("/ocsp/{text}"), &tag).await.status, 304);
    for wrong in ["/ocsp/%", "/ocsp/....", "/ocsp/MA=="] {
        let reply = http(site.http(), wrong).await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, &[0x30, 3, 0x0a, 1, 1][..]), "{wrong}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn while_the_cas_key_is_away_old_lists_stay_and_ocsp_goes_on() {
    let away = tempfile::tempdir().unwrap();
    let flag = away.path().join("away");
    let site = Site::with(|config| {
        let key = config.files.issuing_key.display();
        let script = format!("test ! -e '{}' && exec openssl dgst -sha256 -sign '{key}'", flag.display());
        config.issuing_key = IssuingKey::Command(vec!["/bin/sh".into(), "-c".into(), script]);
    })
    .await;
    let device = site.device("SN-1").await;
    let identity = site.enroll(&device).await;
    let question = request(&[asked(&identity.chain[1], Hash::Sha1, &serial(&identity))], Some(&[7; 16]));
    let ask = async || post(site.http(), OCSP, &question).await.body;
    assert_eq!(statuses(&ask().await), Some(vec![0]));
    let before = http(site.http(), "/crl.der").await.body;

    std::fs::write(&flag, "").unwrap();
    site.admin().revoke(&device.id, Reason::KeyCompromise).await.unwrap();
    let failing = async || http(site.http(), "/metrics").await.text().contains("enroll_crl_failing 1\n");
    until("the alarm", failing).await;
    assert_eq!(http(site.http(), "/crl.der").await.body, before);
    // For a minute the old list does; no device gets a certificate meanwhile.
    let reply = http(site.http(), "/readyz").await;
    let told = reply.text();
    assert!(reply.status == 503 && told.contains("issuing key: the key cannot be reached: "), "{told}");
    assert!(told.contains("revocation list: ok"), "{told}");
    site.later(Duration::from_secs(61));
    let reply = http(site.http(), "/readyz").await;
    assert!(reply.status == 503 && reply.text().contains("revocation list: not made since"), "{reply:?}");
    // The responder has its own key, and the database is there.
    assert_eq!(statuses(&ask().await), Some(vec![1]));
    site.later(ca::ocsp::RESPONDER_LIFETIME * 3 / 4);
    assert_eq!(statuses(&ask().await), Some(vec![1]), "the old one goes on when no new one can be made");
    site.later(ca::ocsp::RESPONDER_LIFETIME / 2);
    assert_eq!(ask().await, [0x30, 3, 0x0a, 1, 3], "try later");

    std::fs::remove_file(&flag).unwrap();
    until("a new list", async || http(site.http(), "/readyz").await.status == 200).await;
    let after = http(site.http(), "/crl.der").await.body;
    assert_eq!(read(&after, "").serials, [serial(&identity)]);
    until("an answer", async || {
        site.later(Duration::from_secs(10));
        statuses(&ask().await) == Some(vec![1])
    })
    .await;
}

/// What rustls' own verifier makes of the lists (the firmware simulator's broker goes by it).
#[tokio::test]
async fn webpki_goes_by_the_list_that_a_certificate_names_or_by_the_complete_one() {
    let site = Site::with(|config| {
        config.certificates.crl_url = Some(URL.into());
        config.crl.partition_size = 1;
    })
    .await;
    let (one, two) = (site.device("SN-1").await, site.device("SN-2").await);
    let identities = [site.enroll(&one).await, site.enroll(&two).await];
    site.admin().revoke(&two.id, Reason::KeyCompromise).await.unwrap();
    let get = async |number: u32| http(site.http(), &format!("/crl/1/{number}.crl")).await;
    until("all lists", async || {
        let complete = get(0).await;
        get(2).await.status == 200 && !read(&complete.body, "").serials.is_empty()
    })
    .await;
    let [complete, first, second] = [get(0).await.body, get(1).await.body, get(2).await.body];
    let verify = |identity: &Identity, lists: &[&[u8]]| verify_by_webpki(&site.root(), identity, lists);
    for lists in [&[&complete[..]][..], &[&first], &[&second, &first], &[&first, &second, &complete]] {
        assert_eq!(verify(&identities[0], lists), Ok(()), "{} lists", lists.len());
    }
    for lists in [&[&complete[..]][..], &[&second], &[&first, &second]] {
        assert_eq!(verify(&identities[1], lists), Err(webpki::Error::CertRevoked));
    }
    assert_eq!(verify(&identities[1], &[&first]), Err(webpki::Error::UnknownRevocationStatus));
}

fn verify_by_webpki(root: &[u8], identity: &Identity, lists: &[&[u8]]) -> Result<(), webpki::Error> {
    use rustls::pki_types::{CertificateDer, UnixTime};
    let root = CertificateDer::from(root);
    let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
    let chain: Vec<_> = identity.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let lists: Vec<webpki::CertRevocationList<'_>> =
        lists.iter().map(|der| webpki::BorrowedCertRevocationList::from_der(der).unwrap().into()).collect();
    let lists: Vec<&webpki::CertRevocationList<'_>> = lists.iter().collect();
    let revocation = webpki::RevocationOptionsBuilder::new(&lists)
        .unwrap()
        .with_depth(webpki::RevocationCheckDepth::EndEntity)
        .build();
    let leaf = webpki::EndEntityCert::try_from(&chain[0]).unwrap();
    let verified = leaf.verify_for_usage(
        &[webpki::aws_lc_rs::ECDSA_P256_SHA256],
        &anchors,
        &chain[1..],
        UnixTime::now(),
        webpki::KeyUsage::client_auth(),
        Some(revocation),
        None,
    );
    verified.map(|_| ())
}
