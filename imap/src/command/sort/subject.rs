//! Base subjects (RFC 5256 §2.1), by which SORT and THREAD compare.

/// A subject without what replies and forwards add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::command) struct BaseSubject {
    pub(in crate::command) text: String,
    /// Whether a `Re:`, `Fwd:`, `(fwd)` or `[fwd: …]` was taken off.
    pub(in crate::command) is_reply: bool,
}

/// The base subject of a decoded subject.
pub(in crate::command) fn base_subject(subject: &str) -> BaseSubject {
    // Step 1: tabs and continuations are spaces, and several spaces are one.
    let mut text = String::with_capacity(subject.len());
    for character in subject.chars() {
        match character {
            ' ' | '\t' | '\r' | '\n' if text.ends_with(' ') => {}
            ' ' | '\t' | '\r' | '\n' => text.push(' '),
            other => text.push(other),
        }
    }
    let mut rest = text.as_str();
    let mut is_reply = false;
    loop {
        // Step 2: `subj-trailer`, as often as it is there.
        loop {
            rest = rest.trim_end_matches(' ');
            match strip_suffix(rest, "(fwd)") {
                Some(before) => (rest, is_reply) = (before, true),
                None => break,
            }
        }
        // Steps 3 to 5: leaders and blobs, as often as they are there.
        loop {
            rest = rest.trim_start_matches(' ');
            if let Some(after) = strip_leader(rest) {
                (rest, is_reply) = (after, true);
                continue;
            }
            match strip_blob(rest) {
                // Step 4: a blob only goes if something stays.
                Some(after) if !after.is_empty() => rest = after,
                _ => break,
            }
        }
        // Step 6: `[fwd: …]`, and all over again.
        match strip_prefix(rest, "[fwd:").and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => (rest, is_reply) = (inner, true),
            None => return BaseSubject { text: rest.to_owned(), is_reply },
        }
    }
}

/// `*subj-blob subj-refwd`
fn strip_leader(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(after) = strip_blob(rest) {
        rest = after;
    }
    // `subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`
    let rest = strip_prefix(rest, "re").or_else(|| strip_prefix(rest, "fwd")).or_else(|| strip_prefix(rest, "fw"))?;
    let rest = rest.trim_start_matches(' ');
    strip_blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// `subj-blob = "[" *BLOBCHAR "]" *WSP`, of characters that are no brackets.
fn strip_blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    Some(inner[end..].strip_prefix(']')?.trim_start_matches(' '))
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (rest, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    tail.eq_ignore_ascii_case(suffix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_replies_and_forwards_add_comes_off() {
        for (subject, base, is_reply) in [
            ("hello", "hello", false),
            (" Re: hello ", "hello", true),
            ("RE : fw: FWD:hello", "hello", true),
            ("Re[4]: hello", "hello", true),
            ("re [list] : hello", "hello", true),
            ("[list] hello", "hello", false),
            ("[list] [x] Re: [list] hello (fwd) (FWD)", "hello", true),
            ("[fwd: Re: [x] hello]", "hello", true),
            ("[Fwd: hello (fwd) ] ", "hello", true),
            ("[list]", "[list]", false),
            ("[a] [b]", "[b]", false),
            ("[fwd: hello", "[fwd: hello", false),
            ("Re:", "", true),
            ("reply", "reply", false),
            ("a \t b\r\n c", "a b c", false),
            ("(fwd)", "", true),
            ("", "", false),
            ("[[a]] x", "[[a]] x", false),
            ("Re: é", "é", true),
            ("é", "é", false),
        ] {
            let expected = BaseSubject { text: base.to_owned(), is_reply };
            assert_eq!(base_subject(subject), expected, "{subject:?}");
        }
    }
}
