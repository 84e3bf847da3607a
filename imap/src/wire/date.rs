//! Dates as IMAP writes them (RFC 3501 §9 `date`, `date-time`).

use chrono::{DateTime, Datelike as _, NaiveDate, Timelike as _};

use crate::limits::INTERNAL_DATE_MIN_MS;
use crate::wire::cursor::{Bad, Cursor, Parsed};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(pub(crate) i64);

impl Day {
    /// The UTC day of an instant.
    pub(crate) fn of_unix_ms(ms: i64) -> Self {
        Self(ms.div_euclid(86_400_000))
    }

    /// The day a calendar names.
    pub(crate) fn of_date(year: i32, month: u32, day: u32) -> Option<Self> {
        let date = NaiveDate::from_ymd_opt(year, month, day)?;
        Some(Self(i64::from(date.num_days_from_ce()) - 719_163))
    }

    /// `date`, quoted or not: `1-Feb-1994`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        const INVALID: Bad = Bad::new("Invalid date");
        let text = cursor.astring().map_err(|_| INVALID)?;
        let text = std::str::from_utf8(&text).map_err(|_| INVALID)?;
        let mut parts = text.trim_start().split('-');
        let (Some(day), Some(month), Some(year), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(INVALID);
        };
        let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
            (digits.contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit()))
                .then(|| text.parse::<u32>().ok())
                .flatten()
                .ok_or(INVALID)
        };
        let (day, year) = (number(day, 1..=2)?, number(year, 4..=4)?);
        let month = month_number(month.as_bytes()).ok_or(INVALID)?;
        Self::of_date(year.cast_signed(), month, day).ok_or(INVALID)
    }
}

fn month_number(name: &[u8]) -> Option<u32> {
    let at = MONTHS.iter().position(|month| month.as_bytes().eq_ignore_ascii_case(name))?;
    u32::try_from(at + 1).ok()
}

/// An instant as somebody wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DateTimeZone {
    /// Milliseconds since 1970, not before [`INTERNAL_DATE_MIN_MS`].
    pub(crate) ms: i64,
    /// Minutes east of UTC.
    pub(crate) zone: i16,
}

/// `date-time` in quotes, as APPEND carries it: `"17-Jul-1996 02:44:25 -0700"`.
pub(crate) fn parse_date_time(cursor: &mut Cursor<'_>) -> Parsed<DateTimeZone> {
    const INVALID: Bad = Bad::new("Invalid internal date");
    let text = cursor.string().map_err(|_| INVALID)?;
    // dd-Mmm-yyyy hh:mm:ss +zzzz, the day padded with a space or a zero.
    let text: &[u8; 26] = text.as_ref().try_into().map_err(|_| INVALID)?;
    let digits = |range: std::ops::Range<usize>| {
        let digits = &text[range];
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| digits.iter().fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0')))
            .ok_or(INVALID)
    };
    let marks = [(2, b'-'), (6, b'-'), (11, b' '), (14, b':'), (17, b':'), (20, b' ')];
    if marks.iter().any(|&(at, mark)| text[at] != mark) {
        return Err(INVALID);
    }
    let day = if text[0] == b' ' { digits(1..2)? } else { digits(0..2)? };
    let month = month_number(&text[3..6]).ok_or(INVALID)?;
    let date = NaiveDate::from_ymd_opt(digits(7..11)?.cast_signed(), month, day).ok_or(INVALID)?;
    // RFC 5322 §3.3 knows leap seconds; chrono's 60 is its 59 and a bit.
    let time = date.and_hms_opt(digits(12..14)?, digits(15..17)?, digits(18..20)?.min(59)).ok_or(INVALID)?;
    let (hours, minutes) = (digits(22..24)?, digits(24..26)?);
    if hours > 23 || minutes > 59 {
        return Err(INVALID);
    }
    let east = i16::try_from(hours * 60 + minutes).map_err(|_| INVALID)?;
    let zone = match text[21] {
        b'+' => east,
        b'-' => -east,
        _ => return Err(INVALID),
    };
    let ms = time.and_utc().timestamp_millis() - i64::from(zone) * 60_000;
    Ok(DateTimeZone { ms: ms.max(INTERNAL_DATE_MIN_MS), zone })
}

