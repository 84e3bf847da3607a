//! What stands behind the path in MAIL and RCPT: the parameters of extensions, read strictly and kept as they were sent.
//!
//! | parameter | from | where |
//! |---|---|---|
//! | SIZE, BODY, SMTPUTF8, AUTH | RFC 1870, 6152 and 3030, 6531, 4954 | MAIL |
//! | RET, ENVID; NOTIFY, ORCPT | RFC 3461 | MAIL; RCPT |
//! | REQUIRETLS | RFC 8689 | MAIL, under TLS |
//! | MT-PRIORITY, HOLDFOR, HOLDUNTIL, BY | RFC 6710, 4865, 2852 | MAIL, at submission |

pub(crate) mod date;
mod xtext;

pub use xtext::decode as decode_xtext;

use crate::Refusal;
use std::time::Duration;

/// What MAIL asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailParameters {
    /// SIZE: how many octets will come; 0 when nothing was said. RFC 1870.
    pub size: u64,
    /// BODY: which octets will come.
    pub body: Body,
    /// SMTPUTF8: addresses or headers are beyond ASCII. RFC 6531.
    pub smtputf8: bool,
    /// RET: how much of the mail a DSN about a failure shall bring back. RFC 3461 §4.3.
    pub ret: Option<Ret>,
    /// ENVID, in xtext as it was sent ([`decode_xtext`] reads it): a DSN names it. RFC 3461 §4.4.
    pub envid: Option<String>,
    /// REQUIRETLS: rather not delivered than without TLS to a server that proves its name. RFC 8689.
    pub require_tls: bool,
    /// MT-PRIORITY, -9 to 9: which mail of the queue goes first. RFC 6710.
    pub mt_priority: i8,
    /// HOLDFOR or HOLDUNTIL: not to be sent before. RFC 4865.
    pub hold: Option<Hold>,
    /// BY: to be delivered by then. RFC 2852.
    pub by: Option<DeliverBy>,
}

/// What RCPT asks for. RFC 3461 §4.1, §4.2.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RcptParameters {
    /// NOTIFY: which DSNs to send; nothing said is failure, and delay if we like.
    pub notify: Option<Notify>,
    /// ORCPT, `addr-type;xtext` as it was sent: whom the sender wrote to.
    pub orcpt: Option<String>,
}

/// BODY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Body {
    /// ASCII, or nothing was said.
    #[default]
    SevenBit,
    /// Lines of any octets. RFC 6152.
    EightBitMime,
    /// Any octets, no lines: a CR or LF alone is content. Only with BDAT. RFC 3030 §3.
    BinaryMime,
}

/// RET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// The whole mail.
    Full,
    /// Its header.
    Hdrs,
}

/// NOTIFY; all three unset is NEVER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notify {
    /// Tell of a delivery.
    pub success: bool,
    /// Tell of a failure.
    pub failure: bool,
    /// Tell of a delay.
    pub delay: bool,
}

/// When a mail may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// After this time.
    For(Duration),
    /// From this second of Unix time on.
    Until(i64),
}

/// When a mail has to have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliverBy {
    /// From now; 0 and less is over already, and only possible with [`ByMode::Notify`].
    pub seconds: i64,
    /// What happens then.
    pub mode: ByMode,
    /// Tell of servers on the way that do not know DELIVERBY.
    pub trace: bool,
}

/// What happens when the time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByMode {
    /// `R`: the mail comes back.
    Return,
    /// `N`: it is tried on, and a delay is told.
    Notify,
}

/// Whether the parameters of submission are known: on port 25 they are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    Transfer,
    Submission,
}

