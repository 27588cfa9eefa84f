//! Where a certificate's revocation list is: one distribution point a certificate (RFC 5280, section 4.2.1.13).
//!
//! One and no more: there are verifiers that look at the first of several only.

use crate::profile::{ProfileError, check_url};

/// The list that a certificate names, by numbers that never change for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DistributionPoint {
    /// Number of the CA.
    pub issuer: u32,
    /// Number of the list among those of the CA; 0 is the complete one.
    pub partition: u32,
}

/// The address of revocation lists, with places for the numbers: `http://ca.example/crl/{issuer}/{partition}.crl`.
/// Without them it is the address of one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlAddress(String);

const ISSUER: &str = "{issuer}";
const PARTITION: &str = "{partition}";

impl CrlAddress {
    /// Reads an address. `{issuer}` stands for the number of the CA and `{partition}` for that of the list.
    ///
    /// # Errors
    /// Where it is not a plain `http://` address, has other braces or a placeholder twice, or distinguishes the
    /// partitions and not the CAs.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let address = Self(text.to_owned());
        // With the longest numbers, so that whatever comes of it is within the limit.
        let longest = address.of(DistributionPoint { issuer: u32::MAX, partition: u32::MAX });
        if text.matches(ISSUER).count() > 1
            || text.matches(PARTITION).count() > 1
            || longest.contains(['{', '}'])
        {
            return Err(ProfileError::Placeholders);
        }
        if address.is_partitioned() && !text.contains(ISSUER) {
            return Err(ProfileError::Placeholders);
        }
        check_url("the address of the CRL", &longest)?;
        Ok(address)
    }

    /// Whether certificates name partitions.
    #[must_use]
    pub fn is_partitioned(&self) -> bool {
        self.0.contains(PARTITION)
    }

    /// The address of one list.
    #[must_use]
    pub fn of(&self, point: DistributionPoint) -> String {
        let text = self.0.replace(ISSUER, &point.issuer.to_string());
        text.replace(PARTITION, &point.partition.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{CrlAddress, DistributionPoint};
    use crate::profile::ProfileError;

    #[test]
    fn numbers_stand_in_their_places() {
        let point = DistributionPoint { issuer: 2, partition: 31 };
        for (text, partitioned, url) in [
            ("http://ca.example/crl/{issuer}/{partition}.crl", true, "http://ca.example/crl/2/31.crl"),
            ("http://ca.example/crl/{issuer}/0.crl", false, "http://ca.example/crl/2/0.crl"),
            ("http://ca.example/crl.der", false, "http://ca.example/crl.der"),
        ] {
            let address = CrlAddress::parse(text).unwrap();
            assert_eq!((address.is_partitioned(), address.of(point).as_str()), (partitioned, url));
        }
    }

    #[test]
    fn wrong_placeholders_are_refused() {
        for wrong in [
            "http://ca.example/{partition}.crl",
            "http://ca.example/{issuer}/{issuer}/{partition}",
            "http://ca.example/{issuer}/{partition}{partition}",
            "http://ca.example/{Issuer}/{partition}",
            "http://ca.example/{issuer",
        ] {
            assert_eq!(CrlAddress::parse(wrong), Err(ProfileError::Placeholders), "{wrong}");
        }
        assert!(CrlAddress::parse("https://ca.example/{issuer}/{partition}").is_err());
        let long = format!("http://ca.example/{}{{issuer}}/{{partition}}", "a".repeat(170));
        assert!(CrlAddress::parse(&long).is_err(), "too long with its numbers");
    }
}
