//! Where things lie in the data flash of each board: read by the images, by the factory that writes them, and by
//! whoever looks into one.

use core::ops::Range;

/// Ranges of bytes, each of whole pages, counted from the beginning of the board's flash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Settings, IDevID chain and trust bundle: [`crate::provision`].
    pub settings: Range<u32>,
    /// The IDevID key as the factory leaves it: [`crate::custody`].
    pub factory_key: Range<u32>,
    /// The IDevID key as the device keeps it, wrapped.
    pub wrapped_key: Range<u32>,
    /// The device's records: [`crate::flash`].
    pub records: Range<u32>,
    /// Bytes of a page, the least that can be erased.
    pub page: u32,
}

const KIB: u32 = 1024;

impl Layout {
    /// QEMU's lm3s6965evb: an image file of its own; pages of 1 KiB, words of 4 bytes.
    pub const LM3S6965EVB: Self = Self {
        settings: 0..6 * KIB,
        factory_key: 6 * KIB..7 * KIB,
        wrapped_key: 7 * KIB..8 * KIB,
        records: 8 * KIB..48 * KIB,
        page: KIB,
    };

    /// ST's STM32H573I-DK: the last 128 KiB of the chip's 2 MiB, with pages of 8 KiB and words of 16 bytes.
    pub const STM32H573I_DK: Self = Self {
        settings: 1920 * KIB..1928 * KIB,
        factory_key: 1928 * KIB..1936 * KIB,
        wrapped_key: 1936 * KIB..1944 * KIB,
        records: 1952 * KIB..2048 * KIB,
        page: 8 * KIB,
    };

    /// From the first byte to the last.
    #[must_use]
    pub const fn whole(&self) -> Range<u32> {
        self.settings.start..self.records.end
    }

    /// Where one of the ranges lies in an image of the [`whole`](Self::whole).
    #[must_use]
    pub const fn in_image(&self, range: &Range<u32>) -> Range<usize> {
        let base = self.whole().start;
        range.start.saturating_sub(base) as usize..range.end.saturating_sub(base) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::Layout;
    use crate::provision::MAX_REGION;

    #[test]
    fn ranges_are_whole_pages_in_order_and_large_enough() {
        for layout in [Layout::LM3S6965EVB, Layout::STM32H573I_DK] {
            let ranges = [&layout.settings, &layout.factory_key, &layout.wrapped_key, &layout.records];
            assert!(ranges.iter().all(|range| range.start < range.end), "{layout:?}");
            assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "{layout:?}");
            let bounds = ranges.iter().flat_map(|range| [range.start, range.end]);
            assert!(bounds.into_iter().all(|bound| bound.is_multiple_of(layout.page)), "{layout:?}");
            assert!(layout.settings.len() >= MAX_REGION && layout.records.len() >= 32 * 1024, "{layout:?}");
        }
    }
}
