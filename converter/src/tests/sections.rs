//! `BODY[section]`: each range against the octets it must show. The mails are those of imaptest's
//! `fetch-body-*` scripts in shape.

use crate::{SectionKind, Summary};

const INNER: &str = "From: sub@domain.org\nSubject: submsg\nContent-Type: multipart/digest; boundary=\"foo\"\n\n\
    prologue\n\n--foo \n\nFrom: m1@example.com\nSubject: m1\n\nm1 body\n\n--foo \nX-Mime: m2 header\n\n\
    From: m2@example.com\n\nm2 body\n\n--foo--\n\nepilogue\n";

fn section(message: &str, path: &[u32], kind: SectionKind) -> Option<String> {
    let summary = Summary::of(message.as_bytes());
    let decoded = Summary::decode(&summary.encode()).unwrap();
    let range = decoded.section(path, kind)?;
    Some(message[range.start as usize..range.end as usize].to_owned())
}

#[track_caller]
fn expect(message: &str, path: &[u32], kind: SectionKind, expected: Option<&str>) {
    assert_eq!(section(message, path, kind).as_deref(), expected, "{path:?} {kind:?}");
}

#[test]
fn a_mail_that_is_a_message_numbers_its_inner_parts_below_1() {
    use SectionKind::{Header, Mime, Text, Whole};
    let outer = "From: user@domain.org\nContent-Type: message/rfc822\n\n";
    let message = format!("{outer}{INNER}");
    let inner_header = &INNER[..=INNER.find("\n\n").unwrap() + 1];
    expect(&message, &[], Whole, Some(&message));
    expect(&message, &[], Header, Some(outer));
    expect(&message, &[], Text, Some(INNER));
    expect(&message, &[], Mime, None);
    expect(&message, &[1], Whole, Some(INNER));
    expect(&message, &[1], Mime, Some(outer));
    expect(&message, &[1], Header, Some(inner_header));
    expect(&message, &[1], Text, Some(&INNER[inner_header.len()..]));
    expect(&message, &[1, 1], Whole, Some("From: m1@example.com\nSubject: m1\n\nm1 body\n"));
    expect(&message, &[1, 1], Mime, Some("\n"));
    expect(&message, &[1, 1], Header, Some("From: m1@example.com\nSubject: m1\n\n"));
    expect(&message, &[1, 1], Text, Some("m1 body\n"));
    expect(&message, &[1, 1, 1], Whole, Some("m1 body\n"));
    expect(&message, &[1, 2], Mime, Some("X-Mime: m2 header\n\n"));
    expect(&message, &[1, 2], Header, Some("From: m2@example.com\n\n"));
    for none in [&[2][..], &[0], &[1, 0], &[1, 3], &[1, 1, 2], &[1, 1, 1, 1], &[u32::MAX]] {
        expect(&message, none, Whole, None);
    }
}

#[test]
fn a_message_in_a_message_in_a_message_is_numbered_by_level() {
    use SectionKind::{Header, Text, Whole};
    let rfc822 = "From: user2@domain.org\nContent-Type: message/rfc822\n\n";
    let innermost = "Subject: submsg\n\nHello world\n";
    let message = format!("{rfc822}{rfc822}{innermost}");
    expect(&message, &[1], Header, Some(rfc822));
    expect(&message, &[1], Text, Some(innermost));
    expect(&message, &[1, 1], Whole, Some(innermost));
    expect(&message, &[1, 1], Header, Some("Subject: submsg\n\n"));
    expect(&message, &[1, 1], Text, Some("Hello world\n"));
    expect(&message, &[1, 1, 1], Whole, Some("Hello world\n"));
    expect(&message, &[1, 1, 1], Text, None);
}

#[test]
fn plain_and_multipart_mails_are_numbered_from_1() {
    use SectionKind::{Header, Mime, Text, Whole};
    let plain = "Subject: x\r\n\r\nbody\r\n";
    expect(plain, &[1], Whole, Some("body\r\n"));
    expect(plain, &[1], Mime, Some("Subject: x\r\n\r\n"));
    expect(plain, &[1], Header, None);
    expect(plain, &[1, 1], Whole, None);
    let mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\nA: 1\r\n\r\none\r\n--b\r\n\
        Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\ntwo\r\n--c--\r\n--b--\r\npost\r\n";
    expect(mixed, &[1], Whole, Some("one"));
    expect(mixed, &[1], Mime, Some("A: 1\r\n\r\n"));
    expect(mixed, &[2], Whole, Some("--c\r\n\r\ntwo\r\n--c--"));
    expect(mixed, &[2], Text, None);
    expect(mixed, &[2, 1], Whole, Some("two"));
    expect(mixed, &[2, 1], Mime, Some("\r\n"));
    expect(mixed, &[2, 2], Whole, None);
    expect(mixed, &[3], Whole, None);
    let empty = "Content-Type: multipart/mixed\r\n\r\nlost\r\n";
    expect(empty, &[1], Whole, Some(""));
    expect(empty, &[], Text, Some("lost\r\n"));
}
