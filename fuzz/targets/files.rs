#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    kwik_fuzz::files::check_files(input);
    kwik_fuzz::file_streams::check_file_stream(input);
});
