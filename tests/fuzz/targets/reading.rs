#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| incidentd_fuzz::reading(input));
