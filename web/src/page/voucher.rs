//! On the pay page: paid first, sent afterwards.

use std::fmt::Write;

use lnmp::{GateState, HoldKind, Voucher};

use crate::PayGate;
use crate::html::{Text, Time};
use crate::page::refund;

/// Whether there is no mail yet.
pub(super) fn is_open(gate: &PayGate) -> bool {
    gate.voucher == Some(Voucher::Open)
}

/// What the head of the page says, where it is about a mail that has not come.
pub(super) fn lead(shown: &[&PayGate]) -> Option<String> {
    let open = shown.iter().find(|gate| is_open(gate))?;
    Some(if open.state == GateState::Held {
        "It is paid. Send your mail again now: it is let in when it comes.".to_owned()
    } else {
        "It was refused and was not kept. Pay first, then send it again; you get the payment back in full unless the mail is \
         accepted."
            .to_owned()
    })
}

/// Paid; the mail has not come.
pub(super) fn paid(main: &mut String, recipient: &str, token: &str, gate: &PayGate) {
    let until = gate.hold_until.map_or_else(String::new, |until| format!(" by <b>{}</b>", Time(until)));
    let (how, back) = match gate.hold {
        HoldKind::Htlc => ("Locked.", "it goes back to you by itself, in full".to_owned()),
        HoldKind::Escrow => (
            "Received in escrow.",
            format!("all of it is paid back to {}", Text(gate.refund_to.as_deref().unwrap_or("you"))),
        ),
    };
    let _ = write!(
        main,
        "<p class=\"amount\">{amount}</p>\n<p><b>{how}</b> <b>Now send your mail again</b> to {to}, from the same address. The \
         first one that comes is put before its reader with this payment. If none comes{until}, {back}.</p>\n",
        amount = gate.amount,
        to = Text(recipient),
    );
    if gate.hold == HoldKind::Escrow {
        refund::change(main, token, gate);
    }
}

/// It ended without a mail.
pub(super) fn over(gate: &PayGate) -> &'static str {
    if gate.refunded {
        "<p><b>Closed.</b> No mail came in time. The payment went back in full: nothing was taken.</p>\n"
    } else {
        "<p><b>Closed.</b> It was not paid in time. To try again, send the mail again: the refusal names a page.</p>\n"
    }
}

pub(super) const WHAT_IT_MEANS: &str = "<section class=\"card plain\" aria-labelledby=\"locked\">\
<h2 id=\"locked\">Pay, then send again</h2>\n<ol class=\"steps\">\n\
<li><b>You pay the invoice</b><span>Your wallet locks the money on its way. Nobody has it yet.</span></li>\n\
<li><b>You send the mail again</b><span>From the same address, with your usual mail program. It lets one mail in.</span></li>\n\
<li><b>Accepted, or refunded</b><span>Only if the reader accepts the mail is the payment taken. Declined, not answered in \
time, or never sent: all of it goes back.</span></li>\n</ol>\n\
<p class=\"small\">While it is locked, wallets show the payment as <i>pending</i> or \u{201c}in flight\u{201d}, some as a \
spinner that keeps turning. Nothing is wrong then: do not pay twice.</p></section>\n";
