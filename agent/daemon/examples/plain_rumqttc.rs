//! The least that a Linux program needs to speak MQTT over mutual TLS with rumqttc: what `footprint` compares the agent with.
//! Publishes each second, for ever. Has none of an agent: no enrollment, no renewal, no second look at the broker.
//!
//! usage: plain_rumqttc PORT CLIENT-ID CA.pem CHAIN.pem KEY.pem TOPIC

#![expect(clippy::print_stdout, reason = "says when it publishes")]

use core::error::Error;
use core::time::Duration;

use rumqttc::{
    AsyncClient, Event, Incoming, MqttOptions, PublishOptions, SessionMode, TlsConfiguration, Transport,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, client, ca, chain, key, topic] = arguments.as_slice() else {
        return Err("six arguments are needed; see the source".into());
    };
    // Only a second choice in one process fails.
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tls = TlsConfiguration::Simple {
        ca: std::fs::read(ca)?,
        alpn: None,
        client_auth: Some((std::fs::read(chain)?, std::fs::read(key)?)),
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let mut options = MqttOptions::new(client, ("localhost", port.parse::<u16>()?));
        options.set_transport(Transport::Tls(tls)).set_session_mode(SessionMode::Clean).set_keep_alive(60);
        let (client, mut events) = AsyncClient::builder(options).capacity(4).try_build()?;
        let topic = topic.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                let payload = b"{\"plain\":true}".to_vec();
                if client.publish(&topic, payload, PublishOptions::at_least_once()).await.is_err() {
                    return;
                }
            }
        });
        loop {
            if let Event::Incoming(Incoming::PubAck(_)) = events.poll().await? {
                println!("published");
            }
        }
    })
}
