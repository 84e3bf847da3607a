//! Flags and keywords as they are written (RFC 3501 §2.3.2, §9 `flag`).

use lnmp::payment::SERVER_KEYWORDS;
use store::{FlagMode, Flags};

use crate::limits::{FLAGS_MAX, KEYWORD_BYTES_MAX};
use crate::wire::{Bad, Cursor, Parsed};

/// System flags with their names, in the order they are shown.
pub(crate) const SYSTEM: [(Flags, &str); 5] = [
    (Flags::ANSWERED, "\\Answered"),
    (Flags::FLAGGED, "\\Flagged"),
    (Flags::DELETED, "\\Deleted"),
    (Flags::SEEN, "\\Seen"),
    (Flags::DRAFT, "\\Draft"),
];

/// What RFC 9051 §2.3.2 asks servers to support. Others are as good; these are named before anybody used them.
pub(crate) const STANDARD_KEYWORDS: [&str; 5] = ["$MDNSent", "$Forwarded", "$Junk", "$NotJunk", "$Phishing"];

/// What becomes of a `\Recent` that a client writes.
#[derive(Debug, Clone, Copy)]
enum Recent {
    /// Some APPEND the flags that they fetched.
    PassedOver,
    Refused,
}

/// Flags of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FlagList {
    pub(crate) flags: Flags,
    pub(crate) keywords: Vec<String>,
}

impl FlagList {
    /// APPEND's `flag-list`: in parentheses.
    pub(crate) fn parse_for_append(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut list = Self::default();
        cursor.list(FLAGS_MAX, "Too many flags", |cursor| list.take(cursor, Recent::PassedOver))?;
        Ok(list)
    }

    /// STORE's: in parentheses, or bare (`flag *(SP flag)`).
    pub(crate) fn parse_for_store(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut list = Self::default();
        if cursor.peek() == Some(b'(') {
            cursor.list(FLAGS_MAX, "Too many flags", |cursor| list.take(cursor, Recent::Refused))?;
            return Ok(list);
        }
        for _ in 0..FLAGS_MAX {
            list.take(cursor, Recent::Refused)?;
            if !cursor.take(b' ') || cursor.is_at_end() {
                return Ok(list);
            }
        }
        Err(Bad::new("Too many flags"))
    }

    fn take(&mut self, cursor: &mut Cursor<'_>, recent: Recent) -> Parsed<()> {
        if cursor.take(b'\\') {
            let name = cursor.atom("Invalid system flag")?;
            let known = SYSTEM.iter().find(|(_, known)| known[1..].eq_ignore_ascii_case(name));
            match known {
                Some((flag, _)) => self.flags = self.flags.with(*flag),
                None if name.eq_ignore_ascii_case("Recent") => match recent {
                    Recent::PassedOver => {}
                    // RFC 3501 §2.3.2: a client cannot alter it; §9: `flag` does not include it.
                    Recent::Refused => return Err(Bad::new("\\Recent cannot be stored, it is the server's")),
                },
                None => return Err(Bad(format!("Invalid system flag \\{}", &name[..name.len().min(40)]).into())),
            }
            return Ok(());
        }
        let keyword = cursor.atom("Invalid flag")?;
        if keyword.len() > KEYWORD_BYTES_MAX {
            return Err(Bad::new("Keyword is too long"));
        }
        if !self.keywords.iter().any(|known| known.eq_ignore_ascii_case(keyword)) {
            self.keywords.push(keyword.to_owned());
        }
        Ok(())
    }

    /// Without the keywords that belong to the server.
    pub(crate) fn without_server_keywords(mut self) -> Self {
        self.keywords.retain(|keyword| !SERVER_KEYWORDS.iter().any(|server| server.eq_ignore_ascii_case(keyword)));
        self
    }

