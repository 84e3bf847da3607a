//! What EHLO offered.

use super::Reply;

#[derive(Debug, Default, Clone)]
pub(super) struct Extensions {
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) smtputf8: bool,
    pub(super) starttls: bool,
    pub(super) dsn: bool,
    pub(super) require_tls: bool,
    pub(super) mt_priority: bool,
    /// DELIVERBY, and the least number of seconds.
    pub(super) deliver_by: Option<i64>,
    pub(super) size: Option<u64>,
    /// SASL mechanisms, upper case.
    pub(super) auth: Vec<String>,
}

impl Extensions {
    pub(super) fn of(reply: &Reply) -> Self {
        let mut offered = Self::default();
        for line in reply.text.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().map(str::to_ascii_uppercase).as_deref() {
                Some("PIPELINING") => offered.pipelining = true,
                Some("8BITMIME") => offered.eight_bit = true,
                Some("SMTPUTF8") => offered.smtputf8 = true,
                Some("STARTTLS") => offered.starttls = true,
                Some("DSN") => offered.dsn = true,
                Some("REQUIRETLS") => offered.require_tls = true,
                Some("MT-PRIORITY") => offered.mt_priority = true,
                Some("DELIVERBY") => {
                    offered.deliver_by = Some(words.next().and_then(|least| least.parse().ok()).unwrap_or(0));
                }
                Some("AUTH") => offered.auth = words.map(str::to_ascii_uppercase).collect(),
                // RFC 1870 §4: no number, or 0, is no fixed limit.
                Some("SIZE") => offered.size = words.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0),
                _ => {}
            }
        }
        offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_read_without_regard_to_case() {
        let lines = [
            "mx.test hi",
            "pipelining",
            "SIZE 1000",
            "Smtputf8",
            "STARTTLS",
            "8BITMIME",
            "dsn",
            "auth plain LOGIN",
            "mt-priority NONE",
            "DELIVERBY 240",
        ];
        let offered = Extensions::of(&Reply::new(250, lines.map(String::from).into()));
        assert!(offered.pipelining && offered.smtputf8 && offered.starttls && offered.eight_bit && offered.dsn);
        assert_eq!((offered.size, offered.require_tls), (Some(1000), false));
        assert_eq!(offered.auth, ["PLAIN", "LOGIN"]);
        assert_eq!((offered.mt_priority, offered.deliver_by), (true, Some(240)));
        assert_eq!(Extensions::of(&Reply::new(250, vec!["mx".into(), "SIZE".into()])).size, None);
    }
}
