//! ENVELOPE, BODY and BODYSTRUCTURE as the octets that go over the wire (RFC 3501 §7.4.2, RFC 9051 §7.5.2).
//!
//! Strings are quoted where IMAP allows it. A value with 8-bit octets becomes a literal, which is valid
//! under every capability; NUL, which IMAP can say nowhere, becomes `?`. Encoded words stay as they are.
//! Odd messages render as Dovecot renders them; `src/tests/render.rs` has the table.

use std::ops::{Deref, Range};

use crate::address::{AddressReader, Entry};
use crate::fields::{Field, fields};
use crate::limits::{ADDRESSES_MAX, RENDERED_BYTES_MAX};
use crate::octets::{Octets, count_lines, header};
use crate::scan::{PartKind, Structure};
use crate::words::{Parameter, Words, content_type, disposition, unfold};

/// Appends a string: quoted, or a literal.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    if !text.is_ascii() {
        out.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
        out.extend(text.iter().map(|&byte| if byte == 0 { b'?' } else { byte }));
        return;
    }
    out.push(b'"');
    if text.iter().all(|&byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.extend_from_slice(text);
    } else {
        for &byte in text {
            match byte {
                // QUOTED-CHAR: no CR, LF or NUL (RFC 3501 §9).
                b'\r' | b'\n' => {}
                0 => out.push(b'?'),
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                _ => out.push(byte),
            }
        }
    }
    out.push(b'"');
}

fn push_nstring(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => push_string(out, &unfold(value)),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// A kind of address field, in the order of ENVELOPE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    From,
    Sender,
    ReplyTo,
    To,
    Cc,
    Bcc,
}

/// The fields of one part that are rendered. The first of each counts, but all of the addresses.
#[derive(Debug)]
struct Gathered<P> {
    date: Option<P>,
    subject: Option<P>,
    in_reply_to: Option<P>,
    message_id: Option<P>,
    people: Vec<(Role, P)>,
    content_type: Option<P>,
    encoding: Option<P>,
    id: Option<P>,
    description: Option<P>,
    md5: Option<P>,
    disposition: Option<P>,
    language: Option<P>,
    location: Option<P>,
}

/// What may still be rendered.
struct Budget {
    bytes: usize,
}

impl<P: Deref<Target = [u8]>> Gathered<P> {
    fn read<O: Octets<Piece = P>>(message: &mut O, part: &Range<usize>, budget: &mut Budget) -> Self {
        let mut all = Self {
            date: None,
            subject: None,
            in_reply_to: None,
            message_id: None,
            people: Vec::new(),
            content_type: None,
            encoding: None,
            id: None,
            description: None,
            md5: None,
            disposition: None,
            language: None,
            location: None,
        };
        for field in fields(&header(message, part)) {
            all.add(&field, budget, || message.read(field.value_range(part.start)));
        }
        all
    }

    fn add(&mut self, field: &Field<'_>, budget: &mut Budget, value: impl FnOnce() -> P) {
        let role = match field.name.len() {
            2 if field.is("To") => Role::To,
            2 if field.is("Cc") => Role::Cc,
            3 if field.is("Bcc") => Role::Bcc,
            4 if field.is("From") => Role::From,
            6 if field.is("Sender") => Role::Sender,
            8 if field.is("Reply-To") => Role::ReplyTo,
            _ => {
                let Some(slot) = self.slot(field) else { return };
                if slot.is_none() && field.value.len() <= budget.bytes {
                    budget.bytes -= field.value.len();
                    *slot = Some(value());
                }
                return;
            }
        };
        if field.value.len() <= budget.bytes {
            budget.bytes -= field.value.len();
            self.people.push((role, value()));
        }
    }

    fn slot(&mut self, field: &Field<'_>) -> Option<&mut Option<P>> {
        Some(match field.name.len() {
            4 if field.is("Date") => &mut self.date,
            7 if field.is("Subject") => &mut self.subject,
            10 if field.is("Message-ID") => &mut self.message_id,
            10 if field.is("Content-ID") => &mut self.id,
            11 if field.is("In-Reply-To") => &mut self.in_reply_to,
            11 if field.is("Content-MD5") => &mut self.md5,
            12 if field.is("Content-Type") => &mut self.content_type,
            16 if field.is("Content-Language") => &mut self.language,
            16 if field.is("Content-Location") => &mut self.location,
            19 if field.is("Content-Description") => &mut self.description,
            19 if field.is("Content-Disposition") => &mut self.disposition,
            25 if field.is("Content-Transfer-Encoding") => &mut self.encoding,
            _ => return None,
        })
    }
}

/// The three answers about one mail, each with its parentheses.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub(crate) envelope: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) bodystructure: Vec<u8>,
}

