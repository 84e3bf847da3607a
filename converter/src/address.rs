//! Address lists (RFC 5322 §3.4, with the obsolete forms of §4.4), read once for ENVELOPE and for the
//! rules of the house, so that both always see the same author.
//!
//! Where the grammar is broken the reading follows Dovecot: what can be shown is shown.

use crate::words::Words;

/// One entry of a list, as IMAP counts them (RFC 3501 §7.4.2): an address or an end of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry<'b> {
    Address {
        /// The display name, or else the comment; unquoted, encoded words left as they are.
        name: Option<&'b [u8]>,
        /// `@a,@b` of the obsolete source route.
        route: Option<&'b [u8]>,
        /// The local part without quoting; may be empty.
        mailbox: &'b [u8],
        /// The domain; may be empty.
        host: &'b [u8],
    },
    GroupStart(&'b [u8]),
    GroupEnd,
}

/// Reads the lists of any number of fields; its buffers serve one after the other.
#[derive(Default)]
pub(crate) struct AddressReader {
    /// The words so far as a display name.
    phrase: Vec<u8>,
    /// Where the last word begins in `phrase`.
    name_end: usize,
    /// The last word, or the inside of `<>`, as an address without whitespace.
    spec: Vec<u8>,
    /// The last unquoted `@` in `spec`.
    at: Option<usize>,
    comment: Vec<u8>,
    route: Vec<u8>,
}

impl AddressReader {
    /// Calls `entry` for each entry of `value`. One pass, whatever `value` holds.
    pub(crate) fn read(&mut self, value: &[u8], mut entry: impl FnMut(Entry<'_>)) {
        let mut words = Words::new(value);
        let mut in_group = false;
        // Whether whitespace stands between the last word and the next.
        let mut spaced = false;
        self.clear();
        while let Some(byte) = words.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    words.bump();
                    spaced = true;
                    continue;
                }
                b'(' => {
                    self.comment.clear();
                    words.comment(Some(&mut self.comment));
                    spaced = true;
                    continue;
                }
                b'<' => {
                    words.bump();
                    self.angle(&mut words);
                    entry(self.address(self.phrase.len()));
                    // What follows up to the separator belongs to nobody.
                    skip_to_separator(&mut words);
                    self.clear();
                }
                b',' => {
                    words.bump();
                    self.flush(&mut entry);
                }
                b';' => {
                    // Outside of a group it separates nothing, but people who type lists think so.
                    words.bump();
                    self.flush(&mut entry);
                    if in_group {
                        entry(Entry::GroupEnd);
                    }
                    in_group = false;
                }
                b':' if !in_group && self.at.is_none() && !self.phrase.is_empty() => {
                    words.bump();
                    entry(Entry::GroupStart(&self.phrase));
                    in_group = true;
                    self.clear();
                }
                _ => self.word(&mut words, spaced),
            }
            spaced = false;
        }
        self.flush(&mut entry);
        if in_group {
            entry(Entry::GroupEnd);
        }
    }

    fn clear(&mut self) {
        self.phrase.clear();
        self.name_end = 0;
        self.spec.clear();
        self.at = None;
        self.comment.clear();
        self.route.clear();
    }

    /// Reads one octet, quoted string or domain literal outside of `<>`.
    fn word(&mut self, words: &mut Words<'_>, spaced: bool) {
        let next = words.peek();
        // RFC 5322 §4.4 allows space around the dots and the `@` of an address; any other space
        // means that what came before was a name.
        let glued = matches!(next, Some(b'.' | b'@')) || matches!(self.spec.last(), Some(b'.' | b'@'));
        if spaced {
            if !glued {
                self.name_end = self.phrase.len();
                self.spec.clear();
                self.at = None;
            }
            if !self.phrase.is_empty() {
                self.phrase.push(b' ');
            }
        }
        let start = self.spec.len();
        self.atom(words);
        let Self { phrase, spec, .. } = self;
        phrase.extend_from_slice(&spec[start..]);
    }

    /// Appends one octet, quoted string or domain literal to `spec`.
    fn atom(&mut self, words: &mut Words<'_>) {
        match words.peek() {
            Some(b'"') => words.quoted_into(&mut self.spec),
            Some(b'[') => {
                self.spec.extend_from_slice(words.until(|byte| matches!(byte, b']' | b',' | b'\r' | b'\n')));
            }
            Some(b'@') => {
                words.bump();
                self.at = Some(self.spec.len());
                self.spec.push(b'@');
            }
            _ => self.spec.extend(words.bump()),
        }
    }

    /// Reads the inside of `<>` into `spec` and `route`. A missing `>` ends at the next comma.
    fn angle(&mut self, words: &mut Words<'_>) {
        self.spec.clear();
        self.at = None;
        loop {
            words.skip_cfws();
            let in_route = self.spec.first() == Some(&b'@');
            match words.peek() {
                None | Some(b'>') => break,
                Some(b',') if !in_route => return,
                Some(b':') if in_route => {
                    words.bump();
                    write_route(&self.spec, &mut self.route);
                    self.spec.clear();
                    self.at = None;
                }
                _ => self.atom(words),
            }
        }
        words.eat(b'>');
    }

    /// Ends a bare address, if one was begun.
    fn flush(&mut self, entry: &mut impl FnMut(Entry<'_>)) {
        if !self.spec.is_empty() {
            entry(self.address(self.name_end));
        }
        self.clear();
    }

    /// What was read as an entry, the first `name_end` octets of the phrase being its name.
    fn address(&self, name_end: usize) -> Entry<'_> {
        let some = |bytes| if <[u8]>::is_empty(bytes) { None } else { Some(bytes) };
        let (mailbox, host) = match self.at {
            Some(at) => (&self.spec[..at], &self.spec[at + 1..]),
            None => (&self.spec[..], &b""[..]),
        };
        let name = some(&self.phrase[..name_end]).or_else(|| some(self.comment.trim_ascii()));
        Entry::Address { name, route: some(&self.route), mailbox, host }
    }
}

