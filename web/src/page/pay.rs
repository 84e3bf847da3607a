//! The pay page: what is asked, what locked means, and how it stands.

use std::fmt::Write;

use lnmp::{GateId, GateState};
use serde::Serialize;

use crate::html::{Page, Text, Time};
use crate::{PayGate, PayPage, limits, qr};

/// `failed` is a sandbox payment that was just refused, and why.
pub(crate) fn render(token: &str, page: &PayPage, sandbox: bool, failed: Option<(GateId, &str)>) -> String {
    let shown = shown(page);
    let state = State::of(page);
    let open = shown.iter().filter(|gate| !gate.state.is_over()).count();
    let mut main = String::new();
    // Once all is over the page says how it ended and nothing else: not even to whom.
    let title = if open == 0 {
        main.push_str("<section class=\"hero\"><h1>Closed</h1></section>\n");
        "Closed".to_owned()
    } else {
        let title = format!("Mail to {}", page.recipient);
        let _ = write!(
            main,
            "<section class=\"hero\"><h1>Your {mail} to <span class=\"address\">{}</span></h1>\n<p class=\"lead\">{}</p></section>\n",
            Text(&page.recipient),
            lead(&shown),
            mail = if shown.len() == 1 { "mail" } else { "mails" },
        );
        title
    };
    let _ = writeln!(main, "<div id=\"live\" data-version=\"{}\" data-done=\"{}\">", Text(&state.version), state.done);
    for (index, gate) in shown.iter().enumerate() {
        let failed = failed.filter(|(id, _)| *id == gate.gate).map(|(_, why)| why);
        card(&mut main, token, page, gate, (index + 1, shown.len()), failed);
    }
    if page.gates.len() > shown.len() {
        let _ = writeln!(
            main,
            "<p class=\"small\">{} more mails follow when these are done.</p>",
            page.gates.len() - shown.len()
        );
    }
    main.push_str("</div>\n<p id=\"said\" class=\"unseen\" role=\"status\" aria-live=\"polite\"></p>\n");
    if open > 0 {
        main.push_str(WHAT_LOCKED_MEANS);
    }
    let mut head = String::new();
    if !state.done {
        head.push_str("<script src=\"/pay.js\" defer></script>\n");
        // `watch` makes no new invoice, however long the page stays open.
        let _ = writeln!(
            head,
            "<noscript><meta http-equiv=\"refresh\" content=\"10; url=/pay/{}?watch\"></noscript>",
            Text(token)
        );
    }
    Page { title: &title, head: &head, main: &main, sandbox }.to_string()
}

/// How the page stands, for the script: it reloads the cards when `version` changes.
#[derive(Debug, Serialize)]
pub(crate) struct State {
    /// Differs when the page would read differently.
    pub(crate) version: String,
    /// Nothing can change any more.
    pub(crate) done: bool,
    gates: Vec<GateJson>,
}

#[derive(Debug, Serialize)]
struct GateJson {
    gate: i64,
    state: &'static str,
    refunded: bool,
    payable: bool,
    expires_at: Option<String>,
    hold_until: Option<String>,
}

impl State {
    pub(crate) fn of(page: &PayPage) -> Self {
        let shown = shown(page);
        let mut version = String::new();
        for gate in &shown {
            let payable = payable(gate).is_some();
            let _ = write!(
                version,
                "{}{}.{}{}{}",
                if version.is_empty() { "" } else { "-" },
                gate.gate,
                gate.state.name(),
                if gate.refunded { ".again" } else { "" },
                if payable { ".payable" } else { "" },
            );
        }
        let at = |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        Self {
            version,
            done: shown.iter().all(|gate| gate.state.is_over()),
            gates: shown
                .iter()
                .map(|gate| GateJson {
                    gate: gate.gate.0,
                    state: gate.state.name(),
                    refunded: gate.refunded,
                    payable: payable(gate).is_some(),
                    expires_at: payable(gate).and(gate.expires_at).map(at),
                    hold_until: gate.hold_until.filter(|_| gate.state == GateState::Held).map(at),
                })
                .collect(),
        }
    }
}

