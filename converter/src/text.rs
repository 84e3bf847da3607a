//! From raw header values to Unicode: encoded words (RFC 2047) and parameters (RFC 2231).
//!
//! The decoders are mail-parser's; what goes in is bounded first.

use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;
use mail_parser::{DateTime, HeaderValue};

use crate::limits::DECODED_BYTES_MAX;
use crate::words::{Parameterised, unfold};

/// When a mail says it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentDate {
    /// Seconds since 1970-01-01 UTC.
    pub unix: i64,
    /// Minutes east of UTC: SENTBEFORE and its kin compare the date where the author was
    /// (RFC 3501 §6.4.4, "disregarding time and timezone").
    pub zone_minutes: i16,
}

/// Reads a Date field (RFC 5322 §3.3 and §4.3). RFC 5256 §2.2: a zone that is missing or broken counts as UTC, a time as
/// midnight.
pub(crate) fn parse_date(value: &[u8]) -> Option<SentDate> {
    let text = unfold(&value[..value.len().min(200)]).into_owned();
    let date = read_date(&text).or_else(|| read_date(&[&text, &b" +0000"[..]].concat())).or_else(|| read_day(&text))?;
    let minutes = i16::from(date.tz_hour) * 60 + i16::from(date.tz_minute);
    let zone_minutes = if date.tz_before_gmt { -minutes } else { minutes };
    Some(SentDate { unix: date.to_timestamp(), zone_minutes })
}

fn read_date(text: &[u8]) -> Option<DateTime> {
    let HeaderValue::DateTime(mut date) = MessageStream::new(&[text, b"\n"].concat()).parse_date() else { return None };
    // RFC 5322 §3.3 knows leap seconds.
    date.second = if date.second == 60 { 59 } else { date.second };
    (date.is_valid() && is_in_calendar(&date)).then_some(date)
}

/// Whether its month has this day.
fn is_in_calendar(date: &DateTime) -> bool {
    let midnight = DateTime { hour: 0, minute: 0, second: 0, tz_hour: 0, tz_minute: 0, ..*date };
    DateTime::from_timestamp(midnight.to_timestamp()).day == date.day
}

/// A day whose time makes no sense: its midnight, in the zone if that is one.
fn read_day(text: &[u8]) -> Option<DateTime> {
    let text = std::str::from_utf8(text).ok()?;
    let words: Vec<&str> = text.split([' ', '\t', ',']).filter(|word| !word.is_empty()).collect();
    let is_number = |word: &str| word.bytes().all(|octet| octet.is_ascii_digit());
    let day = words.windows(3).find(|three| is_number(three[0]) && !is_number(three[1]) && is_number(three[2]))?;
    let is_zone = |word: &&&str| word.len() == 5 && word.starts_with(['+', '-']) && is_number(&word[1..]);
    let zone = words.iter().find(is_zone).unwrap_or(&"+0000");
    read_date(format!("{} {} {} 00:00:00 {zone}", day[0], day[1], day[2]).as_bytes())
}

/// Decodes the encoded words of a value, for people to read; at most [`DECODED_BYTES_MAX`] of it.
pub(crate) fn decode_unstructured(value: &[u8]) -> String {
    let value = unfold(&value[..value.len().min(DECODED_BYTES_MAX)]);
    if memchr::memmem::find(&value, b"=?").is_none() {
        return String::from_utf8_lossy(&value).into_owned();
    }
    let line = [&*value, b"\n"].concat();
    match MessageStream::new(&line).parse_unstructured() {
        HeaderValue::Text(text) => text.trim().to_owned(),
        _ => String::from_utf8_lossy(&value).into_owned(),
    }
}

/// The file name among the parameters: `name*` (RFC 2231), or `name` with encoded words, which RFC 2047
/// forbids there and everybody writes.
pub(crate) fn decode_filename(from: &Parameterised<'_>, name: &str) -> Option<String> {
    let decoded = match from.parameter(&format!("{name}*")) {
        Some(extended) => decode_extended(extended),
        None => decode_unstructured(from.parameter(name)?),
    };
    let clean: String = decoded.chars().filter(|c| !c.is_control()).collect();
    let clean = clean.trim();
    if clean.is_empty() { None } else { Some(clean.to_owned()) }
}

/// Decodes `charset'language'%41...`.
fn decode_extended(value: &[u8]) -> String {
    let value = &value[..value.len().min(DECODED_BYTES_MAX)];
    let mut pieces = value.splitn(3, |&byte| byte == b'\'');
    let (charset, text) = match (pieces.next(), pieces.next(), pieces.next()) {
        (Some(charset), Some(_language), Some(text)) => (charset, text),
        _ => (&b""[..], value),
    };
    let mut octets = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let hex = |index: usize| text.get(index).and_then(|&byte| char::from(byte).to_digit(16));
        match (text[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                octets.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                octets.push(byte);
                at += 1;
            }
        }
    }
    match charset_decoder(charset) {
        Some(decode) => decode(&octets),
        None => String::from_utf8_lossy(&octets).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_their_old_forms_too() {
        let table = [
            ("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)", Some((837_595_405, -420))),
            ("Sat, 01 Feb 2007 01:02:03 +0200", Some((1_170_284_523, 120))),
            ("1 Feb 07 01:02:03 GMT", Some((1_170_291_723, 0))),
            ("Thu, 01 Feb 2007\r\n 01:02:03", Some((1_170_291_723, 0))),
            ("Thu, 01 Feb 2007", Some((1_170_288_000, 0))),
            ("Thu, 01 Feb 2007 25:61:00 +0200", Some((1_170_280_800, 120))),
            ("1 Feb 2007 noon", Some((1_170_288_000, 0))),
            ("1 Feb 2007 01:02:03 +9x00", Some((1_170_291_723, 0))),
            ("yesterday", None),
            ("noon 99 Feb 2007", None),
            ("31 Feb 2007 25:00", None),
            ("31 Feb 2007 01:02:03 +0200", None),
            ("29 Feb 2008 23:59:60 -0100", Some((1_204_333_199, -60))),
            ("", None),
            ("Sat, 99 Foo 2007 01:02:03 +0200", None),
        ];
        for (value, expected) in table {
            let read = parse_date(value.as_bytes()).map(|date| (date.unix, date.zone_minutes));
            assert_eq!(read, expected, "{value:?}");
        }
    }

    #[test]
    fn words_and_names_are_decoded() {
        assert_eq!(decode_unstructured(b" =?iso-8859-1?Q?a=FCb?=\r\n =?utf-8?B?w7w=?= c"), "a\u{fc}b\u{fc} c");
        assert_eq!(decode_unstructured(b" plain \xc3\xbc "), "plain \u{fc}");
        assert_eq!(decode_extended(b"iso-8859-1'de'%FC%2"), "\u{fc}%2");
        assert_eq!(decode_extended(b"no quotes"), "no quotes");
    }
}
