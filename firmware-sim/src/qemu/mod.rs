//! Devices as real images of machine code, on boards that QEMU plays.
//!
//! [`toolchain`] finds what can build for bare metal, [`image`] builds and measures, [`machine`] boots, and [`run`] puts them on a [stage](crate::stage) and watches.

mod cuts;
pub mod image;
pub mod machine;
mod run;
pub mod size;
mod spent;
pub mod toolchain;

pub use machine::Count;
pub use run::{DeviceReport, HOST, Options, QemuError, Summary, reference_values, run, run_image};
pub use spent::{Cost, Costs, Spent};
