//! Canonical JSON: RFC 8785 over the values a signed object may hold (protocol.md §4).
//!
//! Strings, booleans, arrays, objects and integers up to 2^53: nothing whose text two programs could write
//! differently. `null` and fractions are refused, not rewritten.

use serde_json::Value;

use crate::limits::{JSON_DEPTH_MAX, JSON_INTEGER_END};

/// Why a value has no canonical text here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JcsError {
    /// `null` somewhere.
    #[error("null is not allowed in a signed object; leave the field out")]
    Null,
    /// A fraction, an exponent, or an integer of 2^53 or more.
    #[error("only integers from -(2^53-1) to 2^53-1 are allowed in a signed object")]
    Number,
    /// Too deep.
    #[error("a signed object nests at most 16 levels")]
    Depth,
}

/// The canonical octets of `value`: keys sorted by UTF-16 code units, no white space, shortest escapes.
pub fn canonical(value: &Value) -> Result<Vec<u8>, JcsError> {
    let mut out = Vec::with_capacity(512);
    write(value, JSON_DEPTH_MAX, &mut out)?;
    Ok(out)
}

fn write(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), JcsError> {
    let Some(below) = depth.checked_sub(1) else { return Err(JcsError::Depth) };
    match value {
        Value::Null => return Err(JcsError::Null),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let exact = match (number.as_u64(), number.as_i64()) {
                (Some(n), _) => n < JSON_INTEGER_END,
                (None, Some(n)) => n.unsigned_abs() < JSON_INTEGER_END,
                (None, None) => false,
            };
            if !exact {
                return Err(JcsError::Number);
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, below, out)?;
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            // RFC 8785 §3.2.3: UTF-16 code units, which differ from UTF-8 order past U+FFFF.
            sorted.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
            out.push(b'{');
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write(item, below, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// RFC 8785 §3.2.2.2: escape `"`, `\` and U+0000 to U+001F, the short way where there is one.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            0x00..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Result<String, JcsError> {
        canonical(&serde_json::from_str(json).unwrap()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn keys_are_sorted_by_utf16_units_as_rfc_8785_section_3_2_3_shows() {
        let given = "{\"\\u20ac\": \"Euro Sign\", \"\\r\": \"Carriage Return\", \"\\ufb33\": \"Hebrew\", \"1\": \"One\", \
                     \"\\ud83d\\ude00\": \"Emoji\", \"\\u0080\": \"Control\", \"\\u00f6\": \"Latin\"}";
        let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":\"Latin\",\
                        \"€\":\"Euro Sign\",\"😀\":\"Emoji\",\"\u{fb33}\":\"Hebrew\"}";
        assert_eq!(text(given).unwrap(), expected);
    }

    #[test]
    fn strings_are_escaped_as_rfc_8785_section_3_2_2_shows() {
        let given = "\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\\b\\f\\t\\u007f\"";
        assert_eq!(text(given).unwrap(), "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\\f\\t\u{7f}\"");
    }

    #[test]
    fn only_exact_integers_are_taken() {
        assert_eq!(text("[9007199254740991,-9007199254740991,0]").unwrap(), "[9007199254740991,-9007199254740991,0]");
        for refused in ["9007199254740992", "-9007199254740992", "18446744073709551615", "1.5", "1e3", "1.0"] {
            assert_eq!(text(refused), Err(JcsError::Number), "{refused}");
        }
        assert_eq!(text("{\"a\":null}"), Err(JcsError::Null));
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(text(&format!("{}{}", "[".repeat(16), "]".repeat(16))).is_ok());
        assert_eq!(text(&format!("{}{}", "[".repeat(17), "]".repeat(17))), Err(JcsError::Depth));
    }
}
