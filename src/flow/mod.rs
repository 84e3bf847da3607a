//! The story of a mail, one file a chapter.
//!
//! ```text
//!   receive ─▶ judge ─▶ seal ─▶ store.commit ─▶ 250        a stranger's mail comes in
//!   ask ─▶ quote ─▶ request mail                           the author is asked
//!   pay ─▶ store.payment_held                              the money is locked, the mail moves
//!   (the user acts: the store decides in the act's own transaction)
//!   work ─▶ claim | cancel                                 the node hears of the decision
//!   pay ─▶ store.payment_settled                           the money arrived, the ledger knows
//!   expire                                                 nobody answered
//!   refund ─▶ store.begin_refund ─▶ the node pays          escrow: the money goes back
//! ```

pub mod ask;
pub mod auto_payout;
pub mod bounce;
pub mod channels;
pub mod deliver;
pub mod digest;
pub mod dnsbl;
pub mod expire;
pub mod greylist;
pub mod judge;
pub mod mail;
pub mod mailbox;
pub mod outbound_price;
pub mod own_wallet;
pub mod pay;
pub mod payout;
pub mod price_by_wallet;
pub mod queued;
pub mod receive;
pub mod reconcile;
pub mod refund;
pub mod reports;
pub mod return_path;
pub mod seal;
pub mod send;
pub mod smtp_host;
pub mod submit;
pub mod tls_report;
pub mod voucher;
pub mod watchdog;
pub mod web_host;
pub mod work;
