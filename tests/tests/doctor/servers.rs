//! Servers that cannot be reached, speak something else, or show a wrong certificate.

use std::io::Write as _;
use std::net::TcpListener;

use rcgen::{BasicConstraints, IsCa, Issuer, KeyPair};
use tests::harness::free_port;

use super::shop::{Odd, Shop, authority, doctor, says, text};

#[test]
fn names_ports_and_protocols() {
    let shop = Shop::new();
    says(&doctor(&["nowhere.invalid:8883"]), "name-not-found");
    says(&shop.ask(free_port(), &[]), "port-closed");
    // A listener that never answers: the kernel takes the connection.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    says(&shop.ask(silent.local_addr().unwrap().port(), &[]), "no-answer");
    for (answer, cause) in
        [(b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), "not-tls"), (b"".as_slice(), "connection-closed")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut hello = [0; 2048];
            let _read = std::io::Read::read(&mut stream, &mut hello).unwrap();
            stream.write_all(answer).unwrap();
        });
        says(&shop.ask(port, &[]), cause);
        served.join().unwrap();
    }

    let good = shop.certify("server", &Odd::default());
    let old = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    says(&shop.asks(&good, &old, &[]), "protocol-too-old");
    // A suite without forward secrecy nor authenticated encryption.
    let odd = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"];
    says(&shop.asks(&good, &odd, &[]), "no-common-cipher");
    says(&shop.asks(&good, &["-tls1_3", "-groups", "P-521"], &[]), "no-common-cipher");
    // A server of several names that does not know this one: an alert that speaks of neither version nor cipher.
    let other = shop.certify("other", &Odd { name: Some("other.example"), ..Odd::default() });
    let names = [
        "-servername",
        "other.example",
        "-servername_fatal",
        "-cert2",
        text(&other.0),
        "-key2",
        text(&other.1),
    ];
    says(&shop.asks(&good, &names, &[]), "handshake-failed");
}

#[test]
fn certificates_of_servers() {
    let shop = Shop::new();
    let good = shop.certify("server", &Odd::default());
    for version in ["-tls1_2", "-tls1_3"] {
        let fine = shop.asks(&good, &[version], &[]);
        says(&fine, "fine");
        assert!(fine["reports"][0]["steps"].as_array().unwrap().iter().any(|step| step["step"] == "tls"));
    }
    says(&shop.asks(&good, &[], &["--name", "other.example"]), "name-mismatch");
    let made = |name: &str, odd: Odd| shop.asks(&shop.certify(name, &odd), &[], &[]);
    says(&made("expired", Odd { days: Some((-9, -2)), ..Odd::default() }), "expired");
    says(&made("early", Odd { days: Some((2, 9)), ..Odd::default() }), "not-yet-valid");
    says(&made("client", Odd { client: true, ..Odd::default() }), "eku-wrong");
    says(&made("usage", Odd { without_usage: true, ..Odd::default() }), "eku-missing");

    let stranger = Shop::with("Stranger", (-1, 30));
    let foreign = stranger.certify("server", &Odd::default());
    says(&shop.asks(&foreign, &[], &[]), "unknown-ca");
    // The same name, another key.
    let impostor = Shop::new();
    says(&shop.asks(&impostor.certify("server", &Odd::default()), &[], &[]), "unknown-ca");

    let key = KeyPair::generate().unwrap();
    let params = authority("Shop Issuing", "Shop", (-1, 25));
    let between = params.signed_by(&key, &shop.ca).unwrap();
    let middle = Issuer::new(params, key);
    let leaf = shop.certify_by(&middle, "below", &Odd::default());
    says(&shop.asks(&leaf, &[], &[]), "chain-incomplete");
    let chain = shop.file("between.pem", &between.pem());
    says(&shop.asks(&leaf, &["-cert_chain", text(&chain)], &[]), "fine");

    // A CA below one that may have none below it (pathLenConstraint).
    let mut upper = authority("Shop Upper", "Shop", (-1, 25));
    upper.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate().unwrap();
    let one = upper.signed_by(&key, &shop.ca).unwrap();
    let upper = Issuer::new(upper, key);
    let lower = authority("Shop Lower", "Shop", (-1, 25));
    let key = KeyPair::generate().unwrap();
    let two = lower.signed_by(&key, &upper).unwrap();
    let leaf = shop.certify_by(&Issuer::new(lower, key), "lower", &Odd::default());
    let chain = shop.file("two.pem", &(two.pem() + &one.pem()));
    says(&shop.asks(&leaf, &["-cert_chain", text(&chain)], &[]), "certificate-refused");

    // Everything is to begin in a year: rather this machine's clock.
    let future = Shop::with("Future", (365, 900));
    let odd = Odd { days: Some((366, 800)), ..Odd::default() };
    says(&future.asks(&future.certify("server", &odd), &[], &[]), "clock-wrong");
    let past = Shop::with("Past", (-900, -300));
    let odd = Odd { days: Some((-800, -301)), ..Odd::default() };
    says(&past.asks(&past.certify("server", &odd), &[], &[]), "clock-wrong");
}
