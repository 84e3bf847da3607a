//! The words everything else speaks: who somebody is, what a message is, what a payment is.
//!
//! Stands: at the top. Uses no other crate of the project, no socket, no clock; `now` and chance are
//! arguments or come through a generator the caller hands in.
//!
//! Names to know: [`Identity`] and [`PublicKey`], [`Address`], [`Content`] and [`Message`],
//! [`Sealer`] and [`open`], [`Msat`], [`GateState`] and [`QuoteState`], [`Act`] and [`Verdict`].
//!
//! `docs/protocol.md` is the normative text; the modules cite its sections.

pub mod act;
pub mod amount;
pub mod attachment;
pub mod content;
pub mod payment;
pub mod place;
pub mod relation;

pub use act::{Act, Actor, GateFacts, Verdict};
pub use amount::Msat;
pub use attachment::AttachmentRef;
pub use content::{Attachment, AttachmentPlace, Content, Encoding, LineEnding};
pub use payment::{CancelReason, GateId, GateState, HoldKind, PaymentHash, Preimage, QuoteId, QuoteState};
pub use place::Place;
pub use relation::{AcceptOn, Prices, Relation, UnverifiedPolicy};
