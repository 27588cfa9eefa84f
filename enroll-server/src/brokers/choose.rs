//! Choosing a broker by hash: the same for every replica and every time, and when a broker is added or taken away
//! only those devices move that have to (rendezvous hashing, Thaler and Ravishankar, IEEE/ACM ToN 1998).

use aws_lc_rs::digest::{Context, SHA256};
use shared::DeviceId;

use crate::config::{Choice, NamedBroker};

/// The broker of `device`; `None` where the list is empty.
pub(super) fn choose<'b>(
    choice: &Choice,
    device: &DeviceId,
    list: &'b [NamedBroker],
) -> Option<&'b NamedBroker> {
    let by = |weight: fn(&NamedBroker) -> u32| {
        let scored = list.iter().map(|broker| (score(device, &broker.name, weight(broker)), broker));
        scored.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, broker)| broker)
    };
    match choice {
        Choice::Fixed(name) => list.iter().find(|broker| broker.name == *name).or_else(|| list.first()),
        Choice::Weighted => by(|broker| broker.weight),
        Choice::Hash => by(|_| 1),
    }
}

/// Whoever has the highest score gets the device. With `u` uniform in (0, 1), `-w / ln u` is highest for each
/// broker in proportion to its weight `w`.
fn score(device: &DeviceId, broker: &str, weight: u32) -> f64 {
    let mut context = Context::new(&SHA256);
    context.update(device.as_str().as_bytes());
    // Stands in no identifier: no other device and broker give the same text.
    context.update(b"\0");
    context.update(broker.as_bytes());
    let hash = context.finish();
    let bits = hash.as_ref().iter().take(6).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    // 48 bits are exact in a double; the half keeps both ends out.
    #[expect(clippy::cast_precision_loss, reason = "48 bits fit into the 53 of a double")]
    let uniform = (bits as f64 + 0.5) / (1_u64 << 48) as f64;
    -f64::from(weight) / uniform.ln()
}
