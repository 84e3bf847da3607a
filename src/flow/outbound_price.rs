//! Another bridge asks a price for a mail that a user of ours sent: the other end of [`crate::flow::ask`].
//!
//! ```text
//!   our user ── mail ──▶ bob@shop.test     sent: (Message-ID, @shop.test)
//!   shop.test ── request, LNMP-Payment: lnbc… ──▶ our user's INBOX, free
//!                        └─ up to the user's limit: paid once for each mail, from the wallet the user named
//!                           (price_by_wallet), or else from what they are owed
//! ```
//! Above the limit the request itself is the bounce: it names price, invoice and page, and its trace how to approve it.

use std::time::Duration;

use converter::MessageFacts;
use lightning::{Invoice, failpoint};
use lnmp::Msat;
use smtp::DkimOutcome;
use store::{Account, AccountId, AutoPay};

use crate::flow::judge::Provenance;
use crate::flow::{own_wallet, payout, price_by_wallet};
use crate::house::House;

/// The field that names the invoice, for machines.
pub const FIELD: &str = "LNMP-Payment";
/// A held payment stays open for hours: its end is looked up later, with the other payouts.
const WATCHED: Duration = Duration::from_secs(5);

/// What another bridge asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceAsked {
    /// Who asks: the mail must have gone there.
    pub domain: String,
    /// The invoice.
    pub bolt11: String,
    /// Its amount.
    pub amount: Msat,
}

/// Reads a request: an automatic answer without a return path whose author's domain stands behind it and, where it
/// signs, behind the invoice.
pub fn asked(
    dkim: &[DkimOutcome],
    provenance: &Provenance,
    facts: &MessageFacts,
    top: &[u8],
    reverse_path: &str,
) -> Option<PriceAsked> {
    if !provenance.aligned || !reverse_path.is_empty() || !facts.automatic() {
        return None;
    }
    let mut signatures = dkim.iter().filter(|signature| signature.may_align()).peekable();
    let signs = |name: &String| name.eq_ignore_ascii_case(FIELD);
    if signatures.peek().is_some() && !signatures.any(|signature| signature.signed_headers.iter().any(signs)) {
        return None;
    }
    let (_, domain) = provenance.author.as_deref()?.rsplit_once('@')?;
    let [bolt11] = &converter::field_values(top, FIELD)[..] else { return None };
    let bolt11 = bolt11.trim();
    let amount = Invoice::parse(bolt11).ok()?.amount;
    // An invoice that leaves the amount to the payer asks for nothing.
    (amount > Msat::ZERO).then(|| PriceAsked { domain: domain.to_owned(), bolt11: bolt11.to_owned(), amount })
}

/// The payment, when the owner's limit covers it.
pub fn auto_pay(account: &Account, asked: &PriceAsked, provenance: &Provenance) -> Option<AutoPay> {
    (asked.amount <= account.settings.max_auto_pay).then(|| AutoPay {
        account: account.id,
        message_id: provenance.reply_to_ids.first().cloned().unwrap_or_default(),
        domain: asked.domain.clone(),
        bolt11: asked.bolt11.clone(),
    })
}

/// What the owner reads of it at the top of the request.
pub fn trace(account: &Account, asked: &PriceAsked, has_wallet: bool) -> String {
    let (amount, limit) = (asked.amount, account.settings.max_auto_pay);
    if amount <= limit {
        let from = if has_wallet { "asked of your wallet" } else { "paid from the balance if that suffices" };
        return format!("LNMP-Outbound-Price: {amount}; within the limit of {limit}, {from}\r\n");
    }
    format!(
        "LNMP-Outbound-Price: {amount}; above the limit of {limit}, not paid.\r\n\tTo approve: satchel wallet payout {} INVOICE\r\n",
        account.address()
    )
}

/// Begins the payment. What cannot be paid is not tried again: the request lies in INBOX, and its sender's mail is kept.
pub async fn pay(house: &House, account: AccountId, bolt11: &str) -> anyhow::Result<()> {
    if own_wallet::wallet(house, account).await?.is_some() {
        return price_by_wallet::note(house, account, bolt11).await;
    }
    failpoint::pass("price.due");
    match payout::begin_user(house, account, bolt11, WATCHED).await {
        Err(error) => tracing::info!(account = account.0, error = format!("{error:#}"), "a price was not paid"),
        Ok(_) => tracing::info!(account = account.0, "a price is being paid"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2,500 micro-bitcoin: the second example of BOLT 11.
    const BOLT11: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";

    fn read(reverse_path: &str, header: &str, aligned: bool) -> Option<PriceAsked> {
        let top = format!("From: postmaster@shop.test\r\nAuto-Submitted: auto-replied\r\n{header}\r\nA price\r\n");
        let provenance = Provenance { author: Some("postmaster@shop.test".into()), aligned, ..Provenance::default() };
        asked(&[], &provenance, &converter::facts(top.as_bytes()), top.as_bytes(), reverse_path)
    }

    #[test]
    fn a_request_is_automatic_returns_nowhere_is_aligned_and_names_one_invoice() {
        let field = format!("{FIELD}: {BOLT11}\r\n");
        let asked = read("", &field, true).unwrap();
        assert_eq!((asked.domain.as_str(), asked.amount), ("shop.test", Msat(250_000_000)));
        assert_eq!(asked.bolt11, BOLT11);
        assert_eq!(read("", &field, false), None);
        assert_eq!(read("bounce@shop.test", &field, true), None);
        assert_eq!(read("", &format!("{field}{field}"), true), None);
        assert_eq!(read("", "LNMP-Payment: lnbc1\r\n", true), None);
        assert_eq!(read("", "", true), None);
    }
}
