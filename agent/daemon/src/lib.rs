//! The device agent as a Linux daemon.
