#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tests::fuzz::run("token_text", data));
