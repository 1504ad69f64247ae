//! Text of a peer, for people.

use std::fmt::{self, Write as _};

/// Text that does nothing to a terminal, a log or a reader but to be read, whoever wrote it.
///
/// Meant for whatever came from a peer and is shown to people: reasons, paths, names. What cannot be seen is written as
/// Rust's escapes do, as `\u{1b}`: control characters of both kinds (C0, C1, DEL), line ends, separators of lines and
/// paragraphs, characters that reverse or embed the direction of text (Trojan Source, CVE-2021-42574), other format
/// characters, spaces that are not U+0020, and what has no meaning yet. Letters of all scripts, accents and emoji stay.
///
/// A backslash of the text's own stays as it is too, so this is to be read and not to be parsed.
///
/// ```
/// use kwik_proto::sanitized;
///
/// assert_eq!(sanitized("Größe 5").to_string(), "Größe 5");
/// assert_eq!(sanitized("a\u{1b}[2Jb\nc\u{202e}d").to_string(), r"a\u{1b}[2Jb\nc\u{202e}d");
/// ```
pub fn sanitized(text: &str) -> Sanitized<'_> {
    Sanitized(text)
}

/// What [`sanitized`] makes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sanitized<'a>(&'a str);

impl fmt::Display for Sanitized<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_plain(c) { f.write_char(c)? } else { write!(f, "{}", c.escape_debug())? }
        }
        Ok(())
    }
}

/// Goes by the standard library's tables, behind a letter: at the start of a text they count accents as invisible.
fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    let mut text = [b'x', 0, 0, 0, 0];
    let end = 1 + c.encode_utf8(&mut text[1..]).len();
    str::from_utf8(&text[..end]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

#[cfg(test)]
mod tests;
