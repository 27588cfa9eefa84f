//! Fills the templates: which files a product has, and how it wants rights written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::crl_folder;
use super::fill::{fill, plain};
use super::rights::{ID, of_all};
use super::{BrokerProduct, ConfigFile, Facts, PeerError, Person, Product, Rights, TerminatorProduct};
use crate::mqtt::CLIENT_NAME;

/// The files of `product`.
///
/// # Errors
/// Where the facts do not fit the product.
pub fn render(product: Product, facts: &Facts) -> Result<Vec<ConfigFile>, PeerError> {
    match product {
        Product::Broker(BrokerProduct::Mosquitto) => mosquitto(facts),
        Product::Broker(BrokerProduct::Emqx) => {
            Ok(vec![secret("emqx.conf", filled(include_str!("templates/emqx.conf"), facts, &[])?)])
        }
        Product::Broker(BrokerProduct::Rabbitmq) => rabbitmq(facts),
        Product::Broker(BrokerProduct::Nats) => nats(facts),
        Product::Broker(BrokerProduct::Hivemq) => hivemq(facts),
        Product::Broker(BrokerProduct::Rumqttd) => {
            Ok(vec![file("rumqttd.toml", filled(include_str!("templates/rumqttd.toml"), facts, &[])?)])
        }
        Product::Broker(BrokerProduct::AwsIot) => aws_iot(facts),
        Product::Terminator(TerminatorProduct::Nginx) => {
            Ok(vec![file("nginx.conf", filled(include_str!("templates/nginx.conf"), facts, &[])?)])
        }
        Product::Terminator(TerminatorProduct::Haproxy) => {
            Ok(vec![file("haproxy.cfg", filled(include_str!("templates/haproxy.cfg"), facts, &[])?)])
        }
        Product::Terminator(TerminatorProduct::Envoy) => envoy(facts),
        Product::Terminator(TerminatorProduct::Caddy) => caddy(facts),
    }
}

fn file(name: &str, content: String) -> ConfigFile {
    ConfigFile { name: name.to_owned(), content: content.into(), secret: false }
}

fn secret(name: &str, content: String) -> ConfigFile {
    ConfigFile { secret: true, ..file(name, content) }
}

