//! xtext: printable ASCII, with `+` and two upper-case digits for what may not stand in a parameter. RFC 3461 §4.

/// The text that was meant; `None` when this is not xtext.
pub fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        decoded.push(match octet {
            b'+' => digit(octets.next()?)? << 4 | digit(octets.next()?)?,
            b'=' => return None,
            b'!'..=b'~' => octet,
            _ => return None,
        });
    }
    String::from_utf8(decoded).ok()
}

fn digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_decoded_and_other_text_is_told_apart() {
        for (text, meant) in [
            ("", Some("")),
            ("bob@shop.test", Some("bob@shop.test")),
            ("a+2Bb+3Dc", Some("a+b=c")),
            ("+C3+B6", Some("ö")),
            ("a=b", None),
            ("a b", None),
            ("+2b", None),
            ("+2", None),
            ("ö", None),
            ("+FF", None),
        ] {
            assert_eq!(decode(text).as_deref(), meant, "{text}");
        }
    }
}
