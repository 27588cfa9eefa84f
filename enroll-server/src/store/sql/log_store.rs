//! The store as the log sees it.

use ca::Serial;

use shared::UnixTime;

use super::{SqlStore, events, log, missed};
use crate::store::{CertificateRow, DeviceRow, LeafRow, LogHead, LogStore, Missed, Reply};

impl LogStore for SqlStore {
    fn log_head(&self) -> Reply<'_, LogHead> {
        self.read(log::head)
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    fn waiting_leaves(&self, from: u64, limit: u32) -> Reply<'_, Vec<Vec<u8>>> {
        self.read(move |c| log::waiting(c, from, limit))
    }

    fn advance_log(&self, before: u64, size: u64, note: String) -> Reply<'_, bool> {
        self.write(move |c| log::advance(c, before, size, &note))
    }

    fn pass_over_events(&self, last: u64) -> Reply<'_, ()> {
        self.write(move |c| events::pass_over(c, last))
    }

    fn catch_up(&self, missed: Missed, now: UnixTime) -> Reply<'_, String> {
        let partitioning = self.partitioning.clone();
        self.write(move |c| missed::catch_up(c, &missed, partitioning.as_ref(), now))
    }

    fn leaf_rows(&self, position: u64, limit: u32) -> Reply<'_, Vec<LeafRow>> {
        self.read(move |c| log::rows(c, position, limit))
    }

    fn leaves_of(&self, serial: Serial) -> Reply<'_, Vec<LeafRow>> {
        self.read(move |c| log::of(c, serial))
    }

    fn certificate_rows(&self, after: Vec<u8>, limit: u32) -> Reply<'_, Vec<CertificateRow>> {
        self.read(move |c| log::certificates(c, &after, limit))
    }

    fn count_certificates(&self) -> Reply<'_, u64> {
        self.read(log::count_certificates)
    }

    fn list_addresses(&self) -> Reply<'_, Vec<String>> {
        self.read(log::list_addresses)
    }

    fn device_rows(&self, after: String, limit: u32) -> Reply<'_, Vec<DeviceRow>> {
        self.read(move |c| log::devices(c, &after, limit))
    }
}
