//! `agent doctor`: looks, and prints what was found.

use std::io::IsTerminal as _;

use super::report::say;
use crate::config::Config;
use crate::doctor::{Wishes, examine};
use crate::exit::Exit;
use crate::startup::StartError;

pub(super) async fn run(config: &Config, wishes: &Wishes, json: bool) -> Result<Exit, StartError> {
    let diagnosis = Box::pin(examine(config, wishes, crate::clock::now())).await;
    let text = if json {
        diagnosis.json().map_err(StartError::Json)?
    } else {
        diagnosis.text(std::io::stdout().is_terminal())
    };
    say(&text)?;
    Ok(if diagnosis.is_fine() { Exit::Done } else { Exit::Later })
}

/// A server's host, which is a name or an address, and its port.
pub(super) fn address(text: &str) -> Result<(String, u16), String> {
    let (host, port) = ::doctor::host_and_port(text)?;
    if rustls_pki_types::ServerName::try_from(host).is_err() {
        return Err(format!("{host} is neither a name nor an address"));
    }
    Ok((host.to_owned(), port))
}