/// Renders a scanned mail.
pub(crate) fn render<O: Octets>(message: &mut O, structure: &Structure) -> Rendered {
    let mut budget = Budget { bytes: RENDERED_BYTES_MAX };
    let gathered = structure.parts.iter().map(|part| Gathered::read(message, &part.header, &mut budget)).collect();
    let lines = vec![None; structure.parts.len()];
    let mut renderer = Renderer { message, structure, gathered, lines, people: AddressReader::default(), addresses: 0 };
    let mut rendered = Rendered { envelope: Vec::with_capacity(512), ..Rendered::default() };
    renderer.envelope(&mut rendered.envelope, 0);
    renderer.part(&mut rendered.body, 0, Detail::Body);
    renderer.addresses = 0;
    renderer.part(&mut rendered.bodystructure, 0, Detail::BodyStructure);
    rendered
}

/// Which answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Body,
    BodyStructure,
}

struct Renderer<'a, O: Octets> {
    message: &'a mut O,
    structure: &'a Structure,
    gathered: Vec<Gathered<O::Piece>>,
    /// Lines of each body, once counted.
    lines: Vec<Option<u64>>,
    people: AddressReader,
    /// Rendered so far.
    addresses: usize,
}

impl<O: Octets> Renderer<'_, O> {
    fn envelope(&mut self, out: &mut Vec<u8>, part: usize) {
        out.push(b'(');
        push_nstring(out, self.gathered[part].date.as_deref());
        out.push(b' ');
        push_nstring(out, self.gathered[part].subject.as_deref());
        out.push(b' ');
        let from = out.len();
        self.people(out, part, Role::From);
        let from = from..out.len();
        for role in [Role::Sender, Role::ReplyTo] {
            out.push(b' ');
            let start = out.len();
            self.people(out, part, role);
            if &out[start..] == b"NIL" {
                // RFC 3501 §7.4.2: absent or empty, these default to From.
                out.truncate(start);
                out.extend_from_within(from.clone());
            }
        }
        for role in [Role::To, Role::Cc, Role::Bcc] {
            out.push(b' ');
            self.people(out, part, role);
        }
        out.push(b' ');
        push_nstring(out, self.gathered[part].in_reply_to.as_deref());
        out.push(b' ');
        push_nstring(out, self.gathered[part].message_id.as_deref());
        out.push(b')');
    }

    /// The addresses of all fields of one role, or `NIL`.
    fn people(&mut self, out: &mut Vec<u8>, part: usize, role: Role) {
        let start = out.len();
        let Self { gathered, people, addresses, .. } = self;
        for (_, value) in gathered[part].people.iter().filter(|(found, _)| *found == role) {
            people.read(value, |entry| {
                if *addresses < ADDRESSES_MAX {
                    *addresses += 1;
                    if out.len() == start {
                        out.push(b'(');
                    }
                    push_address(out, entry);
                }
            });
        }
        out.extend_from_slice(if out.len() == start { b"NIL" } else { b")" });
    }

    fn part(&mut self, out: &mut Vec<u8>, index: usize, detail: Detail) {
        let structure = self.structure;
        let part = &structure.parts[index];
        out.push(b'(');
        if part.kind == PartKind::Multipart {
            for child in structure.children(index) {
                self.part(out, child, detail);
            }
            self.multipart(out, index, detail);
        } else {
            self.single(out, index, detail);
        }
        out.push(b')');
    }

    fn multipart(&self, out: &mut Vec<u8>, index: usize, detail: Detail) {
        let typed = self.gathered[index].content_type.as_deref().and_then(content_type).unwrap_or_default();
        out.push(b' ');
        push_string(out, if typed.subtype.is_empty() { b"mixed" } else { typed.subtype });
        if detail == Detail::BodyStructure {
            out.push(b' ');
            push_parameters(out, &typed.parameters, false);
            self.extension(out, index);
        }
    }

    fn single(&mut self, out: &mut Vec<u8>, index: usize, detail: Detail) {
        let part = &self.structure.parts[index];
        let header = &self.gathered[index];
        let typed = if part.opaque { None } else { header.content_type.as_deref().and_then(content_type) };
        let (kind, subtype): (&[u8], &[u8]) = match &typed {
            Some(typed) => (typed.value, typed.subtype),
            None if part.opaque => (b"application", b"octet-stream"),
            None if part.digested => (b"message", b"rfc822"),
            None => (b"text", b"plain"),
        };
        let text = kind.eq_ignore_ascii_case(b"text");
        push_string(out, kind);
        out.push(b' ');
        push_string(out, subtype);
        out.push(b' ');
        push_parameters(out, typed.as_ref().map_or(&[], |typed| &typed.parameters), text);
        for value in [&header.id, &header.description] {
            out.push(b' ');
            push_nstring(out, value.as_deref());
        }
        out.push(b' ');
        // RFC 2045 §6.1: 7bit unless it says otherwise; what is no token says nothing.
        let token = header.encoding.as_deref().map_or(&b""[..], |value| {
            let mut words = Words::new(value);
            words.skip_cfws();
            words.token()
        });
        push_string(out, if token.is_empty() { b"7bit" } else { token });
        out.extend_from_slice(format!(" {}", part.body.len()).as_bytes());
        if part.kind == PartKind::Message {
            out.push(b' ');
            self.envelope(out, index + 1);
            out.push(b' ');
            self.part(out, index + 1, detail);
        }
        if text || part.kind == PartKind::Message {
            out.extend_from_slice(format!(" {}", self.lines(index)).as_bytes());
        }
        if detail == Detail::BodyStructure {
            out.push(b' ');
            push_nstring(out, self.gathered[index].md5.as_deref());
            self.extension(out, index);
        }
    }

    /// Disposition, language and location.
    fn extension(&self, out: &mut Vec<u8>, index: usize) {
        let header = &self.gathered[index];
        out.push(b' ');
        match header.disposition.as_deref().and_then(disposition) {
            Some(disposition) => {
                out.push(b'(');
                push_string(out, disposition.value);
                out.push(b' ');
                push_parameters(out, &disposition.parameters, false);
                out.push(b')');
            }
            None => out.extend_from_slice(b"NIL"),
        }
        out.push(b' ');
        push_languages(out, header.language.as_deref());
        out.push(b' ');
        push_nstring(out, header.location.as_deref());
    }

    /// Line endings in a body. Each octet is looked at once, however deep messages nest.
    fn lines(&mut self, index: usize) -> u64 {
        if let Some(lines) = self.lines[index] {
            return lines;
        }
        let structure = self.structure;
        let part = &structure.parts[index];
        let mut lines = 0;
        let mut at = part.body.start;
        let mut inner = Vec::new();
        for child in structure.children(index) {
            let body = structure.parts[child].body.clone();
            lines += count_lines(self.message, at..body.start);
            inner.push(child);
            at = body.end.max(at);
        }
        lines += count_lines(self.message, at..part.body.end);
        lines += inner.into_iter().map(|child| self.lines(child)).sum::<u64>();
        self.lines[index] = Some(lines);
        lines
    }
}

