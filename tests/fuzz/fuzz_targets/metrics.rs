#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| wavesoak_fuzz::metrics(input));
