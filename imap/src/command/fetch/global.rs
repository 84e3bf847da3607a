//! message/global (RFC 6532 §3.7) in body structures: RFC 9051 §7.5.2 shows what is within, as of message/rfc822.
//! RFC 3501 §9 knows no such type: to its clients it is a part like any other.

use std::borrow::Cow;

/// Fields of any part: type, subtype, parameters, id, description, encoding, octets.
const BASIC: usize = 7;
/// What a message has more: envelope, body, lines.
const WITHIN: usize = 3;

/// A body structure as RFC 3501 has it.
pub(super) fn as_basic(structure: &[u8]) -> Cow<'_, [u8]> {
    if !contains(structure) {
        return Cow::Borrowed(structure);
    }
    let mut out = Vec::with_capacity(structure.len());
    let mut at = 0;
    while at < structure.len() {
        let start = at;
        at = match structure[at] {
            b'(' if is_global(&structure[at + 1..]) => match within(structure, at + 1) {
                Some((from, to)) => {
                    out.extend_from_slice(&structure[start..from]);
                    at = to;
                    continue;
                }
                None => at + 1,
            },
            b'"' | b'{' => end_of(structure, at).unwrap_or(structure.len()),
            _ => at + 1,
        };
        out.extend_from_slice(&structure[start..at]);
    }
    Cow::Owned(out)
}

const TYPE: &[u8] = b"\"message\" \"global\" ";

fn is_global(rest: &[u8]) -> bool {
    rest.get(..TYPE.len()).is_some_and(|start| start.eq_ignore_ascii_case(TYPE))
}

/// Nearly no mail does.
fn contains(structure: &[u8]) -> bool {
    memchr::memchr_iter(b'(', structure).any(|at| is_global(&structure[at + 1..]))
}

/// Where the fields lie that only a message has, with the space before them.
fn within(structure: &[u8], mut at: usize) -> Option<(usize, usize)> {
    for field in 0..BASIC {
        at = end_of(structure, at + usize::from(field > 0))?;
    }
    let from = at;
    for _ in 0..WITHIN {
        at = end_of(structure, at + 1)?;
    }
    Some((from, at))
}

/// The end of the value that begins at `at`; `None` where none does.
fn end_of(structure: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match *structure.get(at)? {
            b'(' => (depth, at) = (depth + 1, at + 1),
            b')' => (depth, at) = (depth.checked_sub(1)?, at + 1),
            b' ' if depth > 0 => at += 1,
            b'"' => {
                at += 1;
                while *structure.get(at)? != b'"' {
                    at += if structure[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'{' => {
                let digits = structure[at + 1..].iter().take_while(|octet| octet.is_ascii_digit()).count();
                let length = std::str::from_utf8(&structure[at + 1..=at + digits]).ok()?.parse::<usize>().ok()?;
                // The digits stand between a brace, and a brace with CR LF.
                at = at.checked_add(digits + 4)?.checked_add(length)?;
                structure.get(at - 1)?;
            }
            b' ' => return None,
            _ => at += structure[at..].iter().take_while(|octet| !b" ()\"{".contains(octet)).count(),
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_within_is_cut_out_and_nothing_else() {
        let basic = "(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 9 1)";
        let envelope = "(NIL \"a \\\"(\" ((\"x\" NIL \"y\" \"z\")) NIL {3}\r\n)\"( NIL)";
        for (whole, expected) in [
            (basic.to_owned(), basic.to_owned()),
            (
                format!("(\"message\" \"GLOBAL\" (\"a\" \"b\") NIL NIL \"8BIT\" 77 {envelope} {basic} 5)"),
                "(\"message\" \"GLOBAL\" (\"a\" \"b\") NIL NIL \"8BIT\" 77)".into(),
            ),
            (
                format!(
                    "({basic}(\"MESSAGE\" \"GLOBAL\" NIL NIL {{2}}\r\n(( \"8BIT\" 7 {envelope} ({basic}{basic} \"MIXED\") 5 NIL NIL) \"MIXED\" NIL)"
                ),
                format!("({basic}(\"MESSAGE\" \"GLOBAL\" NIL NIL {{2}}\r\n(( \"8BIT\" 7 NIL NIL) \"MIXED\" NIL)"),
            ),
            // An address that looks like one, and what ends too early.
            ("((\"message\" \"global\" \"u\" \"h\") NIL)".into(), "((\"message\" \"global\" \"u\" \"h\") NIL)".into()),
            (
                "(\"message\" \"global\" NIL NIL NIL \"7BIT\" 5 {9}\r\nx".into(),
                "(\"message\" \"global\" NIL NIL NIL \"7BIT\" 5 {9}\r\nx".into(),
            ),
        ] {
            assert_eq!(String::from_utf8_lossy(&as_basic(whole.as_bytes())), expected);
        }
    }

    #[test]
    fn no_octets_make_it_panic() {
        let whole = b"(\"message\" \"global\" (\"a\" \"\\\"\") NIL {2}\r\n() \"8BIT\" 77 (NIL) (\"a\" \"b\") 5)";
        for end in 0..whole.len() {
            for odd in b"(){\"\\ 9" {
                let mut changed = whole[..end].to_vec();
                changed.push(*odd);
                changed.extend_from_slice(&whole[end..]);
                let _ = (as_basic(&whole[..end]), as_basic(&changed));
            }
        }
    }
}
