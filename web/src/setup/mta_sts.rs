//! The MTA-STS policy (RFC 8461): who takes our mail, and that it must come over TLS.

use std::fmt::Write;

use crate::MtaSts;

/// The policy as it is served. RFC 8461 §3.2: lines end in CR LF or LF; the version comes first.
pub fn mta_sts_policy(policy: &MtaSts) -> String {
    let mut text = format!("version: STSv1\r\nmode: {}\r\n", policy.mode);
    for host in &policy.mx {
        let _ = write!(text, "mx: {host}\r\n");
    }
    let _ = write!(text, "max_age: {}\r\n", policy.max_age.as_secs());
    text
}