/// Writes `@a@b` and `@a,@b` alike as `@a,@b`.
fn write_route(spec: &[u8], route: &mut Vec<u8>) {
    route.clear();
    for hop in spec.split(|byte| matches!(byte, b'@' | b',')).filter(|hop| !hop.is_empty()) {
        if !route.is_empty() {
            route.push(b',');
        }
        route.push(b'@');
        route.extend_from_slice(hop);
    }
}

/// Moves to the next `,` or `;`.
fn skip_to_separator(words: &mut Words<'_>) {
    loop {
        words.skip_cfws();
        match words.peek() {
            None | Some(b',' | b';') => return,
            Some(b'"') => {
                words.quoted();
            }
            // A second address without a comma in between is still an address.
            Some(b'<') => return,
            Some(_) => {
                words.bump();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Vec<String> {
        let mut out = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        AddressReader::default().read(value.as_bytes(), |entry| {
            out.push(match entry {
                Entry::Address { name, route, mailbox, host } => {
                    let name = name.map_or_else(|| "-".to_owned(), text);
                    let route = route.map_or_else(String::new, |route| format!("{} ", text(route)));
                    format!("{name}|{route}{}|{}", text(mailbox), text(host))
                }
                Entry::GroupStart(name) => format!("{}:", text(name)),
                Entry::GroupEnd => ";".to_owned(),
            });
        });
        out
    }

    #[test]
    fn addresses_are_read_in_all_their_forms() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            (" , ,, ", &[]),
            ("user@domain", &["-|user|domain"]),
            ("<user@domain>", &["-|user|domain"]),
            ("foo bar <user@domain>", &["foo bar|user|domain"]),
            ("\"foo \\\"x\\\" bar\" <user@domain>", &["foo \"x\" bar|user|domain"]),
            ("John Q. Public <jqp@x.test>", &["John Q. Public|jqp|x.test"]),
            ("<@route:user@domain>", &["-|@route user|domain"]),
            ("<@route@route2:user@domain>", &["-|@route,@route2 user|domain"]),
            ("hello <@route ,@route2:user@domain>", &["hello|@route,@route2 user|domain"]),
            ("user (hello)", &["hello|user|"]),
            ("hello <user>", &["hello|user|"]),
            ("@domain", &["-||domain"]),
            ("<>", &["-||"]),
            ("user@domain (Real Name)", &["Real Name|user|domain"]),
            ("Bob bob@x.test", &["Bob|bob|x.test"]),
            ("pete . m @ silly . test", &["-|pete.m|silly.test"]),
            ("\"john doe\"@x.test, a@[IPv6:::1]", &["-|john doe|x.test", "-|a|[IPv6:::1]"]),
            ("\"a@b\" <c@d>", &["a@b|c|d"]),
            ("\"a@b\"@c", &["-|a@b|c"]),
            ("=?utf-8?q?J=C3=B6rg?= <j@x>", &["=?utf-8?q?J=C3=B6rg?=|j|x"]),
            ("g: a@b, c@d;, e@f", &["g:", "-|a|b", "-|c|d", ";", "-|e|f"]),
            ("undisclosed-recipients:;", &["undisclosed-recipients:", ";"]),
            ("open: a@b", &["open:", "-|a|b", ";"]),
            ("a@b; c@d", &["-|a|b", "-|c|d"]),
            ("x <a@b, y <c@d>", &["x|a|b", "y|c|d"]),
            ("a@b <c@d>", &["a@b|c|d"]),
            ("<a@b> <c@d>", &["-|a|b", "-|c|d"]),
        ];
        for (value, expected) in table {
            assert_eq!(read(value), *expected, "{value:?}");
        }
    }
}
