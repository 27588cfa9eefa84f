//! Client certificates that a server does not take.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tests::harness::{Nginx, free_port, now};

use super::shop::{DAY, Odd, Shop, says, text};

#[test]
fn certificates_of_clients() {
    let shop = Shop::new();
    let server = shop.certify("server", &Odd::default());
    let client = shop.certify("client", &Odd { client: true, ..Odd::default() });
    let ca = shop.path("ca.pem");
    let shown = |(certificate, key): &(PathBuf, PathBuf)| {
        ["--cert", text(certificate), "--key", text(key)].map(str::to_owned)
    };
    let with = |identity: &(PathBuf, PathBuf), serving: &[&str]| {
        let arguments = shown(identity);
        shop.asks(&server, serving, &arguments.each_ref().map(String::as_str))
    };
    let stranger = Shop::with("Stranger", (-1, 30));
    let foreign = stranger.certify("client", &Odd { client: true, ..Odd::default() });
    says(&with(&client, &[]), "client-certificate-not-asked");
    for version in ["-tls1_2", "-tls1_3"] {
        let asking = [version, "-Verify", "3", "-verify_return_error", "-CAfile", text(&ca)];
        says(&with(&client, &asking), "fine");
        says(&with(&foreign, &asking), "client-unknown-ca");
        says(&shop.asks(&server, &asking, &[]), "client-certificate-required");
    }
    let asking = ["-Verify", "3", "-verify_return_error", "-CAfile", text(&ca)];
    let expired = shop.certify("expired", &Odd { client: true, days: Some((-9, -2)), ..Odd::default() });
    says(&with(&expired, &asking), "expired");
    let other = shop.certify("other", &Odd::default());
    says(&with(&other, &asking), "eku-wrong");
    // openssl takes the client for one to come: its clock is five days ahead.
    let short = shop.certify("short", &Odd { client: true, days: Some((-2, 3)), ..Odd::default() });
    let ahead = (now().as_secs() + 5 * DAY.as_secs()).to_string();
    says(&with(&short, &[asking.as_slice(), &["-attime", &ahead]].concat()), "client-expired");

    // And here it is five days behind.
    let behind = (now().as_secs() - 5 * DAY.as_secs()).to_string();
    let server_then = shop.certify("then", &Odd { days: Some((-9, 20)), ..Odd::default() });
    let arguments = shown(&client);
    let early = [asking.as_slice(), &["-attime", &behind]].concat();
    let refused = shop.asks(&server_then, &early, &arguments.each_ref().map(String::as_str));
    says(&refused, "client-certificate-refused");
    // For clients by its extended key usage, but its key may not sign.
    let mute = shop.certify("mute", &Odd { client: true, without_signature: true, ..Odd::default() });
    says(&with(&mute, &asking), "client-purpose-wrong");

    says(&with(&(client.0.clone(), other.1), &asking), "key-mismatch");
    says(&with(&(client.0.clone(), shop.path("nothing")), &asking), "key-unreadable");
    let nonsense = shop.file("nonsense", "no key");
    says(&with(&(client.0.clone(), nonsense), &asking), "key-unreadable");
    fs::set_permissions(&client.1, fs::Permissions::from_mode(0o644)).unwrap();
    says(&with(&client, &asking), "key-too-open");
}

/// It finishes the handshake with anybody and hands out tickets, so that TLS alone looks the same for all of them.
#[test]
fn nginx_refuses_by_its_answer() {
    let shop = Shop::new();
    let (certificate, key) = shop.certify("server", &Odd::default());
    let port = free_port();
    let site = format!(
        "server {{\n    listen 127.0.0.1:{port} ssl;\n    ssl_certificate {};\n    ssl_certificate_key {};\n    \
         ssl_client_certificate {};\n    ssl_verify_client on;\n    return 204;\n}}\n",
        certificate.display(),
        key.display(),
        shop.path("ca.pem").display()
    );
    let _nginx = Nginx::start(&shop.path("nginx"), &shop.file("site.conf", &site), port);
    let ask = |shop_of_client: &Shop| {
        let (certificate, key) = shop_of_client.certify("client", &Odd { client: true, ..Odd::default() });
        shop.ask(port, &["--cert", text(&certificate), "--key", text(&key)])
    };
    let fine = ask(&shop);
    says(&fine, "fine");
    assert!(fine.to_string().contains("GET / is answered by HTTP/1.1 204"), "{fine:#}");
    let refused = ask(&Shop::with("Stranger", (-1, 30)));
    says(&refused, "client-certificate-refused");
    assert!(refused.to_string().contains("400 The SSL certificate error"), "{refused:#}");
    says(&shop.ask(port, &[]), "client-certificate-required");
}
