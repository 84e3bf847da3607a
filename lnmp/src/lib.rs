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
pub mod address;
mod aead;
pub mod amount;
pub mod attachment;
pub mod content;
pub mod gate;
pub mod identity;
pub mod jcs;
pub mod limits;
pub mod message;
pub mod open;
mod padding;
pub mod payment;
pub mod place;
pub mod relation;
pub mod seal;
pub mod secret;
pub mod wrap;

pub use act::{Act, Actor, GateFacts, Verdict};
pub use address::{Address, AddressError, Checksum, Verified};
pub use aead::Algorithm;
pub use amount::Msat;
pub use attachment::AttachmentRef;
pub use content::{Attachment, AttachmentPlace, Content, ContentError, Encoding, LineEnding};
pub use identity::{Identity, IdentityError, PublicKey, Tag};
pub use message::{AuthorVerified, ContentId, MessageError, MessageId, Scheme};
pub use open::{OpenError, Opened, Opener, from_wire, wire_json};
pub use payment::{CancelReason, GateId, GateState, HoldKind, PaymentHash, Preimage, QuoteId, QuoteState};
pub use place::Place;
pub use relation::{AcceptOn, Prices, Relation, UnverifiedPolicy};
pub use seal::{SealError, SealedMessage, Sealer};
pub use secret::Secret;
pub use wrap::{
    AppPassword, BridgeKey, MailboxKey, PasswordParams, RecoveryPhrase, WrapError, WrapId, WrapKind, open_secret,
    seal_secret,
};