/// The gates of the page, open ones first, bounded.
fn shown(page: &PayPage) -> Vec<&PayGate> {
    let (over, open): (Vec<_>, Vec<_>) = page.gates.iter().partition(|gate| gate.state.is_over());
    open.into_iter().chain(over).take(limits::GATES_SHOWN_MAX).collect()
}

/// The invoice, as long as it is what the page is about.
fn payable(gate: &PayGate) -> Option<&str> {
    gate.bolt11.as_deref().filter(|_| gate.state == GateState::Waiting)
}

fn lead(shown: &[&PayGate]) -> String {
    let count = |state| shown.iter().filter(|gate| gate.state == state).count();
    let one = shown.len() == 1;
    match (count(GateState::Waiting), count(GateState::Held)) {
        (0, 0) => "It was accepted. There is nothing more to do.".to_owned(),
        (0, _) => "Your payment is locked. There is nothing more to do: this page says how it ends.".to_owned(),
        (1, _) if one => {
            "It has arrived and is waiting. Lock a small payment to put it before its reader; you get it back \
                          in full unless the mail is accepted."
                .to_owned()
        }
        (1, _) => {
            "One of your mails is waiting. Lock a small payment to put it before its reader; you get it back in full \
                   unless the mail is accepted."
                .to_owned()
        }
        (n, _) => format!(
            "{n} mails have arrived and are waiting. Lock a small payment for each one you want read; you get it back \
             in full unless that mail is accepted."
        ),
    }
}

fn card(main: &mut String, token: &str, page: &PayPage, gate: &PayGate, (n, of): (usize, usize), failed: Option<&str>) {
    let (pill, tone) = pill(gate);
    let name = if of > 1 { format!("Mail {n} of {of}") } else { String::new() };
    let _ = write!(
        main,
        "<article class=\"card gate {tone}\" id=\"gate-{id}\" aria-label=\"{label}\">\n<header><span class=\"pill {tone}\">{pill}</span>",
        id = gate.gate,
        label = if of > 1 { format!("{name}: {pill}") } else { pill.to_owned() },
    );
    if of > 1 {
        let _ = write!(main, "<span class=\"count\">{n} of {of}</span>");
    }
    if !gate.state.is_over() {
        let _ = write!(main, "<span class=\"arrived\">arrived {}</span>", Time(gate.received_at));
    }
    main.push_str("</header>\n");
    if let Some(why) = failed {
        let _ = writeln!(
            main,
            "<p class=\"notice bad\" role=\"alert\"><b>The sandbox wallet did not pay.</b> {}</p>",
            Text(why)
        );
    }
    match gate.state {
        GateState::Waiting => waiting(main, token, page, gate),
        GateState::Held => {
            let until = gate.hold_until.map_or_else(String::new, |until| {
                format!(" Without an answer by <b>{}</b> it goes back to you by itself, in full.", Time(until))
            });
            let _ = write!(
                main,
                "<p class=\"amount\">{amount}</p>\n<p><b>Locked.</b> Your mail now stands before {to}, and the money has \
                 not been taken.{until}</p>\n<p class=\"small\">Your wallet shows the payment as pending, some show a \
                 spinner. That is as it should be; you may close the wallet and this page.</p>\n",
                amount = gate.amount,
                to = Text(&page.recipient),
            );
        }
        GateState::Settling => {
            let _ = write!(
                main,
                "<p class=\"amount\">{}</p>\n<p><b>Accepted.</b> The payment is being collected; that takes a moment.</p>\n",
                gate.amount
            );
        }
        GateState::Settled => {
            main.push_str("<p><b>Closed.</b> The mail was accepted and the payment is settled.</p>\n")
        }
        GateState::Declined => {
            main.push_str("<p><b>Closed.</b> The payment was refunded in full: nothing was taken.</p>\n");
        }
        GateState::Lost => {
            main.push_str(
                "<p><b>Closed.</b> The payment went back to your wallet before it could be collected: refunded.</p>\n",
            );
        }
        GateState::Waived => {
            main.push_str(
                "<p><b>Closed.</b> No payment is needed any more; one that comes now is refunded at once.</p>\n",
            );
        }
    }
    main.push_str("</article>\n");
}

