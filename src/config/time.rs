//! Lengths of time in words.

use std::fmt;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A length of time in words: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationText(pub Duration);

impl std::str::FromStr for DurationText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let wrong =
            || format!("\"{text}\" is no length of time; allowed: a whole number and ms, s, m, h or d, like \"24h\"");
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let ms = match &text[digits..] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        number
            .checked_mul(ms)
            .filter(|ms| *ms <= 366 * 86_400_000)
            .map(|ms| Self(Duration::from_millis(ms)))
            .ok_or_else(wrong)
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
            if ms >= size && ms.is_multiple_of(size) {
                return write!(f, "{}{unit}", ms / size);
            }
        }
        write!(f, "{ms}ms")
    }
}

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    String::deserialize(from)?.parse::<DurationText>().map(|text| text.0).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_read_and_print() {
        for (text, ms) in
            [("250ms", 250), ("2s", 2000), ("10m", 600_000), ("24h", 86_400_000), ("60d", 60 * 86_400_000)]
        {
            assert_eq!(text.parse::<DurationText>().unwrap().0, Duration::from_millis(ms));
        }
        assert_eq!(DurationText(Duration::from_secs(600)).to_string(), "10m");
        for text in ["", "s", "5", "5 m", "-5m", "99999999999999999999d"] {
            assert!(text.parse::<DurationText>().is_err(), "{text}");
        }
    }
}
