//! The quoted registers: the values that a device presents have to be those that its TPM vouches for.

use aws_lc_rs::digest::{Context, SHA256};
use shared::Reject;
use shared::evidence::PcrValues;
use shared::tpm2::{Attest, Attested, PcrSet};

use crate::claims::Measured;
use crate::key::hex;
use crate::record::{Refusal, Trail, rule};

/// Checks the values against the quote and gives them as measurements, `pcr-N` each.
pub(super) fn check(
    quote: &Attest<'_>,
    values: &PcrValues<'_>,
    trail: &mut Trail,
) -> Result<Vec<Measured>, Refusal> {
    let Attested::Quote { registers, digest } = quote.attested else {
        let found = "a certification in the place of a quote";
        return Err(trail.refuse(rule::EVIDENCE_FORM, Reject::BadEvidence, found, "TPM2_Quote"));
    };
    trail.require(
        fits(registers, values),
        rule::TPM_REGISTERS,
        Reject::BadEvidence,
        format!("values of registers {:?}", values.iter().map(|(register, _)| register).collect::<Vec<_>>()),
        format!(
            "one of {} bytes for each of {:?}",
            registers.bank.length(),
            registers.iter().collect::<Vec<_>>()
        ),
    )?;
    // The digest of a quote is by the hash of its signature, whatever the bank (part 3, section 18.4).
    let mut context = Context::new(&SHA256);
    for (_, value) in values {
        context.update(value);
    }
    let computed = context.finish();
    trail.require(
        computed.as_ref() == digest,
        rule::TPM_REGISTERS,
        Reject::BadEvidence,
        format!("values with the digest {}", hex(computed.as_ref())),
        format!("the quoted digest {}", hex(&digest)),
    )?;
    let measured = |(register, value): &(u8, &[u8])| Measured {
        component: format!("pcr-{register}"),
        digest: value.to_vec(),
        ..Measured::default()
    };
    Ok(values.iter().map(measured).collect())
}

fn fits(registers: PcrSet, values: &PcrValues<'_>) -> bool {
    values.len() == registers.len()
        && registers
            .iter()
            .zip(values)
            .all(|(register, (found, value))| register == *found && value.len() == registers.bank.length())
}