fn pill(gate: &PayGate) -> (&'static str, &'static str) {
    match gate.state {
        GateState::Waiting if payable(gate).is_some() => ("Waiting for payment", "wait"),
        GateState::Waiting => ("Waiting", "wait"),
        GateState::Held => ("Locked", "held"),
        GateState::Settling => ("Accepted", "good"),
        GateState::Settled => ("Settled", "good"),
        GateState::Declined | GateState::Lost => ("Refunded", "back"),
        GateState::Waived => ("Nothing to pay", "back"),
    }
}

fn waiting(main: &mut String, token: &str, page: &PayPage, gate: &PayGate) {
    if gate.refunded {
        main.push_str(
            "<p class=\"notice\"><b>Refunded: nobody answered in time.</b> Your payment went back in full. The mail is \
             still there, and you may lock a payment again.</p>\n",
        );
    }
    let amount = gate.amount;
    let _ = write!(
        main,
        "<p class=\"amount\">{amount}</p>\n<p class=\"to\">to be locked for <b>{}</b></p>\n",
        Text(&page.recipient)
    );
    let Some(invoice) = payable(gate) else {
        match &gate.why_no_invoice {
            Some(why) => {
                let _ = write!(
                    main,
                    "<p class=\"notice\"><b>No invoice at the moment:</b> {}.</p>\n\
                     <p><a class=\"button\" href=\"/pay/{}\">Try again</a></p>\n",
                    Text(why.trim_end_matches('.')),
                    Text(token)
                );
            }
            None => {
                let _ = write!(
                    main,
                    "<p>An invoice is good for a short while only, and none is open now.</p>\n\
                     <p><a class=\"button primary\" href=\"/pay/{}\">Get an invoice</a></p>\n",
                    Text(token)
                );
            }
        }
        return;
    };
    main.push_str("<div class=\"pay\">\n");
    if let Some(picture) = qr::svg(invoice, &format!("QR code of the Lightning invoice over {amount}")) {
        let _ = writeln!(main, "<div class=\"code\">{picture}</div>");
    }
    let id = gate.gate;
    let _ = write!(
        main,
        "<div class=\"ways\">\n<a class=\"button primary\" href=\"lightning:{invoice}\">Open in a Lightning wallet</a>\n\
         <button type=\"button\" class=\"button copy\" data-copy=\"invoice-{id}\" hidden>Copy the invoice</button>\n",
        invoice = Text(invoice),
    );
    if gate.can_pay_in_sandbox {
        let _ = writeln!(
            main,
            "<form method=\"post\" action=\"/pay/{token}/sandbox\"><input type=\"hidden\" name=\"gate\" value=\"{id}\">\
             <button class=\"button\">Pay with the sandbox wallet</button></form>",
            token = Text(token),
        );
    }
    if let Some(expires_at) = gate.expires_at {
        let _ = writeln!(main, "<p class=\"small\">This invoice can be paid until {}.</p>", Time(expires_at));
    }
    let _ = write!(
        main,
        "</div>\n<div class=\"invoice\"><h3 id=\"invoice-label-{id}\">Lightning invoice (BOLT 11)</h3>\
         <code id=\"invoice-{id}\" tabindex=\"0\" role=\"textbox\" aria-readonly=\"true\" aria-multiline=\"true\" \
         aria-labelledby=\"invoice-label-{id}\">{invoice}</code></div>\n</div>\n",
        invoice = Text(invoice),
    );
}

