//! What an author is to a recipient, and so what the mail costs and where it goes.

use lnmp::{Msat, Place, Relation, UnverifiedPolicy};
use store::{Account, Author, NewGate, Standing, StandingQuery};

use crate::config::Mode;
use crate::house::House;

/// What is known of the author before a recipient is looked at.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    /// The one From address in lower case; `None` when there is none or several.
    pub author: Option<String>,
    /// An identifier aligns with its domain.
    pub aligned: bool,
    /// For an unaligned author: the first evidence there is (design section 2), as `kind:value`.
    pub evidence: Option<String>,
    /// Message-IDs it answers.
    pub reply_to_ids: Vec<String>,
    /// Its own Message-ID.
    pub message_id: Option<String>,
    /// Where the author may be asked for payment; `None`: nobody is.
    pub ask: Option<String>,
    /// The aligned DKIM signature's `b=`, for one request each.
    pub dkim_signature: Option<Vec<u8>>,
}

/// The recipient's side of it.
pub struct Recipient<'a> {
    /// Whose mail it is.
    pub account: &'a Account,
    /// As addressed.
    pub addressed: &'a str,
    /// postmaster@, abuse@, temporary aliases: never priced.
    pub free: bool,
}

/// The judgement.
#[derive(Debug)]
pub struct Judged {
    /// What the author is.
    pub relation: Relation,
    /// What the mail costs; zero when nothing.
    pub price: Msat,
    /// Where it goes.
    pub place: Place,
    /// Its gate.
    pub gate: Option<NewGate>,
    /// The recipient chose to refuse such mail at DATA.
    pub rejects: bool,
}

impl Provenance {
    /// The author as the store keeps it.
    pub fn stored_author(&self) -> Option<Author> {
        let address = self.author.clone()?;
        let evidence = (!self.aligned).then_some(self.evidence.as_ref()).flatten().map(|e| format!("{address} {e}"));
        Some(Author { address, aligned: self.aligned, evidence })
    }
}

/// Judges one mail for one recipient.
pub async fn judge(house: &House, provenance: &Provenance, to: &Recipient<'_>) -> store::Result<Judged> {
    let stored = provenance.stored_author();
    let query = StandingQuery {
        author: stored.as_ref().filter(|author| author.aligned).map(|author| author.address.clone()),
        reply_to_ids: provenance.reply_to_ids.clone(),
        evidence: stored.and_then(|author| author.evidence),
    };
    let standing = house.store.standing(to.account.id, query).await?;
    let relation = relation(provenance, &standing);
    let settings = &to.account.settings;
    let quote = policy::price(relation, &settings.prices, standing.unread);
    let price = if to.free { Msat::ZERO } else { quote.price };
    let observes = settings.observe || house.config.mode == Mode::Observe;
    let gated = price > Msat::ZERO && !observes;
    let gate = gated.then(|| NewGate {
        relation,
        price,
        priority_price: quote.priority,
        recipient: to.addressed.to_owned(),
        ask: provenance.ask.clone(),
        dkim_signature: provenance.dkim_signature.clone(),
        message_id: provenance.message_id.clone(),
    });
    let rejects = gated && relation == Relation::Unverified && settings.unverified == UnverifiedPolicy::Reject;
    Ok(Judged { relation, price, place: if gated { Place::Unpaid } else { Place::Inbox }, gate, rejects })
}

fn relation(provenance: &Provenance, standing: &Standing) -> Relation {
    policy::relation(&policy::Known {
        aligned: provenance.aligned,
        contact: standing.relation,
        replies: standing.replies,
        pass: standing.pass,
    })
}