impl MailParameters {
    /// Reads what follows the path of MAIL.
    pub(crate) fn parse(text: &str, offered: Offered) -> Result<Self, Refusal> {
        let mut found = Self::default();
        let mut seen = Vec::new();
        let mut has_body = false;
        for (keyword, value) in parameters(text) {
            let keyword = once(&mut seen, keyword)?;
            let submission = offered == Offered::Submission;
            match (keyword.as_str(), value) {
                ("SIZE", Some(value)) => {
                    found.size = number(value, 20).ok_or_else(|| bad("SIZE", "a number of octets"))?
                }
                ("BODY", Some(value)) => {
                    has_body = true;
                    found.body = match value.to_ascii_uppercase().as_str() {
                        "7BIT" => Body::SevenBit,
                        "8BITMIME" => Body::EightBitMime,
                        "BINARYMIME" => Body::BinaryMime,
                        _ => return Err(bad("BODY", "7BIT, 8BITMIME or BINARYMIME")),
                    };
                }
                ("SMTPUTF8", None) => found.smtputf8 = true,
                // RFC 4954 §5: whoever is not trusted is taken for AUTH=<>, and nobody is.
                ("AUTH", Some(_)) => {}
                ("RET", Some(value)) => {
                    found.ret = Some(match value.to_ascii_uppercase().as_str() {
                        "FULL" => Ret::Full,
                        "HDRS" => Ret::Hdrs,
                        _ => return Err(bad("RET", "FULL or HDRS")),
                    });
                }
                ("ENVID", Some(value)) => found.envid = Some(envid(value)?),
                ("REQUIRETLS", None) => found.require_tls = true,
                ("MT-PRIORITY", Some(value)) if submission => {
                    found.mt_priority = priority(value).ok_or_else(|| bad("MT-PRIORITY", "-9 to 9"))?;
                }
                ("HOLDFOR", Some(value)) if submission && found.hold.is_none() => {
                    // RFC 4865 §3: from 1 to 999999999.
                    let seconds = number(value, 9).filter(|seconds| *seconds > 0);
                    let seconds = seconds.ok_or_else(|| bad("HOLDFOR", "1 to 999999999 seconds"))?;
                    found.hold = Some(Hold::For(Duration::from_secs(seconds)));
                }
                ("HOLDUNTIL", Some(value)) if submission && found.hold.is_none() => {
                    let time =
                        date::parse(value).ok_or_else(|| bad("HOLDUNTIL", "a date such as 2030-01-31T12:00:00Z"))?;
                    found.hold = Some(Hold::Until(time));
                }
                // RFC 4865 §4.2: one or the other.
                ("HOLDFOR" | "HOLDUNTIL", Some(_)) if submission => {
                    return Err(Refusal::new(501, (5, 5, 4), "say HOLDFOR or HOLDUNTIL, not both"));
                }
                ("BY", Some(value)) if submission => found.by = Some(deliver_by(value)?),
                (keyword, value) => return Err(unknown(keyword, value, offered)),
            }
        }
        // Quirk, iOS: SMTPUTF8 without the BODY=8BITMIME that RFC 6531 §3.1 asks for.
        if found.smtputf8 && !has_body {
            found.body = Body::EightBitMime;
        }
        Ok(found)
    }
}

impl RcptParameters {
    /// Reads what follows the path of RCPT.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut found = Self::default();
        let mut seen = Vec::new();
        for (keyword, value) in parameters(text) {
            match (once(&mut seen, keyword)?.as_str(), value) {
                ("NOTIFY", Some(value)) => found.notify = Some(notify(value)?),
                ("ORCPT", Some(value)) => found.orcpt = Some(orcpt(value)?),
                (keyword, value) => return Err(unknown(keyword, value, Offered::Transfer)),
            }
        }
        Ok(found)
    }
}

/// `esmtp-keyword ["=" esmtp-value]`, behind spaces. RFC 5321 §4.1.2.
fn parameters(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split([' ', '\t']).filter(|word| !word.is_empty()).map(|word| match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    })
}

/// RFC 3461 §4 and its like: each parameter at most once.
fn once(seen: &mut Vec<String>, keyword: &str) -> Result<String, Refusal> {
    let keyword = keyword.to_ascii_uppercase();
    if seen.contains(&keyword) {
        return Err(Refusal::new(501, (5, 5, 4), format!("{keyword} may be said once")));
    }
    seen.push(keyword.clone());
    Ok(keyword)
}

fn unknown(keyword: &str, value: Option<&str>, offered: Offered) -> Refusal {
    match (keyword, value, offered) {
        ("SIZE" | "BODY" | "RET" | "ENVID" | "NOTIFY" | "ORCPT", None, _) => bad(keyword, "a value behind ="),
        ("MT-PRIORITY" | "HOLDFOR" | "HOLDUNTIL" | "BY", None, Offered::Submission) => bad(keyword, "a value behind ="),
        ("SMTPUTF8" | "REQUIRETLS", Some(_), _) => bad(keyword, "no value"),
        // RFC 5321 §4.1.1.11.
        _ => Refusal::new(555, (5, 5, 4), "a parameter is not known here"),
    }
}

