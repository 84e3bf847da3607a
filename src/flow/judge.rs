//! What an author is to a recipient, and so what the mail costs and where it goes.

use lnmp::{Actions, Msat, Place, Relation, UnpaidPolicy, UnverifiedPolicy};
use store::{Account, Author, Flags, NewGate, Standing, StandingQuery, UnixMs};

use crate::config::Mode;
use crate::flow::outbound_price::PriceAsked;
use crate::flow::voucher::{self, REFUSED_UNPAID};
use crate::house::House;

/// An account's own words are not sent: whom they mean should not learn what the owner thinks of them.
const REFUSED_BY_FILTER: &str = "this recipient has chosen not to take mail like this; please do not send it again";
/// The one thing the author can change.
const REFUSED_UNVERIFIED: &str =
    "this recipient takes mail from strangers only when SPF or DKIM show who wrote it, and nothing here does";

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
    /// Domains with a passing DKIM signature or SPF, in lower case.
    pub passing: Vec<String>,
    /// Its List-Id.
    pub list_id: Option<String>,
    /// It asks a price for a mail of the recipient's.
    pub price_asked: Option<PriceAsked>,
}

/// The mail itself, as far as filters look at it.
pub struct Mail<'a> {
    /// It begins with the header.
    pub raw: &'a [u8],
    /// Octets of the whole.
    pub size: u64,
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
    /// Into this folder of the owner's instead of INBOX.
    pub folder: Option<String>,
    /// System flags from birth.
    pub flags: Flags,
    /// Keywords from birth.
    pub keywords: Vec<String>,
    /// Its gate.
    pub gate: Option<NewGate>,
    /// Let in whoever wrote it: by an allow-list, an address that is free, or because mail is expected.
    pub passes: bool,
    /// The recipient chose to refuse such mail at DATA, and why, for its author.
    pub rejects: Option<&'static str>,
    /// The filter it met.
    pub filter: Option<String>,
    /// It asks a price for a mail that this recipient sent there.
    pub asks_price: bool,
    /// Who may pay for it before sending it again.
    pub payer: Option<String>,
    /// Its author did, and it uses that voucher up.
    pub voucher: bool,
}

impl Judged {
    /// What costs nothing and goes to a folder every account has: letters of the bridge, copies of own mail.
    pub fn free_into(place: Place) -> Self {
        Self {
            relation: Relation::Friend,
            price: Msat::ZERO,
            place,
            folder: None,
            flags: Flags::NONE,
            keywords: Vec::new(),
            gate: None,
            passes: true,
            rejects: None,
            filter: None,
            asks_price: false,
            payer: None,
            voucher: false,
        }
    }
}

impl Judged {
    /// Whether the recipient wants the author's mail, and it is certain that they wrote it.
    pub fn is_welcome(&self, provenance: &Provenance) -> bool {
        let known = matches!(self.relation, Relation::Friend | Relation::Acquaintance);
        self.passes || self.voucher || (provenance.aligned && known)
    }
}

/// One answer to DATA serves all recipients: a mail is refused only when each of them refuses it. Else those who do
/// keep it silently, where [`judge`] put it.
pub fn refused_by_all<'a>(judged: impl IntoIterator<Item = &'a Judged>) -> Option<&'static str> {
    let mut all = judged.into_iter();
    let first = all.next()?.rejects?;
    all.all(|judged| judged.rejects.is_some()).then_some(first)
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
pub async fn judge(
    house: &House,
    provenance: &Provenance,
    mail: &Mail<'_>,
    to: &Recipient<'_>,
    now: UnixMs,
) -> store::Result<Judged> {
    let stored = provenance.stored_author();
    let payer = voucher::payer(provenance.author.as_deref(), provenance.aligned, provenance.ask.as_deref());
    let query = StandingQuery {
        author: stored.as_ref().filter(|author| author.aligned).map(|author| author.address.clone()),
        reply_to_ids: provenance.reply_to_ids.clone(),
        asking: provenance.price_asked.as_ref().map(|asked| asked.domain.clone()),
        evidence: stored.and_then(|author| author.evidence),
        pays: payer.clone().map(|payer| (payer, provenance.dkim_signature.clone())),
    };
    let standing = house.store.standing(to.account.id, query).await?;
    let relation = relation(provenance, &standing);
    let settings = &to.account.settings;
    let filter = policy::first_match(
        &settings.filters,
        &policy::Arriving {
            author: provenance.author.as_deref(),
            aligned: provenance.aligned,
            relation,
            size: mail.size,
            recipient: to.addressed,
            header: &|name| converter::field_values(mail.raw, name),
        },
    );
    let none = Actions::default();
    let actions = filter.map_or(&none, |filter| &filter.then);
    let quote = match actions.price {
        Some(price) => policy::price_of(price, &settings.prices, standing.unread),
        None => policy::price(relation, &settings.prices, standing.unread),
    };
    // RFC 5321 §4.5.1: what is always taken is not refused either.
    let refused = actions.refuse && !to.free;
    let filed = actions.born_place().filter(|place| place.refuses() || *place == Place::Archive);
    let unwanted = refused || filed.is_some_and(Place::refuses);
    // Who wrote to another bridge hears its price, wherever a stranger's mail would go.
    let passes = to.free
        || actions.free
        || standing.asked
        || settings.expecting_until > now
        || is_allowed(house, to.account, provenance);
    let price = if passes || unwanted { Msat::ZERO } else { quote.price };
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
        voucher: standing.voucher,
    });
    let rejects = settings.unpaid == UnpaidPolicy::Reject && gated && !standing.voucher;
    let unverified = gated && relation == Relation::Unverified && settings.unverified == UnverifiedPolicy::Reject;
    let place = match filed {
        _ if refused => Place::Junk,
        _ if gated => Place::Unpaid,
        Some(place) => place,
        None => Place::Inbox,
    };
    Ok(Judged {
        relation,
        price,
        place,
        folder: actions.file.clone().filter(|_| place == Place::Inbox && actions.born_place().is_none()),
        flags: if actions.flag { Flags::FLAGGED } else { Flags::NONE },
        keywords: actions.keywords.clone(),
        gate,
        passes,
        rejects: match relation {
            _ if refused => Some(REFUSED_BY_FILTER),
            Relation::Unverified => (unverified || rejects).then_some(REFUSED_UNVERIFIED),
            Relation::Stranger | Relation::Acquaintance | Relation::Friend => rejects.then_some(REFUSED_UNPAID),
        },
        filter: filter.map(|filter| filter.name.clone()),
        asks_price: standing.asked,
        payer: payer.filter(|_| gated),
        voucher: gated && standing.voucher,
    })
}

/// Whether the account's allow-list or the bridge's lets it in free.
fn is_allowed(house: &House, account: &Account, provenance: &Provenance) -> bool {
    let vouched = policy::Vouched {
        aligned_author: provenance.author.as_deref().filter(|_| provenance.aligned),
        list_id: provenance.list_id.as_deref(),
        passing: &provenance.passing,
    };
    policy::allows(&account.settings.allowed, &vouched) || policy::allows(&house.allowed(), &vouched)
}

pub(super) fn relation(provenance: &Provenance, standing: &Standing) -> Relation {
    policy::relation(&policy::Known {
        aligned: provenance.aligned,
        contact: standing.relation,
        replies: standing.replies,
        pass: standing.pass,
    })
}
