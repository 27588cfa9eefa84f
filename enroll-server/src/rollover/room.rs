//! Whether boards have room for what a rollover brings: for each answer, and for the server's part of a handshake.
//!
//! Asked before it begins. Later, a board that has confirmed the new trust bundle would find that it can neither renew nor
//! connect, and nobody would know before its certificate ends.

use super::lineup::Lineup;
use super::make::StartError;
use super::plan::Plan;
use super::step::Step;
use crate::config::Config;
use crate::longest_answer;
use crate::startup::{LoadError, certificates};
use crate::tls::check_flight;

/// Refuses a plan that leaves boards behind at one of its steps; `bundle` is the trust bundle that goes with it.
pub(super) fn check_room(
    config: &Config,
    lineup: &Lineup,
    plan: &Plan,
    bundle: &[u8],
) -> Result<(), StartError> {
    for issuing in [&plan.old_issuing, &plan.issuing] {
        longest_answer::check(config, bundle, issuing)?;
    }
    let leaf = longest_shown(config, lineup)?;
    for step in [Step::Prepared, Step::Switched] {
        let then = lineup.at(config, step, plan.clone())?;
        let (issuer, above) = then.for_servers();
        let shown = [leaf + issuer.subject_der().len(), issuer.der().len()];
        let shown = shown.into_iter().chain(above.iter().map(|cross| cross.der().len()));
        // A broker may name all CAs that it knows; this server names those that sign.
        check_flight(shown, then.for_brokers().map(|ca| ca.subject_der().len()))?;
    }
    Ok(())
}

/// Length of the longest certificate that is renewed for a server here, without the name of its CA.
fn longest_shown(config: &Config, lineup: &Lineup) -> Result<usize, LoadError> {
    let own = certificates(&config.files.server_certificate)?;
    // What is not there yet, or cannot be read, is no longer than the others as far as anybody knows.
    let others = config.tls_files.iter().filter_map(|file| certificates(&file.files.certificate).ok());
    let leaves = core::iter::once(own).chain(others).filter_map(|chain| chain.into_iter().next());
    // One that was made elsewhere is not renewed here, and nothing is shown above it by us.
    let length = |leaf: Vec<u8>| {
        let issuer = lineup.for_brokers().find(|ca| ca.has_signed(&leaf))?;
        Some(leaf.len() - issuer.subject_der().len())
    };
    Ok(leaves.filter_map(length).max().unwrap_or(0))
}