fn bad(keyword: &str, allowed: &str) -> Refusal {
    Refusal::new(501, (5, 5, 4), format!("the value of {keyword} makes no sense; allowed is {allowed}"))
}

fn number(text: &str, digits_max: usize) -> Option<u64> {
    let fits = (1..=digits_max).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    fits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// RFC 6710 §6: `[-]` and one digit, no `-0`.
fn priority(text: &str) -> Option<i8> {
    match text.as_bytes() {
        [digit @ b'0'..=b'9'] => Some((digit - b'0').cast_signed()),
        [b'-', digit @ b'1'..=b'9'] => Some(-(digit - b'0').cast_signed()),
        _ => None,
    }
}

/// RFC 3461 §4.4: xtext of at most 100 octets, and printable when decoded.
fn envid(text: &str) -> Result<String, Refusal> {
    let printable = |text: &str| text.bytes().all(|octet| (b' '..=b'~').contains(&octet));
    if text.is_empty() || text.len() > 100 || !decode_xtext(text).is_some_and(|text| printable(&text)) {
        return Err(bad("ENVID", "xtext of at most 100 octets"));
    }
    Ok(text.to_owned())
}

/// RFC 3461 §4.1: NEVER alone, or a list of the others.
fn notify(text: &str) -> Result<Notify, Refusal> {
    let mut found = Notify::default();
    if text.eq_ignore_ascii_case("NEVER") {
        return Ok(found);
    }
    for word in text.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => found.success = true,
            "FAILURE" => found.failure = true,
            "DELAY" => found.delay = true,
            _ => return Err(bad("NOTIFY", "NEVER, or a list of SUCCESS, FAILURE and DELAY")),
        }
    }
    Ok(found)
}

/// RFC 3461 §4.2: `addr-type ";" xtext`, 500 octets in all. With SMTPUTF8 the address may be UTF-8 (RFC 6533 §3).
fn orcpt(text: &str) -> Result<String, Refusal> {
    let refused = || bad("ORCPT", "rfc822; and an address in xtext, at most 500 octets");
    let (kind, address) = text.split_once(';').ok_or_else(refused)?;
    let is_kind = !kind.is_empty() && kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    let is_address = match kind.eq_ignore_ascii_case("utf-8") {
        // utf-8-addr-xtext and utf-8-addr-unitext: `\x{...}` or the characters themselves.
        true => !address.contains(|c: char| c == '=' || c.is_control()),
        false => decode_xtext(address).is_some_and(|address| !address.chars().any(char::is_control)),
    };
    if text.len() > 500 || !is_kind || address.is_empty() || !is_address {
        return Err(refused());
    }
    Ok(text.to_owned())
}

