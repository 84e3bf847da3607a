//! How many messages one command goes through (RFC 9738, MESSAGELIMIT).
//!
//! Every command that the document names keeps the messages with the highest UIDs, does them from the highest down, and
//! says which was the last. What has to be of all or none is refused instead. EXPUNGE, CLOSE and STATUS are never cut
//! short (§3.1), nor is ESEARCH (RFC 7377), in whose several mailboxes one UID would say nothing.

use crate::reply::{Status, Tagged};
use crate::session::Session;

/// A command that is done for a part of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Partial {
    limit: usize,
    /// The last UID that is processed.
    pub(crate) lowest: u32,
}

impl Partial {
    /// Cuts `messages`, which are in the order of their UIDs, to the last `limit`; `None` when there are no more.
    pub(crate) fn of<T>(limit: usize, messages: &mut Vec<T>, uid: impl Fn(&T) -> u32) -> Option<Self> {
        let beyond = messages.len().checked_sub(limit).filter(|&beyond| beyond > 0)?;
        messages.drain(..beyond);
        messages.first().map(|first| Self { limit, lowest: uid(first) })
    }

    fn code(self) -> String {
        format!("[MESSAGELIMIT {} {}]", self.limit, self.lowest)
    }

    /// The answer to a command that was cut short.
    pub(crate) fn told(self, session: &mut Session, done: Tagged) -> Tagged {
        if done.status == Status::Ok && !done.text.starts_with('[') {
            return Tagged::ok(format!("{} {}, for the last {} messages", self.code(), done.text, self.limit));
        }
        self.tell(session);
        done
    }

    /// RFC 9738 §3.1: beside another response code, which the tagged answer has, this one stands in an untagged NO.
    pub(crate) fn tell(self, session: &mut Session) {
        let line = format!("* NO {} Only the last {} messages were processed\r\n", self.code(), self.limit);
        session.io.out.extend_from_slice(line.as_bytes());
    }

    /// As [`Partial::told`], for a command that takes messages out. RFC 7162 §3.2.7: its tagged answer has
    /// HIGHESTMODSEQ, once QRESYNC is on.
    pub(crate) fn told_of_removal(self, session: &mut Session, done: Tagged) -> Tagged {
        if !session.enabled.qresync {
            return self.told(session, done);
        }
        self.tell(session);
        done
    }

    /// The answer where all or none has to be done (RFC 9738 §3.1): none is.
    pub(crate) fn refused(self) -> Tagged {
        Tagged::no(format!("{} Too many messages, name at most {}", self.code(), self.limit))
    }
}

/// The same where no UID would help the client on.
pub(crate) fn too_many(limit: usize) -> Tagged {
    Tagged::no(format!("[MESSAGELIMIT {limit}] Too many messages, {limit} are the most for one command"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_are_kept() {
        let cut = |limit, mut uids: Vec<u32>| (Partial::of(limit, &mut uids, |&uid| uid), uids);
        assert_eq!(cut(3, vec![1, 5, 9]), (None, vec![1, 5, 9]));
        assert_eq!(cut(2, vec![1, 5, 9]), (Some(Partial { limit: 2, lowest: 5 }), vec![5, 9]));
        assert_eq!(cut(2, vec![]), (None, vec![]));
    }
}
