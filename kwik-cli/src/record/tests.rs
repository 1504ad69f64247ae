#![allow(clippy::unwrap_used)]

use super::*;

fn record(durable: u64) -> Record {
    Record {
        part: 3,
        file: Some(FileId { inode: u64::MAX, born: u64::MAX }),
        urls: vec!["kwik://h:1/x".into(), "kwik://h:2/\u{1b}x".into()],
        content: Some(Content { tag: Tag([9; 32]), size: u64::MAX }),
        durable,
        prefix: Tag([1; 32]),
    }
}

fn filled(record: &Record) -> RecordFile {
    let (mut file, stored) = RecordFile::open(tempfile::tempfile().unwrap()).unwrap();
    assert_eq!(stored, Stored::Nothing);
    file.fill(record).unwrap();
    file
}

fn stored(file: &RecordFile) -> Stored {
    RecordFile::open(file.file.try_clone().unwrap()).unwrap().1
}

#[test]
fn what_is_written_is_read() {
    let mut file = filled(&record(0));
    assert_eq!(stored(&file), Stored::Valid(record(0), 2));
    for (writes, durable) in (3..).zip([1, 2, 3, u64::MAX]) {
        file.write(&record(durable)).unwrap();
        assert_eq!(stored(&file), Stored::Valid(record(durable), writes));
    }
    assert_eq!(file.file.metadata().unwrap().len(), LENGTH);
    let new = Record::new(0, &["kwik://h:1/x".into()]);
    file.write(&new).unwrap();
    assert_eq!(stored(&file), Stored::Valid(new, 7));
}

#[test]
fn a_write_that_was_cut_off_leaves_the_record_before_it() {
    for cut in [0, 1, 10, 100, 2000, SLOT - 1] {
        let mut file = filled(&record(0));
        file.write(&record(1)).unwrap();
        let newer = encode(&record(2), 4);
        // Half of the slot is new, the other half as before.
        file.file.write_all_at(&newer[..cut], 0).unwrap();
        let whole = newer[cut..].iter().all(|byte| matches!(byte, b' ' | b'\n'));
        let durable = if whole { 2 } else { 1 };
        let Stored::Valid(read, _) = stored(&file) else { panic!("{cut}") };
        assert_eq!(read.durable, durable, "{cut}");
    }
}

#[test]
fn every_damaged_byte_is_seen() {
    let good = encode(&record(5), 1);
    let text = good.iter().rposition(|byte| *byte == b'}').unwrap();
    for position in 0..=text {
        let mut slot = good.clone();
        slot[position] ^= 1;
        assert_eq!(decode(&slot), None, "byte {position}");
    }
}

#[test]
fn what_is_no_record_is_told_apart() {
    let judge = |bytes: &[u8]| judge(bytes, bytes.len() as u64);
    assert_eq!(judge(b"my notes"), Stored::Foreign);
    assert_eq!(judge(&[b' '; LENGTH as usize]), Stored::Foreign);
    assert_eq!(judge(&[0; LENGTH as usize]), Stored::Damaged);
    let mut slot = encode(&record(5), 1);
    slot[60] ^= 1;
    assert_eq!(judge(&slot), Stored::Damaged);
    let later = b"kwik-part 2 what will be";
    assert_eq!(judge(later), Stored::OtherVersion);
    let short = encode(&record(5), 1);
    assert_eq!(judge(&short[..100]), Stored::Damaged);
    assert_eq!(judge(&[short.clone(), short.clone(), short].concat()), Stored::Damaged);
}

#[test]
fn urls_that_do_not_fit_are_left_out() {
    let long = format!("kwik://h:1/{}", "\u{1}".repeat(4000));
    let urls = [&"x".repeat(1000), &"y".repeat(1000), &long, &"z".to_owned()];
    let new = Record::new(0, &urls.map(Clone::clone));
    assert_eq!(new.urls.len(), 2);
    assert_eq!(encode(&Record { urls: new.urls, ..record(u64::MAX) }, u64::MAX).len(), SLOT);
}
