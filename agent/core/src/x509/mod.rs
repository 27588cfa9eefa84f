//! Strict verification of server certificates (RFC 5280, RFC 9525): ECDSA on P-256 only.

use shared::UnixTime;

/// What a certificate's dates are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Time is known: not-before and not-after are checked.
    At(UnixTime),
    /// Only a floor is known, as on a device without a clock before the server told the time: not-after must
    /// be later than the floor; not-before is not checked. To be verified again in full when time is known.
    NotEndedBy(UnixTime),
}
