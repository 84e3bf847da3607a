//! What a client asked the dialogue to become: ENABLE (RFC 5161), and commands that enable by being used.

/// Extensions that change what a session says. Once on they stay on (RFC 5161 §3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Enabled {
    /// MODSEQ in every unsolicited FETCH (RFC 7162 §3.1).
    pub(crate) condstore: bool,
    /// VANISHED instead of EXPUNGE (RFC 7162 §3.2). Never without `condstore`.
    pub(crate) qresync: bool,
    /// Names and headers in UTF-8 (RFC 6855). IMAP4rev2 has it built in: ask [`Enabled::utf8_names`].
    pub(crate) utf8: bool,
    /// The responses of RFC 9051 where they differ from those of RFC 3501.
    pub(crate) imap4rev2: bool,
    /// No message numbers in either direction (RFC 9586).
    pub(crate) uid_only: bool,
}

impl Enabled {
    /// Turns on what a capability's name stands for; whether that was news. A name that enables nothing is none.
    pub(crate) fn turn_on(&mut self, name: &str) -> bool {
        let before = *self;
        match name.to_ascii_uppercase().as_str() {
            "CONDSTORE" => self.condstore = true,
            // RFC 7162 §3.2.3: a CONDSTORE enabling command too.
            "QRESYNC" => (self.qresync, self.condstore) = (true, true),
            "UTF8=ACCEPT" => self.utf8 = true,
            "IMAP4REV2" => self.imap4rev2 = true,
            "UIDONLY" => self.uid_only = true,
            _ => {}
        }
        *self != before
    }

    /// Whether mailbox names go over the wire in UTF-8 rather than modified UTF-7 (RFC 6855 §3, RFC 9051 §5.1).
    pub(crate) fn utf8_names(self) -> bool {
        self.utf8 || self.imap4rev2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_turn_on_what_they_stand_for_once() {
        let mut enabled = Enabled::default();
        assert!(enabled.turn_on("qresync"));
        assert!(enabled.condstore && enabled.qresync);
        assert!(!enabled.turn_on("CONDSTORE"));
        assert!(!enabled.turn_on("IDLE") && !enabled.utf8_names());
        assert!(enabled.turn_on("IMAP4rev2") && enabled.utf8_names());
    }
}
