//! A server recognised by its key.

use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "sha256:";

/// SHA-256 of a certificate's SubjectPublicKeyInfo, written `sha256:HEX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pin(pub(crate) [u8; 32]);

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.strip_prefix(PREFIX).ok_or("a pin starts with 'sha256:'")?;
        decode_hex(hex)
            .map(Self)
            .ok_or_else(|| "a pin has 64 hex digits after 'sha256:'".to_owned())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// 32 bytes from 64 hex digits.
pub(crate) fn decode_hex(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_reads_back_as_it_was_written() {
        let pin = Pin(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(pin.to_string().parse::<Pin>().unwrap(), pin);
        assert_eq!(pin.to_string().to_uppercase().replace("SHA", "sha").parse::<Pin>(), Ok(pin));
    }

    #[test]
    fn what_is_no_pin_is_refused() {
        let hex = "ab".repeat(32);
        for text in [
            hex.clone(),
            format!("sha1:{hex}"),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha256:+{}", &hex[1..]),
            format!("sha256:{}é", &hex[2..]),
        ] {
            assert!(text.parse::<Pin>().is_err(), "{text}");
        }
    }
}
