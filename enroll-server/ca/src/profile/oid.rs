//! Object identifiers in dotted form, and which of them a profile may use.

use core::fmt;

/// An object identifier (X.660) of 3 to 20 arcs.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Oid(Vec<u64>);

/// Private enterprises (IANA, "Private Enterprise Numbers").
const ENTERPRISES: &[u64] = &[1, 3, 6, 1, 4, 1];
/// Enterprises whose identifiers other software acts on: 311 is Microsoft (logon by certificate, template names),
/// 11129 Google (certificate transparency, RFC 6962, section 3.1: a poison).
const ACTED_ON: &[u64] = &[311, 11_129];
const MAX_ARCS: usize = 20;

impl Oid {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let arc = |arc: &str| -> Option<u64> {
            let plain = arc.bytes().all(|b| b.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'));
            // Below 2^32, so that every reader can hold it.
            arc.parse().ok().filter(|number| plain && *number <= u64::from(u32::MAX))
        };
        let arcs: Vec<u64> = text.split('.').take(MAX_ARCS + 1).map(arc).collect::<Option<_>>()?;
        Self::new(arcs)
    }

    fn new(arcs: Vec<u64>) -> Option<Self> {
        let first = matches!(arcs.as_slice(), [0 | 1, 0..40, _, ..] | [2, _, _, ..]);
        (first && arcs.len() <= MAX_ARCS).then_some(Self(arcs))
    }

    pub(crate) fn arcs(&self) -> &[u64] {
        &self.0
    }

    /// The content octets in DER (X.690, section 8.19).
    pub(crate) fn content(&self) -> Vec<u8> {
        let [first, second, rest @ ..] = self.0.as_slice() else { return Vec::new() };
        let mut content = Vec::new();
        for arc in core::iter::once(first * 40 + second).chain(rest.iter().copied()) {
            let mut groups = vec![low_bits(arc)];
            let mut left = arc >> 7;
            while left > 0 {
                groups.push(0x80 | low_bits(left));
                left >>= 7;
            }
            content.extend(groups.into_iter().rev());
        }
        content
    }

    /// Whether it is below the number of an enterprise other than those whose identifiers other software acts on.
    pub(crate) fn is_private(&self) -> bool {
        self.0.strip_prefix(ENTERPRISES).is_some_and(|rest| match rest {
            [enterprise, _, ..] => *enterprise != 0 && !ACTED_ON.contains(enterprise),
            _ => false,
        })
    }
}

fn low_bits(number: u64) -> u8 {
    number.to_be_bytes().last().map_or(0, |byte| byte & 0x7f)
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, arc) in self.0.iter().enumerate() {
            write!(f, "{}{arc}", if at == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::Oid;

    #[test]
    fn identifiers_have_one_spelling() {
        let oid = Oid::parse("1.3.6.1.4.1.32473.128.0").unwrap();
        assert_eq!(oid.content(), [0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 0x81, 0, 0]);
        assert_eq!(Oid::parse("2.999.3").unwrap().content(), [0x88, 0x37, 3], "X.690, section 8.19.5");
        assert_eq!(oid.to_string(), "1.3.6.1.4.1.32473.128.0");
        for bad in
            ["", "1", "1.3", "1.40.1", "3.1.1", "1.03.6", "1.3.", "1..3", "1.3.x", "1.3.4294967296", "+1.3.6"]
        {
            assert_eq!(Oid::parse(bad), None, "{bad}");
        }
        assert_eq!(Oid::parse(&vec!["1"; 21].join(".")), None);
    }

    #[test]
    fn arcs_of_others_are_not_private() {
        let private = |text: &str| Oid::parse(text).unwrap().is_private();
        assert!(private("1.3.6.1.4.1.32473.1"));
        for other in [
            "1.3.6.1.4.1.32473",
            "1.3.6.1.4.1.311.20.2",
            "1.3.6.1.4.1.11129.2.4.3",
            "2.5.29.19",
            "1.3.6.1.5.5.7.1.3",
        ] {
            assert!(!private(other), "{other}");
        }
    }
}
