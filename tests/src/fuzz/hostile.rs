//! The keys and messages of a hostile server, as the tests of boards have them: written apart from the library that boards
//! use.

#![allow(dead_code, reason = "fuzz targets use a part of it")]

#[path = "../../../agent/mcu/tests/support/hostile/messages.rs"]
pub(super) mod messages;
#[path = "../../../agent/mcu/tests/support/hostile/schedule.rs"]
pub(super) mod schedule;
