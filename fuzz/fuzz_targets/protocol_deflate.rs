#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| ringwire_fuzz::run("protocol_deflate", octets));
