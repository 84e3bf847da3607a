//! Pay, then send again: an author who was refused at DATA is told a page, pays there, and sends the mail once more.
//!
//! ```text
//!   DATA ─ refused ─▶ 550 5.7.1 … https://…/pay/TOKEN       offered: nothing was kept of the mail
//!   the page ─ paid ─▶ held: the money is locked, or received in escrow; it waits for the mail
//!   DATA again ─▶ Requests, $Paid     the mail and the voucher's use are one commit; then a hold like any other
//!   no mail ─▶ the money goes home
//! ```
//! Offered to an aligned author only, as far as a payment request would go to them: whoever forges a name, or sends
//! somebody's signed mail again, would else open a page in that name. One voucher lets one mail in.

use lnmp::{HoldKind, UnpaidPolicy};
use store::{NewGate, NewVoucher, UnixMs};

use crate::flow::judge::Judged;
use crate::flow::receive::Addressed;
use crate::house::House;

/// Why mail is refused that costs something: its author can do something about it.
pub const REFUSED_UNPAID: &str = "this recipient takes mail from people they do not know only with a small payment, which is \
                                  given back unless the mail is accepted";

/// The author whose vouchers a mail may use: one who could be asked for money as well.
pub fn payer(author: Option<&str>, aligned: bool, ask: Option<&str>) -> Option<String> {
    author.filter(|_| aligned && ask.is_some()).map(str::to_owned)
}

/// The text of a refusal; with the page to pay on, where one recipient would take the mail then.
pub async fn refusal(house: &House, why: &str, refused: &[(&Addressed, &Judged)], now: UnixMs) -> String {
    let page = match refused {
        [(addressed, judged)] => offer(house, addressed, judged, now).await,
        // Each of several would need another one.
        _ => None,
    };
    match page {
        Some(page) => {
            format!("{why}. To pay: {page} then send it again within {}", hours(house.config.money.voucher.as_secs()))
        }
        None => why.to_owned(),
    }
}

/// The address of the page, when this author may pay for this mail before sending it again.
async fn offer(house: &House, addressed: &Addressed, judged: &Judged, now: UnixMs) -> Option<String> {
    let running = house.running().ok()?;
    let author = judged.payer.clone()?;
    let gate = judged.gate.as_ref().filter(|_| addressed.account.settings.unpaid == UnpaidPolicy::Reject)?;
    // A wallet that takes payments at once could not give this one back.
    if !running.wallet.can_hold() || house.is_short_of_disk() {
        return None;
    }
    let new = NewVoucher {
        account: addressed.account.id,
        author,
        gate: NewGate { voucher: false, ..gate.clone() },
        wait_ms: house.config.voucher_wait_ms(),
    };
    match house.store.offer_voucher(new, now).await {
        Ok(token) => token.map(|token| format!("{}/pay/{token}", running.public_url)),
        Err(error) => {
            tracing::warn!(%error, "no page for a refused mail");
            None
        }
    }
}

/// How long, in words a mail server's log can hold.
fn hours(seconds: u64) -> String {
    match seconds {
        3600.. if seconds.is_multiple_of(3600) => format!("{} hours", seconds / 3600),
        60.. if seconds.is_multiple_of(60) => format!("{} minutes", seconds / 60),
        _ => format!("{seconds} seconds"),
    }
}

/// How long the owner has once the mail is there: with the wait before it no longer than the payment can be held.
pub fn hold_ms(house: &House, kind: HoldKind) -> i64 {
    let chosen = i64::try_from(house.config.money.hold.as_millis()).unwrap_or(i64::MAX / 2);
    policy::voucher_hold_ms(kind, chosen, house.config.voucher_wait_ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_aligned_author_who_could_be_asked_pays_before() {
        let bob = Some("bob@shop.test");
        assert_eq!(payer(bob, true, bob).as_deref(), bob);
        assert_eq!(payer(bob, false, bob), None);
        assert_eq!(payer(bob, true, None), None, "a list, a program, or a signature that may be a copy");
        assert_eq!(payer(None, true, bob), None);
    }

    #[test]
    fn a_time_is_told_in_the_largest_unit_that_fits() {
        assert_eq!([hours(86_400), hours(5400), hours(7)], ["24 hours", "90 minutes", "7 seconds"]);
    }

    #[test]
    fn the_refusal_is_a_reply_line_with_room_for_a_long_address() {
        // RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets, with code and CRLF.
        let rest = "550 5.7.1 . To pay: /pay/00000000000000000000000000000000 then send it again within 24 hours\r\n";
        assert!(REFUSED_UNPAID.len() + rest.len() + 200 < 512);
    }
}
