//! Who counts as one on the network.

use core::net::{IpAddr, Ipv4Addr};

/// An IPv4 address, or the /64 of an IPv6 address: whoever has one has all of it (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(Network);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Network {
    V4(Ipv4Addr),
    V6(u64),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        // On a listener for both, IPv4 comes as ::ffff:a.b.c.d: all of them are one /64.
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => Network::V4(v4),
            IpAddr::V6(v6) => Network::V6(u64::try_from(v6.to_bits() >> 64).unwrap_or(0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Source;
    use core::net::IpAddr;

    #[test]
    fn one_site_counts_as_one() {
        let of = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("::ffff:192.0.2.1"), of("::ffff:192.0.2.2"));
    }
}
