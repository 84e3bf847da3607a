//! The mails the bridge writes itself: from what happened to RFC 5322 octets.
//!
//! Pure: no clock, no chance, no I/O; `now` and the Message-ID are given. Every letter is CRLF, 7-bit on the
//! wire (other text is encoded), carries `Auto-Submitted` (RFC 3834 §5) and says nothing of the original's
//! content. The null reverse-path is the envelope's job, not the letter's.
//!
//! ```text
//!   PaymentRequest  to the author:  what to lock, invoice, QR picture, page
//!   Notice          to the owner:   paid mail waits
//!   RefundLink      to the author:  where money kept in escrow goes back to
//!   Behind          to the postmaster:  payments are held and the node does not see the chain
//!   PayoutFailed    to the owner:   what they are owed could not be paid out
//!   PriceNotPaid    to the owner:   another bridge's price was not paid
//!   Lost            to both:        an accepted payment was gone before its claim
//!   Bounce          to a sender:    RFC 3464, with the original's header
//!   Welcome         to the owner:   the first mail of a fresh INBOX
//!   Digest          to the owner:   what lies in Unpaid
//! ```

mod behind;
mod bounce;
mod compose;
mod digest;
mod lost;
mod notice;
mod payment_request;
mod payout_failed;
mod price_not_paid;
mod qr;
mod refund_link;
mod welcome;

pub use behind::Behind;
pub use bounce::{Action, RETURN_BYTES_MAX, Report, Reported};
pub use compose::Cover;
pub use digest::{Digest, DigestLine, LISTED_MAX};
pub use lost::Lost;
pub use notice::Notice;
pub use payment_request::PaymentRequest;
pub use payout_failed::PayoutFailed;
pub use price_not_paid::PriceNotPaid;
pub use refund_link::RefundLink;
pub use welcome::{Try, Welcome};