fn push_address(out: &mut Vec<u8>, entry: Entry<'_>) {
    let push = |out: &mut Vec<u8>, value: Option<&[u8]>| match value {
        Some(value) => push_string(out, value),
        None => out.extend_from_slice(b"NIL"),
    };
    match entry {
        Entry::Address { name, route, mailbox, host } => {
            out.push(b'(');
            push(out, name);
            out.push(b' ');
            push(out, route);
            out.push(b' ');
            // NIL would mean a group here, so Dovecot invents names, and clients know them.
            push_string(out, if mailbox.is_empty() { b"MISSING_MAILBOX" } else { mailbox });
            out.push(b' ');
            push_string(out, if host.is_empty() { b"MISSING_DOMAIN" } else { host });
            out.push(b')');
        }
        Entry::GroupStart(name) => {
            out.extend_from_slice(b"(NIL NIL ");
            push_string(out, name);
            out.extend_from_slice(b" NIL)");
        }
        Entry::GroupEnd => out.extend_from_slice(b"(NIL NIL NIL NIL)"),
    }
}

fn push_parameters(out: &mut Vec<u8>, parameters: &[Parameter<'_>], text: bool) {
    // RFC 2045 §5.2: text without a charset is US-ASCII; Dovecot writes it out.
    let charset = text && !parameters.iter().any(|parameter| parameter.name.eq_ignore_ascii_case(b"charset"));
    if parameters.is_empty() && !charset {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for (index, parameter) in parameters.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        push_string(out, &parameter.name);
        out.push(b' ');
        push_string(out, &parameter.value);
    }
    if charset {
        out.extend_from_slice(if parameters.is_empty() { b"" } else { b" " });
        out.extend_from_slice(b"\"charset\" \"us-ascii\"");
    }
    out.push(b')');
}

/// Content-Language (RFC 3282): a list of tags.
fn push_languages(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let start = out.len();
    let mut words = Words::new(value.unwrap_or_default());
    while words.peek().is_some() {
        words.skip_cfws();
        let tag = words.token();
        if tag.is_empty() {
            words.bump();
        } else {
            out.push(if out.len() == start { b'(' } else { b' ' });
            push_string(out, tag);
        }
    }
    out.extend_from_slice(if out.len() == start { b"NIL" } else { b")" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_always_valid_imap() {
        let table: &[(&[u8], &[u8])] = &[
            (b"", b"\"\""),
            (b"a \"b\" \\", b"\"a \\\"b\\\" \\\\\""),
            (b"a\r\nb\0c\td", b"\"ab?c\td\""),
            (b"\xc3\xbc\0", b"{3}\r\n\xc3\xbc?"),
        ];
        for (text, expected) in table {
            let mut out = Vec::new();
            push_string(&mut out, text);
            assert_eq!(out, *expected);
        }
    }
}