const WHAT_LOCKED_MEANS: &str = "<section class=\"card plain\" aria-labelledby=\"locked\">\
<h2 id=\"locked\">Locked, refunded unless accepted</h2>\n<ol class=\"steps\">\n\
<li><b>You pay the invoice</b><span>Your wallet locks the money on its way. Nobody has it yet.</span></li>\n\
<li><b>Your mail is shown</b><span>It moves from the unpaid ones to where its reader looks.</span></li>\n\
<li><b>Accepted, or refunded</b><span>Only if the reader accepts the mail is the payment taken. Declined or not \
answered in time: all of it goes back.</span></li>\n</ol>\n\
<p class=\"small\">While it is locked, wallets show the payment as <i>pending</i> or \u{201c}in flight\u{201d}, some as a \
spinner that keeps turning. Nothing is wrong then: close the wallet if you like, and do not pay twice.</p></section>\n";

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use lnmp::Msat;

    fn gate(id: i64, state: GateState) -> PayGate {
        let at = DateTime::from_timestamp(1_795_234_200, 0).unwrap();
        PayGate {
            gate: GateId(id),
            state,
            refunded: false,
            received_at: at,
            price: Msat(100_000),
            priority_price: Msat(1_000_000),
            amount: Msat(100_000),
            bolt11: Some("lnbcrt1u1pinvoice".into()),
            why_no_invoice: None,
            expires_at: Some(at),
            hold_until: Some(at),
            can_pay_in_sandbox: true,
        }
    }

    fn page(gates: Vec<PayGate>) -> PayPage {
        PayPage { recipient: "alice@satchel.test".into(), gates }
    }

    #[test]
    fn the_invoice_is_shown_only_while_the_gate_waits() {
        for state in GateState::ALL {
            let html = render(&"a".repeat(32), &page(vec![gate(7, state)]), true, None);
            let waits = state == GateState::Waiting;
            for part in ["lnbcrt1u1pinvoice", "class=\"qr\"", "lightning:", "/sandbox\"><input"] {
                assert_eq!(html.contains(part), waits, "{part} in {}", state.name());
            }
        }
    }

    #[test]
    fn after_the_end_neither_recipient_nor_amount_is_shown() {
        for state in GateState::ALL.into_iter().filter(|state| state.is_over()) {
            let html = render(&"a".repeat(32), &page(vec![gate(7, state)]), true, None);
            assert!(html.contains("Closed"), "{}", state.name());
            for part in ["alice", "100 sat", "21 Nov", "http-equiv=\"refresh\"", "pay.js"] {
                assert!(!html.contains(part), "{part} in {}", state.name());
            }
        }
    }

    #[test]
    fn open_mails_come_before_those_that_are_over_and_are_counted() {
        let html = render(
            &"a".repeat(32),
            &page(vec![gate(1, GateState::Settled), gate(2, GateState::Held), gate(3, GateState::Waiting)]),
            false,
            None,
        );
        let places: Vec<_> = [2, 3, 1].iter().map(|id| html.find(&format!("id=\"gate-{id}\"")).unwrap()).collect();
        assert!(places.is_sorted());
        assert!(html.contains("1 of 3") && html.contains("3 of 3"));
    }

    #[test]
    fn the_version_changes_with_what_is_shown() {
        let waiting = gate(1, GateState::Waiting);
        let mut expired = waiting.clone();
        expired.bolt11 = None;
        let mut again = waiting.clone();
        again.refunded = true;
        let versions: std::collections::BTreeSet<_> = [waiting, expired, again, gate(1, GateState::Held)]
            .into_iter()
            .map(|gate| State::of(&page(vec![gate])).version)
            .collect();
        assert_eq!(versions.len(), 4);
    }

    #[test]
    fn a_page_lists_a_bounded_number_of_mails_and_says_so() {
        let gates = (0..60).map(|id| gate(id, GateState::Held)).collect();
        let html = render(&"a".repeat(32), &page(gates), false, None);
        assert_eq!(html.matches("<article").count(), limits::GATES_SHOWN_MAX);
        assert!(html.contains("10 more mails"));
    }
}
