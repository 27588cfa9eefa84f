//! What an image is made of: flash by part, static RAM by variable.
//!
//! A function counts for the part that its name begins with. The optimizer merges functions and inlines small ones, so
//! that the figures are those of the parts as they are in this image, and not what each would take by itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use serde::Serialize;

use super::image::{ImageError, RAM};

/// Bytes of an image, by part.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sizes {
    /// Flash: code by part, and constants.
    pub flash: BTreeMap<&'static str, u64>,
    /// Static RAM: the variables of 256 bytes or more, and the rest of them.
    pub ram: BTreeMap<String, u64>,
}

/// Parts, and the beginnings of the names that belong to them; the first that fits counts.
const PARTS: [(&str, &[&str]); 9] = [
    ("certificate verifier", &["agent_core::x509"]),
    ("agent, messages", &["agent_core", "shared", "minicbor"]),
    ("TLS", &["embedded_tls", "agent_mcu::tls"]),
    ("MQTT", &["minimq", "agent_mcu::mqtt"]),
    ("HTTP", &["agent_mcu::http", "httparse"]),
    ("records in flash", &["agent_mcu", "sequential_storage", "postcard"]),
    (
        "cryptography",
        &[
            "p256",
            "primeorder",
            "elliptic_curve",
            "ecdsa",
            "sha2",
            "aes",
            "aes_gcm",
            "ghash",
            "polyval",
            "hmac",
            "hkdf",
            "crypto_bigint",
            "signature",
            "sec1",
            "der",
            "rfc6979",
            "ctr",
            "cipher",
            "universal_hash",
            "digest",
            "block_buffer",
            "crypto_common",
            "subtle",
            "generic_array",
            "ff",
            "group",
        ],
    ),
    ("TCP/IP", &["smoltcp", "embassy_net", "managed", "heapless"]),
    (
        "board, runtime",
        &[
            "lm3s6965evb",
            "stm32h573i_dk",
            "stm32_metapac",
            "rtt_target",
            "firmware",
            "embassy",
            "cortex_m",
            "static_cell",
            "critical_section",
        ],
    ),
];
/// The language's library, the compiler's helpers, and code that the optimizer shares between functions.
const REST: &str = "core, shared code";
/// Constants and the vector table.
const CONSTANTS: &str = "constants";
/// Wrappers that say nothing of what is in them.
const WRAPPERS: [&str; 2] = ["agent_core::apart::Apart<", "embassy_executor::raw::TaskStorage<"];
/// Variables below this are added up.
const SMALL: u64 = 256;
/// What they are added up under, with the padding between variables.
const OTHERS: &str = "all others";

/// Reads the sizes of the parts from an ELF file with symbols.
///
/// # Errors
/// Says why the file cannot be read.
pub fn sizes(elf: &Path) -> Result<Sizes, ImageError> {
    let form = |problem: String| ImageError::Form { path: elf.to_owned(), problem };
    let bytes = fs::read(elf).map_err(|error| form(error.to_string()))?;
    let file = object::File::parse(&*bytes).map_err(|error| form(error.to_string()))?;
    let mut sizes = Sizes::default();
    let length = |name| file.section_by_name(name).map_or(0, |section| section.size());
    let (mut code, mut variables) = (0, 0);
    for symbol in file.symbols().filter(|symbol| symbol.size() > 0) {
        let name = format!("{:#}", rustc_demangle::demangle(symbol.name().unwrap_or_default()));
        match symbol.kind() {
            SymbolKind::Text => {
                code += symbol.size();
                *sizes.flash.entry(part(&name)).or_default() += symbol.size();
            }
            SymbolKind::Data if symbol.address() >= u64::from(RAM) => {
                variables += symbol.size();
                let name = if symbol.size() < SMALL { OTHERS } else { name.as_str() };
                *sizes.ram.entry(name.to_owned()).or_default() += symbol.size();
            }
            _ => {}
        }
    }
    *sizes.flash.entry(REST).or_default() += length(".text").saturating_sub(code);
    sizes.flash.insert(CONSTANTS, length(".rodata") + length(".vector_table") + length(".data"));
    let padding = (length(".bss") + length(".data")).saturating_sub(variables);
    *sizes.ram.entry(OTHERS.to_owned()).or_default() += padding;
    Ok(sizes)
}

fn part(name: &str) -> &'static str {
    let mut path = name;
    loop {
        path = path.trim_start_matches(['<', '&', '*', '(', '[', '{']).trim_start_matches("mut ");
        match WRAPPERS.iter().find_map(|wrapper| path.strip_prefix(wrapper)) {
            Some(inner) => path = inner,
            None => break,
        }
    }
    let begins = |with: &&str| {
        path.strip_prefix(*with).is_some_and(|rest| rest.starts_with("::") || rest.starts_with('_'))
    };
    PARTS.iter().find(|(_, names)| names.iter().any(begins)).map_or(REST, |(part, _)| part)
}

#[cfg(test)]
mod tests {
    use super::{REST, part};

    #[test]
    fn a_function_counts_for_the_part_that_its_name_begins_with() {
        for (name, expected) in [
            ("agent_core::x509::path::verify", "certificate verifier"),
            ("<agent_core::flow::agent::Agent<x>>::status", "agent, messages"),
            ("<agent_core::apart::Apart<<embedded_tls::asynch::TlsConnection<x>>::open>>::poll", "TLS"),
            ("<&mut minimq::mqtt_client::Session as x>::poll", "MQTT"),
            ("agent_mcu::flash::head::short", "records in flash"),
            ("<primeorder::projective::ProjectivePoint<p256::NistP256>>::mul", "cryptography"),
            ("embassy_net::tcp::TcpSocket::connect", "TCP/IP"),
            ("embassy_executor::raw::Executor::spawn", "board, runtime"),
            ("<embassy_executor::raw::TaskStorage<lm3s6965evb::main>>::poll", "board, runtime"),
            ("core::fmt::write", REST),
            ("sharedness::of_nothing", REST),
            ("OUTLINED_FUNCTION_12", REST),
        ] {
            assert_eq!(part(name), expected, "{name}");
        }
    }
}