/// INTERNALDATE in quotes, in the zone it was given in.
pub(crate) fn write_date_time(out: &mut Vec<u8>, DateTimeZone { ms, zone }: DateTimeZone) {
    let ms = ms.max(INTERNAL_DATE_MIN_MS);
    let local = ms.saturating_add(i64::from(zone) * 60_000);
    // A date moved up must not fall back behind the limit by its zone.
    let (local, zone) = if local < INTERNAL_DATE_MIN_MS { (ms, 0) } else { (local, zone) };
    let time = DateTime::from_timestamp_millis(local).unwrap_or(DateTime::UNIX_EPOCH);
    let two = |out: &mut Vec<u8>, number: u32| {
        out.extend([b'0' + u8::try_from(number / 10 % 10).unwrap_or(0), b'0' + u8::try_from(number % 10).unwrap_or(0)]);
    };
    out.push(b'"');
    two(out, time.day());
    out.push(b'-');
    out.extend_from_slice(MONTHS[time.month0() as usize].as_bytes());
    out.push(b'-');
    let year = time.year().clamp(0, 9999).unsigned_abs();
    two(out, year / 100);
    two(out, year % 100);
    for (mark, number) in [(b' ', time.hour()), (b':', time.minute()), (b':', time.second())] {
        out.push(mark);
        two(out, number);
    }
    out.extend_from_slice(if zone < 0 { b" -" } else { b" +" });
    two(out, u32::from(zone.unsigned_abs() / 60));
    two(out, u32::from(zone.unsigned_abs() % 60));
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(date: DateTimeZone) -> String {
        let mut out = Vec::new();
        write_date_time(&mut out, date);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_example_of_rfc_3501_goes_round() {
        let ms = parse_date_time(&mut Cursor::new(b"\"17-Jul-1996 02:44:25 -0700\"")).unwrap();
        assert_eq!(ms.ms, 837_596_665_000);
        assert_eq!(written(ms), "\"17-Jul-1996 02:44:25 -0700\"");
        let ms = parse_date_time(&mut Cursor::new(b"\" 1-Mar-2026 00:15:00 +0545\"")).unwrap();
        assert_eq!(written(ms), "\"01-Mar-2026 00:15:00 +0545\"");
        let ms = parse_date_time(&mut Cursor::new(b"\" 7-feb-2026 23:59:60 +0000\"")).unwrap();
        assert_eq!(written(ms), "\"07-Feb-2026 23:59:59 +0000\"");
    }

    #[test]
    fn dates_before_1982_are_moved_up() {
        let ms = parse_date_time(&mut Cursor::new(b"\"01-Jan-1970 00:00:00 +0000\"")).unwrap();
        assert_eq!(written(ms), "\"01-Jan-1982 00:00:00 +0000\"");
        let ms = parse_date_time(&mut Cursor::new(b"\"01-Jan-1982 00:00:00 +0700\"")).unwrap();
        assert_eq!(written(ms), "\"01-Jan-1982 07:00:00 +0700\"");
        for zone in [0, -60] {
            assert_eq!(written(DateTimeZone { ms: i64::MIN, zone }), "\"01-Jan-1982 00:00:00 +0000\"");
        }
    }

    #[test]
    fn impossible_dates_are_bad() {
        for text in ["\"31-Feb-2026 00:00:00 +0000\"", "\"01-Jan-2026 24:00:00 +0000\"", "\"01-Jan-2026\"", "x", "\"\""]
        {
            assert!(parse_date_time(&mut Cursor::new(text.as_bytes())).is_err(), "{text}");
        }
        for text in ["31-Feb-2026", "1-Foo-2026", "1-Jan-26", "1-Jan", "", "1-Jan-2026-3", "+1-Jan-2026"] {
            assert!(Day::parse(&mut Cursor::new(text.as_bytes())).is_err(), "{text}");
        }
        assert_eq!(Day::parse(&mut Cursor::new(b"\"1-Jan-1970\"")).unwrap(), Day(0));
        assert_eq!(Day::of_unix_ms(-1), Day(-1));
    }
}
