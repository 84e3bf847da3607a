//! Reads what SORT and THREAD need back out of a summary's ENVELOPE, so that they go by what clients see.

use std::borrow::Cow;

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use crate::wire::{Cursor, Parsed};

/// An `nstring`.
type Text<'a> = Option<Cow<'a, [u8]>>;

/// The first address of a field; a group counts with its name as the mailbox (RFC 3501 §7.4.2).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Address<'a> {
    pub(super) name: Text<'a>,
    pub(super) mailbox: Text<'a>,
    pub(super) host: Text<'a>,
}

/// Parts of an ENVELOPE.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Envelope<'a> {
    pub(super) subject: Text<'a>,
    pub(super) from: Address<'a>,
    pub(super) to: Address<'a>,
    pub(super) cc: Address<'a>,
    pub(super) in_reply_to: Text<'a>,
    pub(super) message_id: Text<'a>,
}

impl<'a> Envelope<'a> {
    /// From the answer to ENVELOPE. What cannot be read, which we did not write, is empty.
    pub(super) fn read(rendered: &'a [u8]) -> Self {
        Self::parse(&mut Cursor::new(rendered)).unwrap_or_default()
    }

    fn parse(cursor: &mut Cursor<'a>) -> Parsed<Self> {
        cursor.expect(b'(', "Not an envelope")?;
        cursor.nstring()?;
        cursor.space()?;
        let subject = cursor.nstring()?;
        let mut addresses = || {
            cursor.space()?;
            first_address(cursor)
        };
        let from = addresses()?;
        let (_sender, _reply_to) = (addresses()?, addresses()?);
        let (to, cc, _bcc) = (addresses()?, addresses()?, addresses()?);
        cursor.space()?;
        let in_reply_to = cursor.nstring()?;
        cursor.space()?;
        Ok(Self { subject, from, to, cc, in_reply_to, message_id: cursor.nstring()? })
    }
}

fn first_address<'a>(cursor: &mut Cursor<'a>) -> Parsed<Address<'a>> {
    if cursor.take_word("NIL") {
        return Ok(Address::default());
    }
    cursor.expect(b'(', "Not an address list")?;
    let mut first = None;
    while cursor.take(b'(') {
        let name = cursor.nstring()?;
        cursor.space()?;
        cursor.nstring()?;
        cursor.space()?;
        let mailbox = cursor.nstring()?;
        cursor.space()?;
        let host = cursor.nstring()?;
        cursor.expect(b')', "Not an address")?;
        first.get_or_insert(Address { name, mailbox, host });
    }
    cursor.expect(b')', "Not an address list")?;
    Ok(first.unwrap_or_default())
}

/// A field's text for people, its encoded words decoded (RFC 2047).
pub(super) fn decoded(value: &[u8]) -> String {
    if memchr::memmem::find(value, b"=?").is_some() {
        let line = [value, b"\r\n"].concat();
        if let HeaderValue::Text(text) = MessageStream::new(&line).parse_unstructured() {
            return text.into_owned();
        }
    }
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use converter::Summary;

    #[test]
    fn envelopes_are_read_as_they_are_written() {
        let mail =
            b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= \"x\"\r\nFrom: A \"B\" <ab@example.org>, c@d\r\nTo: Team: x@y;\r\n\
            In-Reply-To: <a@b>\r\nMessage-ID: <c@d>\r\n\r\n";
        let summary = Summary::of(mail);
        let envelope = Envelope::read(&summary.envelope);
        let text = |text: &Text<'_>| text.as_deref().map(decoded);
        assert_eq!(text(&envelope.subject).as_deref(), Some("Grüße \"x\""));
        assert_eq!(
            (text(&envelope.from.mailbox).as_deref(), text(&envelope.from.host).as_deref()),
            (Some("ab"), Some("example.org"))
        );
        assert_eq!((text(&envelope.to.mailbox).as_deref(), envelope.to.host), (Some("Team"), None));
        assert_eq!(envelope.cc, Address::default());
        assert_eq!(
            (envelope.in_reply_to.as_deref(), envelope.message_id.as_deref()),
            (Some(&b"<a@b>"[..]), Some(&b"<c@d>"[..]))
        );
        assert_eq!(Envelope::read(b"(x"), Envelope::default());
    }
}