/// RFC 2852 §4: `BY=` up to nine digits with a sign, `;`, `R` or `N`, and `T` for a trace.
fn deliver_by(text: &str) -> Result<DeliverBy, Refusal> {
    let refused = || bad("BY", "seconds, a semicolon, R or N, and perhaps T: 120;R");
    let (time, mode) = text.split_once(';').ok_or_else(refused)?;
    let (sign, digits) = match time.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, time.strip_prefix('+').unwrap_or(time)),
    };
    let seconds = sign * number(digits, 9).and_then(|seconds| i64::try_from(seconds).ok()).ok_or_else(refused)?;
    let (mode, trace) = match mode.to_ascii_uppercase().as_str() {
        "R" => (ByMode::Return, false),
        "RT" => (ByMode::Return, true),
        "N" => (ByMode::Notify, false),
        "NT" => (ByMode::Notify, true),
        _ => return Err(refused()),
    };
    // RFC 2852 §4: what has to come back may not be over before it begins.
    if mode == ByMode::Return && seconds <= 0 {
        return Err(bad("BY", "more than 0 seconds with R"));
    }
    Ok(DeliverBy { seconds, mode, trace })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(text: &str) -> Result<MailParameters, (u16, String)> {
        MailParameters::parse(text, Offered::Submission).map_err(|refusal| (refusal.code, refusal.text))
    }

    #[test]
    fn all_of_mails_parameters_are_read() {
        let all = "SIZE=10  BODY=binarymime SMTPUTF8 RET=hdrs ENVID=a+2Bb REQUIRETLS mt-priority=-3 HOLDFOR=60 BY=-5;nt AUTH=<>";
        assert_eq!(
            mail(all).unwrap(),
            MailParameters {
                size: 10,
                body: Body::BinaryMime,
                smtputf8: true,
                ret: Some(Ret::Hdrs),
                envid: Some("a+2Bb".into()),
                require_tls: true,
                mt_priority: -3,
                hold: Some(Hold::For(Duration::from_secs(60))),
                by: Some(DeliverBy { seconds: -5, mode: ByMode::Notify, trace: true }),
            }
        );
        assert_eq!(mail("HOLDUNTIL=1970-01-02T00:00:00Z").unwrap().hold, Some(Hold::Until(86_400)));
        assert_eq!(mail("").unwrap(), MailParameters::default());
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for bad in [
            "SIZE=x",
            "SIZE=",
            "SIZE",
            "BODY=9BIT",
            "BODY",
            "RET=ALL",
            "RET",
            "ENVID=",
            "ENVID=a=b",
            "ENVID=a+2b",
            "ENVID=+0A",
            "MT-PRIORITY=10",
            "MT-PRIORITY=-0",
            "MT-PRIORITY=+1",
            "MT-PRIORITY",
            "HOLDFOR=1234567890",
            "HOLDFOR=-1",
            "HOLDFOR=0",
            "HOLDUNTIL=tomorrow",
            "HOLDUNTIL=2026-02-30T00:00:00Z",
            "BY=5",
            "BY=5;X",
            "BY=0;R",
            "BY=-1;R",
            "BY=1234567890;N",
            "SMTPUTF8=1",
            "REQUIRETLS=yes",
            "RET=FULL RET=HDRS",
            "HOLDFOR=1 HOLDUNTIL=2030-01-01T00:00:00Z",
        ] {
            assert_eq!(mail(bad).unwrap_err().0, 501, "{bad}");
        }
        assert_eq!(mail(&format!("ENVID={}", "x".repeat(101))).unwrap_err().0, 501);
        assert!(mail(&format!("ENVID={}", "x".repeat(100))).is_ok());
        for unknown in ["FOO=BAR", "FOO", "SOLICIT=x", "=", "NOTIFY=NEVER"] {
            assert_eq!(mail(unknown).unwrap_err().0, 555, "{unknown}");
        }
    }

    #[test]
    fn what_is_for_submission_is_not_known_elsewhere() {
        for only in ["MT-PRIORITY=1", "HOLDFOR=1", "HOLDUNTIL=2030-01-01T00:00:00Z", "BY=10;R"] {
            assert!(mail(only).is_ok(), "{only}");
            assert_eq!(MailParameters::parse(only, Offered::Transfer).unwrap_err().code, 555, "{only}");
        }
    }

    #[test]
    fn all_of_rcpts_parameters_are_read() {
        let read = |text: &str| RcptParameters::parse(text).map_err(|refusal| refusal.code);
        let found = read("NOTIFY=success,DELAY ORCPT=rfc822;Bob+2Bx@shop.test").unwrap();
        assert_eq!(found.notify, Some(Notify { success: true, failure: false, delay: true }));
        assert_eq!(found.orcpt.as_deref(), Some("rfc822;Bob+2Bx@shop.test"));
        assert_eq!(read("NOTIFY=never").unwrap().notify, Some(Notify::default()));
        assert!(read("ORCPT=utf-8;jörg@köln.test").is_ok());
        for bad in [
            "NOTIFY=",
            "NOTIFY=NEVER,FAILURE",
            "NOTIFY=SUCCESS,",
            "NOTIFY=x",
            "NOTIFY",
            "ORCPT=bob@shop.test",
            "ORCPT=;x",
            "ORCPT=rfc822;",
            "ORCPT=rfc822;a=b",
            "ORCPT=rfc822;a+0Ab",
            "ORCPT=rfc822;jörg@k.test",
            "ORCPT",
            "NOTIFY=NEVER NOTIFY=NEVER",
        ] {
            assert_eq!(read(bad), Err(501), "{bad}");
        }
        assert_eq!(read(&format!("ORCPT=rfc822;{}", "x".repeat(494))), Err(501));
        assert_eq!(read("FOO=BAR"), Err(555));
    }
}