    /// What a STORE of these asks an entry with `flags` and `keywords` to become, compared without case: whether
    /// `now` is that.
    pub(crate) fn explains(&self, mode: FlagMode, before: (Flags, &str), now: (Flags, &str)) -> bool {
        let flags = match mode {
            FlagMode::Add => before.0.with(self.flags),
            FlagMode::Remove => before.0.without(self.flags),
            FlagMode::Replace => self.flags,
        };
        let has = |list: &str, word: &str| list.split(' ').any(|known| known.eq_ignore_ascii_case(word));
        let listed = |word: &str| self.keywords.iter().any(|known| known.eq_ignore_ascii_case(word));
        let wanted = |word: &str| match mode {
            FlagMode::Add => has(before.1, word) || listed(word),
            FlagMode::Remove => has(before.1, word) && !listed(word),
            FlagMode::Replace => listed(word),
        };
        let nothing_more = now.1.split(' ').filter(|word| !word.is_empty()).all(wanted);
        let nothing_less = match mode {
            FlagMode::Remove => true,
            FlagMode::Add | FlagMode::Replace => self.keywords.iter().all(|word| has(now.1, word)),
        };
        let kept = mode == FlagMode::Replace
            || before.1.split(' ').filter(|word| !word.is_empty() && wanted(word)).all(|word| has(now.1, word));
        flags == now.0 && nothing_more && nothing_less && kept
    }
}

/// The inside of a `FLAGS (…)`: system flags, keywords, `\Recent`.
pub(crate) fn write(out: &mut Vec<u8>, flags: Flags, keywords: &str, recent: bool) {
    let mut first = true;
    let mut put = |word: &str| {
        if !std::mem::take(&mut first) {
            out.push(b' ');
        }
        out.extend_from_slice(word.as_bytes());
    };
    for (flag, name) in SYSTEM {
        if flags.contains(flag) {
            put(name);
        }
    }
    if recent {
        put("\\Recent");
    }
    if !keywords.is_empty() {
        put(keywords);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> FlagList {
        FlagList::parse_for_store(&mut Cursor::new(text.as_bytes())).unwrap()
    }

    #[test]
    fn flags_are_read_with_and_without_parentheses_and_case() {
        let expected = FlagList { flags: Flags::SEEN.with(Flags::DELETED), keywords: vec!["$Forwarded".into()] };
        assert_eq!(list("(\\seen \\DELETED $Forwarded $forwarded)"), expected);
        assert_eq!(list("\\seen \\Deleted $Forwarded"), expected);
        assert_eq!(list("()"), FlagList::default());
        for text in ["(\\Foo)", "(", "\\", "(a \"b\")", "((a))"] {
            assert!(FlagList::parse_for_store(&mut Cursor::new(text.as_bytes())).is_err(), "{text}");
        }
    }

    #[test]
    fn recent_is_passed_over_in_an_append_and_refused_in_a_store() {
        let recent = "(\\Seen \\RECENT)";
        let appended = FlagList::parse_for_append(&mut Cursor::new(recent.as_bytes())).unwrap();
        assert_eq!(appended, FlagList { flags: Flags::SEEN, keywords: Vec::new() });
        for text in [recent, "\\Recent", "\\Seen \\recent"] {
            let refused = FlagList::parse_for_store(&mut Cursor::new(text.as_bytes())).unwrap_err();
            assert_eq!(refused.0, "\\Recent cannot be stored, it is the server's", "{text}");
        }
    }

    #[test]
    fn what_the_server_says_cannot_be_appended() {
        assert_eq!(list("($PAID $Junk $unpaid)").without_server_keywords().keywords, ["$Junk"]);
    }

    #[test]
    fn a_store_explains_the_result_it_asked_for_and_no_other() {
        let seen = (Flags::SEEN, "");
        assert!(list("\\Seen").explains(FlagMode::Add, (Flags::NONE, ""), seen));
        assert!(list("()").explains(FlagMode::Replace, seen, (Flags::NONE, "")));
        assert!(list("$a").explains(FlagMode::Add, (Flags::NONE, "$b"), (Flags::NONE, "$b $A")));
        assert!(!list("$Paid").explains(FlagMode::Remove, (Flags::NONE, "$Paid"), (Flags::NONE, "$Paid")));
        assert!(!list("$Paid").explains(FlagMode::Add, (Flags::NONE, ""), (Flags::NONE, "")));
        assert!(!list("()").explains(FlagMode::Replace, (Flags::NONE, "$Paid"), (Flags::NONE, "$Paid")));
        assert!(!list("$a").explains(FlagMode::Add, (Flags::NONE, "$b"), (Flags::NONE, "$a")));
    }

    #[test]
    fn flags_are_written_with_single_spaces() {
        let written = |flags, keywords, recent| {
            let mut out = Vec::new();
            write(&mut out, flags, keywords, recent);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(Flags::NONE, "", false), "");
        assert_eq!(written(Flags::SEEN.with(Flags::ANSWERED), "$a $b", true), "\\Answered \\Seen \\Recent $a $b");
        assert_eq!(written(Flags::NONE, "$a", false), "$a");
    }
}
