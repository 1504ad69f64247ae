use proptest::prelude::*;

use super::*;

/// Control characters, direction marks, separators and other format characters (Unicode's Cc, Zl, Zp, and of Cf those that
/// have been used to deceive).
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

#[test]
fn every_harmful_character_is_escaped() {
    let harmful: Vec<char> = ('\0'..=char::MAX).filter(|c| is_harmful(*c)).collect();
    assert!(harmful.len() > 200);
    for c in harmful {
        let text = format!("a{c}b");
        let shown = sanitized(&text).to_string();
        assert!(!shown.contains(c) && shown.is_ascii(), "{c:?}: {shown}");
        assert!(shown.starts_with("a\\") && shown.ends_with('b'), "{shown}");
    }
}

#[test]
fn what_people_write_stays() {
    for text in [
        "plain 'text' with \"quotes\" and a \\",
        "Größe",
        "e\u{301}te\u{301}",
        "\u{301} alone",
        "日本語",
        "עברית",
        "العربية",
        "🦀🏳",
    ] {
        assert_eq!(sanitized(text).to_string(), text);
    }
}

#[test]
fn a_forged_line_and_escape_sequences_are_seen() {
    let shown =
        sanitized("x\r\n2026-01-01T00:00:00Z  WARN all is well\x1b[1A\x7f\u{9b}2J\t").to_string();
    assert_eq!(shown, r"x\r\n2026-01-01T00:00:00Z  WARN all is well\u{1b}[1A\u{7f}\u{9b}2J\t");
}

proptest! {
    #[test]
    fn nothing_harmful_is_left_of_any_text(text in any::<String>()) {
        let shown = sanitized(&text).to_string();
        prop_assert!(!shown.chars().any(is_harmful), "{:?}", shown);
        prop_assert_eq!(sanitized(&shown).to_string(), shown, "done twice it changes nothing");
    }
}
