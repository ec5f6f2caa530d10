#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| warmpath_fuzz_targets::run("answers", bytes));
