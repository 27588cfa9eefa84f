//! Numbers of items, as the map's keys.

use sequential_storage::map::{Key, SerializationError};

/// A number of two bytes in front of each item.
///
/// The map is told that it takes no bytes of what is read, so that an item comes back with its number in front: the map
/// subtracts the length of a key from that of an item which may be shorter, and panics. Nothing that we write is; a
/// device whose flash holds such an item all the same has to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(pub(super) u16);

impl Number {
    /// The content of an item; `None` where it is too short to have a number, or has another.
    pub(super) fn strip(self, item: &[u8]) -> Option<&[u8]> {
        item.strip_prefix(&self.0.to_le_bytes())
    }
}

impl Key for Number {
    fn serialize_into(&self, buffer: &mut [u8]) -> Result<usize, SerializationError> {
        let place = buffer.first_chunk_mut().ok_or(SerializationError::BufferTooSmall)?;
        *place = self.0.to_le_bytes();
        Ok(place.len())
    }

    fn deserialize_from(buffer: &[u8]) -> Result<(Self, usize), SerializationError> {
        let bytes = buffer.first_chunk().ok_or(SerializationError::BufferTooSmall)?;
        Ok((Self(u16::from_le_bytes(*bytes)), 0))
    }

    fn get_len(_: &[u8]) -> Result<usize, SerializationError> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use agent_core::platform::{Record, Storage as _};
    use sequential_storage::cache::Cache;
    use sequential_storage::map::{MapConfig, MapStorage};

    use crate::flash::sim::SimFlash;
    use crate::flash::tests::now;
    use crate::flash::{FlashStorage, SCRATCH};

    type Flash = SimFlash<4, 1024, 4>;

    /// An item that holds nothing, under a key of no bytes.
    fn with_an_empty_item(flash: Flash) -> Flash {
        let config = MapConfig::try_new(0..4096).unwrap();
        let mut map: MapStorage<[u8; 0], _, _> = MapStorage::new(flash, config, Cache::new_uncached());
        now(map.store_item(&mut [0; 64], &[], &&[][..])).unwrap();
        map.destroy().0
    }

    #[test]
    fn a_device_starts_whatever_is_shorter_than_a_number() {
        let mut scratch = [0; SCRATCH];
        let mut storage = FlashStorage::new(Flash::default(), 0..4096, &mut scratch);
        now(storage.store(Record::State, b"before")).unwrap();
        let flash = with_an_empty_item(storage.into_flash().unwrap());
        let mut scratch = [0; SCRATCH];
        let mut storage = FlashStorage::new(flash, 0..4096, &mut scratch);
        let mut buffer = [0; 16];
        // The map takes it for the newest under the number that it read before.
        assert_eq!(now(storage.load(Record::State, &mut buffer)), Ok(None));
        now(storage.store(Record::State, b"after")).unwrap();
        assert_eq!(now(storage.load(Record::State, &mut buffer)), Ok(Some(5)));
        assert_eq!(&buffer[..5], b"after");
    }
}