/// The template with what all products share, and with `more`.
fn filled(template: &str, facts: &Facts, more: &[(&str, &str)]) -> Result<String, PeerError> {
    let port = facts.port.to_string();
    let with_token = facts.server.replacen("https://", &format!("https://broker:{}@", *facts.token), 1);
    let mut values: Vec<(&str, &str)> = vec![
        ("tenant", &facts.tenant),
        ("host", &facts.host),
        ("port", &port),
        ("folder", &facts.folder),
        ("authorities", &facts.authorities),
        ("crl", &facts.crl),
        ("certificate", &facts.certificate),
        ("key", &facts.key),
        ("server", &facts.server),
        ("server_with_token", &with_token),
        ("token", &facts.token),
        ("upstream", &facts.upstream),
        ("server_name", CLIENT_NAME),
    ];
    values.extend_from_slice(more);
    fill(template, &values, &[("crl", facts.has_partitions)])
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn mosquitto(facts: &Facts) -> Result<Vec<ConfigFile>, PeerError> {
    let Facts { rights, .. } = facts;
    let pattern = |verb: &str, template: &str| format!("pattern {verb} {}", template.replace(ID, "%u"));
    let device = lines(
        rights
            .device_writes()
            .map(|topic| pattern("write", topic))
            .chain(rights.commands().map(|topic| pattern("read", topic))),
    );
    let server = lines(
        rights
            .commands()
            .map(|topic| format!("topic write {}", of_all(topic)))
            .chain(rights.statuses().map(|topic| format!("topic read {}", of_all(topic)))),
    );
    let more = [("device_rules", device.as_str()), ("server_rules", server.as_str())];
    Ok(vec![
        file("mosquitto.conf", filled(include_str!("templates/mosquitto.conf"), facts, &[])?),
        file("acl", filled(include_str!("templates/mosquitto.acl"), facts, &more)?),
    ])
}

fn rabbitmq(facts: &Facts) -> Result<Vec<ConfigFile>, PeerError> {
    let advanced = include_str!("templates/rabbitmq-advanced.config");
    let plugins = "[rabbitmq_mqtt, rabbitmq_auth_mechanism_ssl, rabbitmq_auth_backend_http].\n";
    let mut files = vec![
        secret("rabbitmq.conf", filled(include_str!("templates/rabbitmq.conf"), facts, &[])?),
        file("advanced.config", filled(advanced, facts, &[])?),
        file("enabled_plugins", plugins.to_owned()),
    ];
    for (name, list) in crl_folder::lists(&facts.crl_pem, &facts.crl)? {
        files.push(file(&format!("crl/{name}"), list));
    }
    Ok(files)
}

fn nats(facts: &Facts) -> Result<Vec<ConfigFile>, PeerError> {
    let mut users = vec![nats_server(facts)];
    let mut left_out = Vec::new();
    for person in &facts.people {
        match nats_users(person, &facts.rights) {
            Some(of_device) => users.extend(of_device),
            None => left_out.push(person.device.as_str()),
        }
    }
    let mut devices = "# Written by: enroll-server broker config nats\n".to_owned();
    if !left_out.is_empty() {
        let left_out = left_out.join(" ");
        devices += &format!(
            "# Left out, for a dot in the identifier or no plain URI in the certificate: {left_out}\n"
        );
    }
    devices += &format!("users: [\n{}\n]\n", lines(users.into_iter()));
    Ok(vec![
        file("nats.conf", filled(include_str!("templates/nats.conf"), facts, &[])?),
        file("devices.conf", devices),
    ])
}

/// In NATS levels are parted by dots.
fn subject(topic: &str) -> String {
    topic.replace('/', ".").replace('+', "*")
}

fn nats_user(name: &str, publish: &[String], subscribe: &[String]) -> String {
    // Deliveries of QoS 1 come over a subject below $MQTT.sub, which no client can subscribe to by MQTT.
    let subscribe: Vec<_> = subscribe.iter().map(String::as_str).chain(["$MQTT.sub.>"]).collect();
    format!(
        "  {{ user: {}, allowed_connection_types: [\"MQTT\"], permissions: {{ publish: {{ allow: {} }}, subscribe: {{ allow: {} }} }} }}",
        json!(name),
        json!(publish),
        json!(subscribe)
    )
}

fn nats_server(facts: &Facts) -> String {
    let all = |topic: &str| subject(&of_all(topic));
    let publish: Vec<_> = facts.rights.commands().map(all).collect();
    let subscribe: Vec<_> = facts.rights.statuses().map(all).collect();
    nats_user(&format!("CN={CLIENT_NAME},O={}", facts.tenant), &publish, &subscribe)
}

/// `None` where NATS cannot keep the device apart from others.
fn nats_users(person: &Person, rights: &Rights) -> Option<Vec<String>> {
    let id = person.device.as_str();
    if id.contains('.') {
        return None;
    }
    let own = |topic: &str| subject(&topic.replace(ID, id));
    let publish: Vec<_> = rights.device_writes().map(own).collect();
    let subscribe: Vec<_> = rights.commands().map(own).collect();
    let names = person.uris.iter().filter(|uri| plain("the URI", uri).is_ok());
    let users: Vec<_> = names.map(|uri| nats_user(uri, &publish, &subscribe)).collect();
    (!users.is_empty()).then_some(users)
}

fn hivemq(facts: &Facts) -> Result<Vec<ConfigFile>, PeerError> {
    let right = |verb: &str, topic: &str| format!("  ID may {verb} {}", topic.replace(ID, "ID"));
    let rights = lines(
        facts
            .rights
            .device_writes()
            .map(|topic| right("publish to", topic))
            .chain(facts.rights.commands().map(|topic| right("subscribe to", topic)))
            .chain(
                facts
                    .rights
                    .commands()
                    .map(|topic| format!("  {CLIENT_NAME} may publish to {}", of_all(topic))),
            )
            .chain(
                facts
                    .rights
                    .statuses()
                    .map(|topic| format!("  {CLIENT_NAME} may subscribe to {}", of_all(topic))),
            ),
    );
    let config = filled(include_str!("templates/hivemq.xml"), facts, &[("rights", &rights)])?;
    let mut files = vec![file("config.xml", config)];
    for (number, der) in authorities(facts)?.iter().enumerate() {
        files.push(file(&format!("authorities-{number}.pem"), ca::pem::certificate(der)));
    }
    Ok(files)
}

fn aws_iot(facts: &Facts) -> Result<Vec<ConfigFile>, PeerError> {
    let name = "${iot:Connection.Thing.ThingName}";
    let arn = |kind: &str, what: &str| format!("arn:aws:iot:*:*:{kind}/{what}");
    let own = |kind: &str, topic: &str| arn(kind, &topic.replace(ID, name));
    let writes: Vec<_> = facts.rights.device_writes().map(|topic| own("topic", topic)).collect();
    let filters: Vec<_> = facts.rights.commands().map(|topic| own("topicfilter", topic)).collect();
    let reads: Vec<_> = facts.rights.commands().map(|topic| own("topic", topic)).collect();
    // The thing has the certificate's common name, and is attached to the certificate.
    let attached = json!({ "Bool": { "iot:Connection.Thing.IsAttached": "true" } });
    let statement = |action: &str, resource: serde_json::Value| json!({ "Effect": "Allow", "Action": action, "Resource": resource, "Condition": attached });
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [
            statement("iot:Connect", json!(arn("client", name))),
            statement("iot:Publish", json!(writes)),
            // The status is retained.
            statement("iot:RetainPublish", json!(writes)),
            statement("iot:Subscribe", json!(filters)),
            statement("iot:Receive", json!(reads)),
        ],
    });
    let policy = serde_json::to_string_pretty(&policy).unwrap_or_default() + "\n";
    let mut files = vec![
        file("register.sh", filled(include_str!("templates/aws-iot.sh"), facts, &[])?),
        file("device-policy.json", policy),
        file("provisioning.json", include_str!("templates/aws-iot-provisioning.json").to_owned()),
    ];
    let issuing = authorities(facts)?;
    let issuing = issuing.iter().filter(|der| !is_root(der));
    for (number, der) in issuing.enumerate() {
        files.push(file(&format!("issuing-{number}.pem"), ca::pem::certificate(der)));
    }
    Ok(files)
}

