//! Named points at which a debug build may be made to die, so that tests can look at what a kill leaves there.
//!
//! ```text
//!   SATCHEL_FAILPOINT=held.committed      dies when it first comes there
//!   SATCHEL_FAILPOINT=held.committed:3    when it comes there the third time
//!   SATCHEL_FAILPOINT=@/path/to/file      the file says so; it is read at every point, and may be missing
//! ```
//! It dies by SIGKILL: nothing is unwound, flushed or answered. A release build has none of this: [`pass`] is empty there,
//! and the variable is not read.

/// Every point, in the order of a payment's life. Named after what happens around it: `x.begin` before a commit, `x.noted`,
/// `x.committed` after it and before anybody else hears of it, `x.told` when the node has heard.
pub const NAMES: &[&str] = &[
    // A quote: the hash is ours, then the node makes the invoice, then it is published.
    "quote.begin",
    "quote.begun",
    "invoice.made",
    "invoice.published",
    "ask.done",
    "ask.finished",
    // The payer's wallet, in the sandbox.
    "customer.noted",
    // The money is locked.
    "held.heard",
    "held.committed",
    "held.handled",
    "refuse.committed",
    // Somebody decides.
    "decide.begin",
    "decide.committed",
    // The claim.
    "claim.due",
    "claim.noted",
    "claim.made",
    "claim.told",
    "settled.heard",
    "settled.committed",
    "settled.handled",
    "claim.finished",
    // The claim came too late.
    "lost.begin",
    "lost.committed",
    // The money goes back on its channel.
    "hold.end",
    "hold.ended",
    "cancel.due",
    "cancel.noted",
    "cancel.made",
    "cancel.told",
    "cancel.finished",
    // It goes back by a payment of ours.
    "refund.begin",
    "refund.noted",
    "refund.due",
    "pay.noted",
    "refund.sent",
    "refund.paid",
    "refund.recorded",
    // What users are owed leaves, and what other bridges ask for.
    "price.due",
    "payout.noted",
    "payout.sent",
    "payout.booked",
    "payout.ended",
    // By itself; and from a wallet of the user's own.
    "share.noted",
    "share.paid",
    "price.noted",
    "price.asked",
    "price.answered",
    // The mail comes that a voucher was paid for.
    "voucher.begin",
    "voucher.committed",
    // A start brings both sides to agree.
    "reconcile.drained",
    "reconcile.done",
];

/// Dies here if it was asked to.
#[inline]
pub fn pass(name: &str) {
    #[cfg(debug_assertions)]
    armed::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::sync::{LazyLock, Mutex, PoisonError};

    const VARIABLE: &str = "SATCHEL_FAILPOINT";

    static ASKED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var(VARIABLE).ok());
    /// What is asked for now, and how often it was passed since.
    static PASSED: Mutex<(String, u32)> = Mutex::new((String::new(), 0));

    pub(super) fn pass(name: &str) {
        let Some(asked) = &*ASKED else { return };
        let asked = match asked.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path).unwrap_or_default(),
            None => asked.clone(),
        };
        if is_due(asked.trim(), name, &mut PASSED.lock().unwrap_or_else(PoisonError::into_inner)) {
            die();
        }
    }

    pub(super) fn is_due(asked: &str, name: &str, passed: &mut (String, u32)) -> bool {
        let (point, times) = match asked.split_once(':') {
            Some((point, times)) => (point, times.parse().unwrap_or(1)),
            None => (asked, 1),
        };
        if passed.0 != asked {
            *passed = (asked.to_owned(), 0);
        }
        if point != name {
            return false;
        }
        passed.1 += 1;
        passed.1 == times
    }

    /// The system ends every thread when the program is replaced, and the shell ends itself.
    fn die() -> ! {
        let _ = Command::new("/bin/sh").args(["-c", "kill -KILL $$"]).exec();
        std::process::abort()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(debug_assertions)]
    fn a_point_is_due_at_the_passing_that_was_asked_for_and_counts_anew_when_asked_anew() {
        let mut passed = (String::new(), 0);
        assert!(!armed::is_due("", "held.heard", &mut passed));
        assert!(!armed::is_due("held.heard", "held.committed", &mut passed));
        assert!(armed::is_due("held.heard", "held.heard", &mut passed));
        let mut due = |asked| armed::is_due(asked, "held.heard", &mut passed);
        assert_eq!([due("held.heard:3"), due("held.heard:3"), due("held.heard:3")], [false, false, true]);
        assert_eq!([due("held.heard:2"), due("held.heard:2")], [false, true]);
    }

    #[test]
    fn names_are_unique() {
        for (at, name) in NAMES.iter().enumerate() {
            assert!(!NAMES[..at].contains(name), "{name} stands there twice");
        }
    }
}
