#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| tests::fuzz::run("board_tls_session", data));
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    tests::fuzz::mutate(data, size, seed).unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});
