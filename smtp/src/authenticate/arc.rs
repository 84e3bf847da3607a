//! The chain of servers that a mail came through, each of which sealed what it found. RFC 8617.

use super::AuthResult;
use super::records::is_name;
use mail_auth::{ArcOutput, AuthenticatedMessage, DkimResult};
use std::fmt::Write as _;
use std::net::IpAddr;

/// RFC 8617 §4.4: a chain is none, pass or fail; what is broken in any way has failed.
pub(super) fn outcome(output: &ArcOutput<'_>, message: &AuthenticatedMessage<'_>) -> AuthResult {
    // RFC 8617 §5.2: a seal without what it seals is a broken chain, not none.
    let is_sealed = !(message.as_headers.is_empty() && message.aar_headers.is_empty());
    let seals = message.as_headers.iter().map(|field| (field.value, SEAL_TAGS));
    let signatures = message.ams_headers.iter().map(|field| (field.value, SIGNATURE_TAGS));
    if !seals.chain(signatures).all(|(value, needed)| is_well_formed(value, needed)) {
        return AuthResult::Fail;
    }
    match output.result() {
        DkimResult::None if is_sealed => AuthResult::Fail,
        DkimResult::None => AuthResult::None,
        DkimResult::Pass => AuthResult::Pass,
        DkimResult::TempError(_) => AuthResult::TempError,
        DkimResult::Neutral(_) | DkimResult::Fail(_) | DkimResult::PermError(_) => AuthResult::Fail,
    }
}

/// Tags that have to be there. RFC 8617 §4.1.2, §4.1.3.
const SIGNATURE_TAGS: &[&str] = &["a", "b", "bh", "d", "h", "i", "s"];
const SEAL_TAGS: &[&str] = &["a", "b", "cv", "d", "i", "s"];

/// What `mail-auth` reads more kindly than RFC 6376 §3.2 allows: tags said twice, empty, or in capitals; SHA-1; names that
/// cannot be asked for; a signature over a seal (RFC 8617 §4.1.2).
fn is_well_formed(value: &[u8], needed: &[&str]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let mut tags: Vec<(&str, &str)> = Vec::new();
    let text = text.trim_ascii();
    for tag in text.strip_suffix(';').unwrap_or(text).split(';') {
        let Some((name, value)) = tag.split_once('=') else { return false };
        let name = name.trim_ascii();
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name || tags.iter().any(|(other, _)| *other == name) {
            return false;
        }
        tags.push((name, value.trim_ascii()));
    }
    let value = |name: &str| tags.iter().find(|(other, _)| *other == name).map_or("", |(_, value)| *value);
    let key = format!("{}._domainkey.{}", value("s"), value("d"));
    let is_host = key.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() || "-._".contains(c)) && is_name(&key);
    needed.iter().all(|name| tags.iter().any(|(other, _)| other == name))
        && matches!(value("a"), "rsa-sha256" | "ed25519-sha256")
        && is_host
        && !value("h").split(':').any(|field| field.trim_ascii().eq_ignore_ascii_case("arc-seal"))
}

/// Adds `arc=` to the value of an Authentication-Results field. RFC 8617 §10.1.
pub(super) fn tell(value: &mut String, arc: AuthResult, ip: IpAddr) {
    let word = match arc {
        AuthResult::Pass => "pass",
        AuthResult::TempError => "temperror",
        _ => "fail",
    };
    // A colon may stand in a quoted value only. RFC 8601 §2.2.
    let quote = if ip.is_ipv6() { "\"" } else { "" };
    value.truncate(value.trim_end().len());
    let _ = write!(value, ";\r\n\tarc={word} smtp.remote-ip={quote}{ip}{quote}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_strictly() {
        let seal = " i=1; a=rsa-sha256; cv=none; d=example.org; s=dummy; t=1;\r\n b=AA==";
        let well = |value: &str| is_well_formed(value.as_bytes(), SEAL_TAGS);
        assert!(well(seal) && well(&format!("{seal};")) && well(&seal.replace("rsa", "ed25519")));
        for (from, to) in [
            ("t=1;", "t=1;;"),
            ("t=1", "i=1"),
            ("s=dummy", "S=dummy"),
            ("rsa-sha256", "rsa-sha1"),
            ("a=rsa-sha256; ", ""),
            ("d=example.org", "d=exa mple.org"),
            ("d=example.org", "d=example..org"),
            ("t=1", "_t=1"),
            ("t=1", "t"),
            ("t=1", "h=from:ARC-Seal"),
        ] {
            assert!(!well(&seal.replace(from, to)), "{from} -> {to}");
        }
    }
}
