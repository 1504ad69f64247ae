//! The fuzzers' corpus, replayed: `fuzz/run.sh` finds new inputs.

use std::fs;
use std::path::Path;

use super::checks::check_files;
use super::file_streams::check_file_stream;

#[test]
fn files_corpus_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/files");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        let input = fs::read(&path).unwrap();
        check_files(&input);
        check_file_stream(&input);
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}
