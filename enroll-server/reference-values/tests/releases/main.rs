//! Manifests and release lists as a whole: what is read out of them, who has to stand behind them, what is refused.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod comid;
mod draft;
mod hostile;
mod independent;
mod kit;
mod lists;
mod openssl;
mod signed;
