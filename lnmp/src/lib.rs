//! The words everything else speaks: who somebody is, what a message is, what a payment is.
//!
//! Stands: at the top. Uses no other crate of the project, no socket, no clock; `now` and chance are
//! arguments or come through a generator the caller hands in.
//!
//! ```text
//!   Content ─encode─▶ octets ─Sealer::seal─▶ content + summary + digest + trigrams blobs ─Opener::open_*─▶ octets
//!                                                 └──wire_json / from_wire──▶ another relay
//!   credential ─unwrap─▶ MailboxKey ─open_identity─▶ Identity ─▶ Opener
//! ```
//!
//! Names to know: [`Identity`] and [`PublicKey`], [`Address`], [`Content`], [`Sealer`] and [`Opener`],
//! [`MailboxKey`] and [`BridgeKey`], [`Msat`], [`GateState`] and [`gate::Gate`], [`Act`] and [`Verdict`].
//!
//! Promises. Octets from outside never panic and never cost more than their number asks for. Secrets print as
//! `[secret]` and are wiped when dropped. An [`Opened`] exists only if its author's signature was checked.
//! Absent on purpose: storage, prices, retries, clocks.
//!
//! `docs/protocol.md` is the normative text; the modules cite its sections. `vectors/` holds known answers.
//!
//! ```
//! use lnmp::{Content, Identity, Opener, Sealer};
//!
//! let rng = &mut rand::thread_rng();
//! let (bridge, alice) = (Identity::generate(rng), Identity::generate(rng));
//! let content = Content { skeleton: b"Subject: Hi\r\n\r\nHello\r\n".to_vec(), ..Content::default() };
//!
//! let sealed = Sealer::new(&bridge).seal(
//!     rng, 1_790_000_000_000, &alice.public_key(), &content.encode()?, b"what a list shows", None)?;
//! let opened = Opener::new(&alice).open_content(&sealed.content)?;
//! assert_eq!(Content::decode(opened.content)?, content);
//! assert_eq!(opened.from, bridge.public_key());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod act;
pub mod address;
mod aead;
pub mod agreements;
pub mod allow;
pub mod amount;
pub mod attachment;
pub mod bridge_key;
pub mod content;
pub mod credential;
pub mod filter;
pub mod gate;
pub mod identity;
pub mod jcs;
pub mod limits;
pub mod message;
pub mod open;
mod padding;
pub mod payment;
pub mod place;
pub mod quoting;
pub mod relation;
pub mod seal;
pub mod secret;
pub mod share;
pub mod wrap;

pub use act::{Act, GateFacts, Verdict};
pub use address::{Address, AddressError, Checksum, Verified};
pub use aead::Algorithm;
pub use agreements::Agreement;
pub use allow::{Allowed, AllowedError};
pub use amount::Msat;
pub use attachment::AttachmentRef;
pub use bridge_key::{BridgeKey, open_secret, seal_secret};
pub use content::{Attachment, AttachmentPlace, Content, ContentError, Encoding, LineEnding};
pub use credential::{AppPassword, RecoveryPhrase, WrapId};
pub use filter::{Actions, Conditions, Filter, FilterError, HeaderIs};
pub use identity::{Identity, IdentityError, PublicKey, Tag};
pub use message::{AuthorVerified, ContentId, MessageError, MessageId, Scheme};
pub use open::{OpenError, Opened, Opener, from_wire, wire_json};
pub use payment::{
    CancelReason, GateId, GateState, HoldKind, PaymentHash, Preimage, QuoteId, QuoteState, Refund, RefundTarget,
    Voucher,
};
pub use place::Place;
pub use quoting::{EscrowRoom, NoRoom, Quoting, Reserved, Room};
pub use relation::{AcceptOn, Prices, Relation, UnpaidPolicy, UnverifiedPolicy};
pub use seal::{Plaintexts, SealError, SealedMessage, Sealer};
pub use secret::Secret;
pub use wrap::{MailboxKey, PasswordParams, WrapError, WrapKind};