fn is_root(der: &[u8]) -> bool {
    use x509_parser::prelude::FromDer as _;
    x509_parser::certificate::X509Certificate::from_der(der)
        .is_ok_and(|(_, certificate)| certificate.subject() == certificate.issuer())
}

fn envoy(facts: &Facts) -> Result<Vec<ConfigFile>, PeerError> {
    let wrong =
        || PeerError::Characters { what: "the upstream, as HOST:PORT,", text: facts.upstream.clone() };
    let (host, port) = facts.upstream.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse::<u16>().map_err(|_| wrong())?.to_string();
    let host = format!("{:?}", host.trim_matches(['[', ']']));
    let more = [("upstream_host", host.as_str()), ("upstream_port", port.as_str())];
    Ok(vec![
        file("envoy.yaml", filled(include_str!("templates/envoy.yaml"), facts, &more)?),
        file("server.yaml", filled(include_str!("templates/envoy-server.yaml"), facts, &[])?),
        file("devices.yaml", filled(include_str!("templates/envoy-devices.yaml"), facts, &[])?),
    ])
}

fn caddy(facts: &Facts) -> Result<Vec<ConfigFile>, PeerError> {
    let trusted = lines(
        authorities(facts)?.iter().map(|der| format!("\t\t\ttrusted_ca_cert {}", STANDARD.encode(der))),
    );
    let config = filled(include_str!("templates/Caddyfile"), facts, &[("trusted", &trusted)])?;
    Ok(vec![secret("Caddyfile", config)])
}

fn authorities(facts: &Facts) -> Result<Vec<Vec<u8>>, PeerError> {
    let not_pem = |_| PeerError::NotPem { path: facts.authorities.clone().into(), what: "certificates" };
    ca::pem::read_certificates(facts.authorities_pem.as_bytes()).map_err(not_pem)
}
