//! What a life on a board costs: instructions, and wear of its flash.

use serde::Serialize;

/// What a device has spent since it was switched on, at one of its milestones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// The milestone: `enrolled` or `published`.
    pub at: &'static str,
    /// Ticks of the core clock that it had something to do. Of use only where QEMU counts instructions.
    pub ticks: u64,
    /// Pages of flash erased.
    pub erased_pages: u32,
    /// Bytes of flash written.
    pub written_bytes: u32,
}

/// What one step costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Instructions, TCP/IP included.
    pub instructions: u64,
    /// Pages of flash erased.
    pub erased_pages: u32,
    /// Bytes of flash written.
    pub written_bytes: u32,
}

/// What the steps of a life cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Costs {
    /// From the start to the first certificate: the IDevID key taken over, a key made, two exchanges with the server.
    pub enrollment: Cost,
    /// From a certificate to the first message at the broker: mutual TLS, login, subscription, publication.
    pub login: Cost,
    /// From the first message over the disconnection to the second certificate.
    pub renewal: Cost,
    /// From the second certificate to the next message: as `login`, and the old key scrubbed out of the flash.
    pub login_after_renewal: Cost,
}

/// Instructions in a tick under `-icount shift=4`: an instruction takes 16 ns, a tick of 12.5 MHz takes 80.
const INSTRUCTIONS_PER_TICK: u64 = 5;

impl Spent {
    /// Reads `TICKS PAGES BYTES`, as the board prints them; `at` is what the next line says.
    pub(super) fn parse(text: &str, at: &'static str) -> Option<Self> {
        let mut numbers = text.split(' ');
        let ticks = numbers.next()?.parse().ok()?;
        let [erased_pages, written_bytes] = [numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?];
        Some(Self { at, ticks, erased_pages, written_bytes })
    }

    fn since(&self, before: Option<&Self>) -> Cost {
        let (ticks, pages, bytes) =
            before.map_or((0, 0, 0), |before| (before.ticks, before.erased_pages, before.written_bytes));
        Cost {
            instructions: self.ticks.saturating_sub(ticks) * INSTRUCTIONS_PER_TICK,
            erased_pages: self.erased_pages.saturating_sub(pages),
            written_bytes: self.written_bytes.saturating_sub(bytes),
        }
    }
}

impl Costs {
    /// From the milestones of a device that got through without a power cut.
    #[must_use]
    pub fn of(milestones: &[Spent]) -> Option<Self> {
        let next = |from: usize, at: &str| {
            milestones.iter().enumerate().skip(from).find(|(_, milestone)| milestone.at == at).map(|(i, _)| i)
        };
        let enrolled = next(0, "enrolled")?;
        let published = next(enrolled, "published")?;
        let renewed = next(published, "enrolled")?;
        let again = next(renewed, "published")?;
        // Between two renewals it may have published more than once.
        let cost = |of: usize, since: usize| Some(milestones.get(of)?.since(milestones.get(since)));
        Some(Self {
            enrollment: milestones.get(enrolled)?.since(None),
            login: cost(published, enrolled)?,
            renewal: cost(renewed, renewed.checked_sub(1)?)?,
            login_after_renewal: cost(again, renewed)?,
        })
    }

    /// Erasures of each page in a year of renewals at their earliest, two thirds into a life of `days`, on `pages` of
    /// `page` bytes. The map wears all alike, and in the long run erases a page for each that it fills: the first time
    /// round there is nothing to erase.
    #[must_use]
    pub fn erasures_per_page_and_year(&self, days: u32, pages: u32, page: u32) -> f64 {
        let written = self.renewal.written_bytes + self.login_after_renewal.written_bytes;
        let each = f64::from(written) / f64::from(page.max(1));
        each / f64::from(pages.max(1)) * 365.0 / (f64::from(days.max(1)) * 2.0 / 3.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, Costs, Spent};

    fn spent(at: &'static str, ticks: u64, erased_pages: u32, written_bytes: u32) -> Spent {
        Spent { at, ticks, erased_pages, written_bytes }
    }

    #[test]
    fn costs_are_the_differences_between_milestones() {
        assert_eq!(Spent::parse("7 2 1520", "enrolled"), Some(spent("enrolled", 7, 2, 1520)));
        assert_eq!(Spent::parse("7 2", "enrolled"), None);
        let life = [
            spent("enrolled", 10, 2, 100),
            spent("published", 15, 2, 120),
            spent("published", 16, 2, 120),
            spent("enrolled", 22, 2, 150),
            spent("published", 30, 62, 1150),
        ];
        let costs = Costs::of(&life).unwrap();
        assert_eq!(costs.login, Cost { instructions: 25, erased_pages: 0, written_bytes: 20 });
        assert_eq!(costs.renewal, Cost { instructions: 30, erased_pages: 0, written_bytes: 30 });
        assert_eq!(costs.login_after_renewal.erased_pages, 60);
        // 1030 bytes in 40 pages of 1024, each 60 days.
        assert!((costs.erasures_per_page_and_year(90, 40, 1024) - 0.152_974).abs() < 1e-6);
        assert_eq!(Costs::of(&life[2..]), None);
    }
}
