//! `cargo run -p packaging [FOLDER]`: see the library. The folder is `target/manuals` where none is named.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/manuals"), PathBuf::from);
    packaging::write(&folder)
}
