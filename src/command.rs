//! What each command of the command line does, on the running house or on a closed DIR.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use lnmp::{AcceptOn, Act, GateId, GateState, HoldKind, Msat, QuoteState, Relation, UnverifiedPolicy};
use serde_json::{Value, json};
use store::{Account, Gate, GateFilter, NewAlias, Quote, Store, StoreError, UnixMs};

use crate::accounts::{self, Which};
use crate::cli::{CapabilityChange, PriceChange, Request};
use crate::config::{Config, ConfigError};
use crate::dir::Dir;
use crate::dkim::verbs;
use crate::flow::{ask, expire, payout, refund, reports, tls_report};
use crate::house::{House, PolicyRules, now_ms};
use crate::keys::Keys;
use crate::{allow, books, dns, filters, groups, outside, run, sharing};

/// An invoice of the operator stays payable this long.
const INVOICE_EXPIRY: Duration = Duration::from_secs(3600);
/// Blocks one `sandbox mine` may make: a week of them is plenty for any hold.
const MINE_BLOCKS_MAX: u32 = 2016;
/// The node's event is committed within this, or the machine is in trouble.
const HEARD_DEADLINE: Duration = Duration::from_secs(5);
/// After mining, the node gets this long to see the new tip.
const CHAIN_DEADLINE: Duration = Duration::from_secs(30);

/// Does a command on a DIR no server runs on.
pub async fn offline(dir: Dir, request: Request) -> anyhow::Result<Value> {
    let Some(_lock) = dir.lock()? else {
        bail!(
            "{}: a server holds this directory but does not answer; is it starting or stopping?",
            dir.root().display()
        );
    };
    if !dir.config().exists() {
        return Err(ConfigError(format!(
            "{}: not a data directory yet; start `satchel up --dir {}` first",
            dir.root().display(),
            dir.root().display()
        ))
        .into());
    }
    let config = run::config_of(&dir)?;
    let house = closed(config, dir).await?;
    let result = execute(&house, request).await;
    house.store.close().await;
    result
}

/// A house without doors on a locked DIR.
pub async fn closed(config: Config, dir: Dir) -> anyhow::Result<Arc<House>> {
    let keys = Keys::open(&dir)?;
    let path = dir.database();
    let store = store::Sqlite::open(&path, keys.bridge().clone(), Arc::new(PolicyRules::of(&config)))
        .with_context(|| path.display().to_string())?;
    let house = Arc::new(House::new(config, dir, keys, store));
    allow::load(&house).await?;
    groups::load(&house).await?;
    Ok(house)
}

/// Does one command.
pub async fn execute(house: &Arc<House>, request: Request) -> anyhow::Result<Value> {
    let store = &*house.store;
    match request {
        Request::AccountAdd { address, password, server_custody } => {
            groups::refuse_taken(house, &address)?;
            let created = accounts::create(house, &address, Some(&password), server_custody).await?;
            Ok(json!({
                "address": address.to_lowercase(),
                "lnmp_address": created.lnmp_address,
                "recovery_phrase": created.recovery_phrase.reveal(),
            }))
        }
        Request::AccountList => account_list(store).await,
        Request::AccountPasswd { address, old, new } => {
            let account = account(house, &address).await?;
            accounts::change_password(house, &account, &old, &new).await?;
            Ok(json!({ "address": account.address(), "changed": true }))
        }
        Request::AccountAppPassword { address, secret, label } => {
            let account = account(house, &address).await?;
            let password = accounts::app_password(house, &account, &secret, &label).await?;
            Ok(json!({ "address": account.address(), "label": label, "app_password": password.reveal() }))
        }
        Request::AccountCapability(change) => capability(house, change).await,
        Request::AccountNeedsSecret { address } => {
            let account = account(house, &address).await?;
            Ok(Value::Bool(accounts::needs_secret(house, &account).await?))
        }
        Request::AccountRemove { address } => {
            let account = account(house, &address).await?;
            let cids = accounts::remove(house, &account).await?;
            groups::forget(house, &account).await?;
            if let Ok(running) = house.running() {
                for cid in &cids {
                    running.shelf.remove(cid).await?;
                }
            }
            house.work.notify_waiters();
            Ok(json!({ "address": account.address(), "removed": true }))
        }
        Request::AccountRevoke { address, label, id } => {
            let account = account(house, &address).await?;
            let which = match (&label, id) {
                (_, Some(id)) => Which::Id(id),
                (Some(label), None) => Which::Label(label),
                (None, None) => bail!("say which: --label or --id"),
            };
            let gone = accounts::revoke(house, &account, which).await?;
            Ok(
                json!({ "address": account.address(), "id": gone.id, "kind": gone.kind, "label": gone.label, "revoked": true }),
            )
        }
        Request::AccountQuota { address, limit } => {
            let account = account(house, &address).await?;
            match limit.as_deref() {
                None => {}
                Some("none") => store.set_quota(account.id, None).await?,
                Some(octets) => {
                    let octets = octets.parse().context("a quota is a number of octets, or none")?;
                    store.set_quota(account.id, Some(octets)).await?;
                }
            }
            let quota = store.quota(account.id).await?;
            Ok(json!({ "address": account.address(), "used_octets": quota.used, "limit_octets": quota.limit }))
        }
        Request::AccountQueue { address, on } => queue_folder(house, &address, on).await,
        Request::AccountExpect { address, ms } => allow::expect(house, &address, ms).await,
        Request::AccountShare { change, secret } => sharing::change(house, &change, &secret).await,
        Request::AccountShareNeedsSecret { change } => Ok(Value::Bool(sharing::needs_secret(house, &change).await?)),
        Request::AccountShares { owner, mailbox } => sharing::list(house, &owner, mailbox.as_deref()).await,
        Request::AliasAdd { address, account: owner, expires_ms, max_uses } => {
            let owner = account(house, &owner).await?;
            let (local, domain) = local_address(house, &address)?;
            let expires_at = expires_ms.map(|ms| now_ms() + i64::try_from(ms).unwrap_or(i64::MAX / 2));
            groups::refuse_taken(house, &address)?;
            let new = NewAlias { account: owner.id, local, domain, expires_at, max_uses };
            store.add_alias(new, now_ms()).await?;
            Ok(
                json!({ "address": address.to_lowercase(), "for": owner.address(), "expires_at": expires_at.map(rfc3339), "max_uses": max_uses }),
            )
        }
        Request::AliasList => alias_list(store).await,
        Request::GroupAdd { address, members } => groups::add(house, &address, &members).await,
        Request::GroupRemove { address, members } => groups::remove(house, &address, &members).await,
        Request::GroupList => Ok(groups::list(house)),
        Request::AliasRemove { address } => {
            let (local, domain) = local_address(house, &address)?;
            if !store.remove_alias(&local, &domain).await? {
                bail!("there is no alias {address}");
            }
            Ok(json!({ "address": address, "removed": true }))
        }
        Request::ContactSet { owner, author, relation } => {
            let owner = account(house, &owner).await?;
            let relation = Relation::parse(&relation).context("a relation is friend, acquaintance or stranger")?;
            if !smtp::is_mailbox(&author) {
                bail!("{author} is no address; an author is written local-part@domain");
            }
            store.set_relation(owner.id, &author.to_lowercase(), relation, now_ms()).await?;
            Ok(json!({ "owner": owner.address(), "author": author.to_lowercase(), "relation": relation.name() }))
        }
        Request::ContactList { owner } => {
            let owner = account(house, &owner).await?;
            let contacts = store.contacts(owner.id).await?;
            let row = |c: &store::Contact| json!({ "author": c.author, "relation": c.relation.name(), "since": rfc3339(c.changed_at) });
            Ok(contacts.iter().map(row).collect())
        }
        Request::Price(change) => price(house, change).await,
        Request::FilterAdd { address, filter, position } => filters::add(house, &address, filter, position).await,
        Request::FilterList { address } => filters::list(house, &address).await,
        Request::FilterRemove { address, name } => filters::remove(house, &address, &name).await,
        Request::FilterTest { address, header, size, unverified, to } => {
            filters::test(house, &address, &header, size, unverified, to.as_deref()).await
        }
        Request::AllowAdd { account, allowed } => allow::add(house, account.as_deref(), allowed).await,
        Request::AllowRemove { account, allowed } => allow::remove(house, account.as_deref(), allowed).await,
        Request::AllowList { account } => allow::list(house, account.as_deref()).await,
        Request::GateList => {
            let gates = store.gates(GateFilter::default()).await?;
            let now = now_ms();
            Ok(gates.iter().map(|gate| gate_json(gate, now)).collect())
        }
        Request::GateShow { id } => gate_show(house, GateId(id)).await,
        Request::GateInvoice { id, priority } => {
            let quote = ask::quote(house, GateId(id), priority).await?;
            invoice_json(house, GateId(id), &quote).await
        }
        Request::GateRefundTo { id, target } => refund_to(house, GateId(id), &target).await,
        Request::GateAccept { id } => decide(house, GateId(id), Act::MarkedAccepted).await,
        Request::GateDecline { id } => decide(house, GateId(id), Act::MarkedDeclined).await,
        Request::QueueList => queue_list(store).await,
        Request::QueueRetry { id, domain } => {
            let (mut retried, now) = (0, now_ms());
            // What its sender wants to be held (RFC 4865) is let go by its number only.
            let is_held = |item: &store::QueueItem| item.last_error.is_none() && item.due_at > now;
            let held: Vec<_> = match id {
                Some(_) => Vec::new(),
                None => store.queue().await?.iter().filter(|item| is_held(item)).map(|item| Some(item.id)).collect(),
            };
            for id in queued(store, id, domain).await?.into_iter().filter(|id| !held.contains(id)) {
                retried += store.retry_queue(id, now_ms()).await?;
            }
            house.work.notify_waiters();
            Ok(json!({ "retried": retried }))
        }
        Request::QueueSuspend { id, domain } => {
            let mut suspended = 0;
            for id in queued(store, id, domain).await? {
                suspended += store.suspend_queue(id).await?;
            }
            Ok(json!({ "suspended": suspended }))
        }
        Request::QueueResume { id, domain } => {
            let mut resumed = 0;
            for id in queued(store, id, domain).await? {
                resumed += store.resume_queue(id, now_ms()).await?;
            }
            house.work.notify_waiters();
            Ok(json!({ "resumed": resumed }))
        }
        Request::QueueRemove { id } => {
            if !store.remove_queue(store::QueueId(id)).await? {
                bail!("there is no queue item {id}");
            }
            Ok(json!({ "id": id, "removed": true }))
        }
        Request::WalletBalance => wallet_balance(house).await,
        Request::WalletInvoice { sat, description } => {
            let amount = Msat::from_sat(sat).context("the amount is too large")?;
            let bolt11 = house.running()?.wallet.invoice(amount, description, INVOICE_EXPIRY).await?;
            Ok(json!({ "bolt11": bolt11, "amount_msat": amount.0 }))
        }
        Request::WalletPay { bolt11 } => wallet_pay(house, &bolt11).await,
        Request::WalletChannels => wallet_channels(house).await,
        Request::WalletAudit => wallet_audit(house).await,
        Request::WalletStatement { address, csv: _ } => books::statement(house, address.as_deref()).await,
        Request::WalletPayout { address, bolt11 } => books::payout(house, &address, &bolt11).await,
        Request::SandboxPay { bolt11 } => sandbox_pay(house, &bolt11).await,
        Request::SandboxInvoice { sat } => {
            let amount = Msat::from_sat(sat).context("the amount is too large")?;
            let bolt11 = run::sandbox(house)?.customer().invoice(amount, "sandbox").await?;
            Ok(json!({ "bolt11": bolt11, "amount_msat": amount.0 }))
        }
        Request::SandboxMine { blocks } => sandbox_mine(house, blocks).await,
        Request::SandboxWallet { bolt11 } => sandbox_wallet(house, bolt11.as_deref()).await,
        Request::SandboxMail => sandbox_mail(store).await,
        Request::Dns { domain } => dns::records(house, &domain).await,
        Request::Reports { send: false } => reports::show(house).await,
        Request::Reports { send: true } => Ok(json!({ "sent": tls_report::send_now(house).await? })),
        Request::DkimList => Ok(verbs::list(house)),
        Request::DkimRotate { only, after_ms } => {
            verbs::rotate(house, only.as_deref(), Duration::from_millis(after_ms)).await
        }
        Request::DkimImport { file, after_ms } => verbs::import(house, file, Duration::from_millis(after_ms)).await,
        Request::Outside { dnsbl } => outside::look(house, &dnsbl).await,
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(at: UnixMs) -> String {
    DateTime::<Utc>::from_timestamp_millis(at).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The account of an address.
pub(crate) async fn account(house: &House, address: &str) -> anyhow::Result<Account> {
    accounts::find(house, address).await?.ok_or_else(|| anyhow!("there is no account {address}"))
}

pub(crate) fn local_address(house: &House, address: &str) -> anyhow::Result<(String, String)> {
    let parsed = lnmp::Address::parse(&address.to_lowercase())?;
    let (local, domain) = (parsed.local().to_owned(), parsed.domain().to_owned());
    if !house.config.is_local_domain(&domain) {
        bail!(
            "{domain} is not served here; the config's server.domains has: {}",
            house.config.server.domains.join(", ")
        );
    }
    Ok((local, domain))
}

pub(crate) async fn account_list(store: &dyn Store) -> anyhow::Result<Value> {
    let mut rows = Vec::new();
    for account in store.accounts().await? {
        let credentials = store.credentials(account.id).await?;
        let kinds: Vec<Value> = credentials
            .iter()
            .map(|c| json!({ "id": c.id, "kind": c.kind, "label": c.label, "created_at": rfc3339(c.created_at) }))
            .collect();
        rows.push(json!({
            "address": account.address(),
            "identity": hex::encode(account.identity),
            "created_at": rfc3339(account.created_at),
            "credentials": kinds,
            "expecting_until": allow::until(account.settings.expecting_until),
            "settings": settings_json(&account),
        }));
    }
    Ok(Value::Array(rows))
}

fn settings_json(account: &Account) -> Value {
    let settings = &account.settings;
    json!({
        "stranger_sat": settings.prices.stranger.sat_floor(),
        "acquaintance_sat": settings.prices.acquaintance.sat_floor(),
        "priority_sat": settings.prices.priority.sat_floor(),
        "surge": settings.prices.surge,
        "accept_on": settings.accept_on,
        "unverified": settings.unverified,
        "observe": settings.observe,
        "max_auto_pay_sat": settings.max_auto_pay.sat_floor(),
        "capabilities_off": settings.capabilities_off,
    })
}

async fn alias_list(store: &dyn Store) -> anyhow::Result<Value> {
    let accounts = store.accounts().await?;
    let owner = |id| accounts.iter().find(|a| a.id == id).map(Account::address);
    let aliases = store.aliases(None).await?;
    Ok(aliases
        .iter()
        .map(|alias| {
            json!({
                "address": format!("{}@{}", alias.local, alias.domain),
                "for": owner(alias.account),
                "expires_at": alias.expires_at.map(rfc3339),
                "max_uses": alias.max_uses,
                "uses": alias.uses,
            })
        })
        .collect())
}

async fn price(house: &House, change: PriceChange) -> anyhow::Result<Value> {
    let _choosing = house.choosing.lock().await;
    let account = account(house, &change.address).await?;
    let mut settings = account.settings.clone();
    let msat = |sat: u64| {
        Msat::from_sat(sat)
            .filter(|m| m.0 <= 21_000_000 * 100_000_000 * 1000)
            .context("a price is at most 21 million bitcoin")
    };
    if let Some(sat) = change.stranger_sat {
        settings.prices.stranger = msat(sat)?;
    }
    if let Some(sat) = change.acquaintance_sat {
        settings.prices.acquaintance = msat(sat)?;
    }
    if let Some(sat) = change.priority_sat {
        settings.prices.priority = msat(sat)?;
    }
    if let Some(surge) = change.surge {
        settings.prices.surge = surge;
    }
    settings.accept_on = match change.accept_on.as_deref() {
        Some("move") => AcceptOn::Move,
        Some("read") => AcceptOn::Read,
        Some("delivery") => AcceptOn::Delivery,
        Some(other) => bail!("accept-on is move, read or delivery, not {other}"),
        None => settings.accept_on,
    };
    settings.unverified = match change.unverified.as_deref() {
        Some("keep") => UnverifiedPolicy::Keep,
        Some("reject") => UnverifiedPolicy::Reject,
        Some(other) => bail!("unverified is keep or reject, not {other}"),
        None => settings.unverified,
    };
    if let Some(observe) = change.observe {
        settings.observe = observe;
    }
    if let Some(sat) = change.max_auto_pay_sat {
        settings.max_auto_pay = msat(sat)?;
    }
    if settings != account.settings {
        house.store.update_settings(account.id, settings.clone()).await?;
    }
    let mut value = settings_json(&Account { settings, ..account.clone() });
    value["address"] = json!(account.address());
    Ok(value)
}

/// Turns an account's support queue on or off, and says which it is.
async fn queue_folder(house: &House, address: &str, on: Option<bool>) -> anyhow::Result<Value> {
    let account = account(house, address).await?;
    if let Some(on) = on {
        match house.store.set_desk(account.id, on, now_ms()).await {
            Err(StoreError::Exists(_)) => {
                bail!("{} has a mailbox Queue of its own: rename it first", account.address())
            }
            done => done?,
        }
    }
    let mailboxes = house.store.mailboxes(account.id).await?;
    let on = mailboxes.iter().any(|mailbox| mailbox.place == lnmp::Place::Queue);
    Ok(json!({ "address": account.address(), "queue": on }))
}

/// Turns IMAP capabilities off and on for one account; what it says is the list as it is then.
async fn capability(house: &House, change: CapabilityChange) -> anyhow::Result<Value> {
    let _choosing = house.choosing.lock().await;
    let account = account(house, &change.address).await?;
    let allowed: Vec<&str> = imap::capability::optional().map(|capability| capability.name).collect();
    let known = |name: &String| {
        let found = allowed.iter().find(|allowed| allowed.eq_ignore_ascii_case(name));
        found.copied().with_context(|| format!("{name} cannot be turned off or on; these can: {}", allowed.join(", ")))
    };
    let off: Vec<&str> = change.off.iter().map(known).collect::<anyhow::Result<_>>()?;
    let on: Vec<&str> = change.on.iter().map(known).collect::<anyhow::Result<_>>()?;
    if let Some(both) = off.iter().find(|name| on.contains(name)) {
        bail!("{both} is to be turned off and on");
    }
    let mut settings = account.settings.clone();
    settings.capabilities_off.retain(|name| !on.contains(&name.as_str()));
    for name in off {
        if !settings.capabilities_off.iter().any(|known| known == name) {
            settings.capabilities_off.push(name.to_owned());
        }
    }
    if settings != account.settings {
        house.store.update_settings(account.id, settings.clone()).await?;
    }
    let offered = |name: &str| !settings.capabilities_off.iter().any(|off| off == name);
    let row = |c: imap::capability::Capability| json!({ "capability": c.name, "source": c.source, "offered": offered(c.name) });
    Ok(imap::capability::optional().map(row).collect())
}

/// A gate as `gate list --json` shows it (design section 8).
pub fn gate_json(gate: &Gate, now: UnixMs) -> Value {
    let live =
        gate.quotes.iter().rev().find(|q| q.state == QuoteState::Live && q.bolt11.is_some() && q.expires_at > now);
    let kind = gate.quotes.last().map(|quote| quote.kind).unwrap_or_default();
    let held = gate.quotes.iter().rev().find(|q| {
        matches!(q.state, QuoteState::Held | QuoteState::Settled | QuoteState::Escrowed | QuoteState::Released)
    });
    json!({
        "id": gate.id,
        "state": gate.state.name(),
        "hold": kind,
        "author": gate.author,
        "recipient": gate.recipient,
        "relation": gate.relation.name(),
        "price_msat": gate.price.0,
        "priority_msat": gate.priority_price.0,
        "paid_msat": held.and_then(|quote| quote.received).map(|amount| amount.0),
        "bolt11": live.and_then(|quote| quote.bolt11.clone()),
        "hold_until": gate.hold_until.map(rfc3339),
        "deadline_height": gate.deadline_height,
        "refunded": gate.refunded || (gate.state == GateState::Declined && !gate.refunding),
        "refunding": gate.refunding,
        "created_at": rfc3339(gate.created_at),
        "ended_at": gate.ended_at.map(rfc3339),
    })
}

async fn gate_show(house: &House, id: GateId) -> anyhow::Result<Value> {
    let gate = house.store.gate(id).await?.ok_or_else(|| anyhow!("there is no gate {id}"))?;
    let mut value = gate_json(&gate, now_ms());
    value["quotes"] = gate
        .quotes
        .iter()
        .map(|quote: &Quote| {
            json!({
                "payment_hash": quote.hash.to_string(),
                "hold": quote.kind,
                "refund_to": quote.target,
                "amount_msat": quote.amount.0,
                "received_msat": quote.received.map(|amount| amount.0),
                "state": quote.state,
                "expires_at": rfc3339(quote.expires_at),
            })
        })
        .collect();
    if let Ok(running) = house.running() {
        value["page"] = json!(ask::page_url(running, &gate));
    }
    Ok(value)
}

/// A quote, and for escrow without a target, what its author does next.
async fn invoice_json(house: &House, id: GateId, quote: &Quote) -> anyhow::Result<Value> {
    let mut value = json!({
        "id": id,
        "hold": quote.kind,
        "bolt11": quote.bolt11,
        "amount_msat": quote.amount.0,
        "expires_at": rfc3339(quote.expires_at),
        "refund_to": quote.target,
    });
    if let (Some(gate), Ok(running)) = (house.store.gate(id).await?, house.running()) {
        value["page"] = json!(ask::page_url(running, &gate));
    }
    Ok(value)
}

/// Says where the refund of a gate's escrow goes: before it is paid, or, by the operator's word, afterwards.
async fn refund_to(house: &House, id: GateId, target: &str) -> anyhow::Result<Value> {
    let find = async || house.store.gate(id).await?.ok_or_else(|| anyhow!("there is no gate {id}"));
    let mut gate = find().await?;
    let now = now_ms();
    let open = |quote: &&Quote| match quote.state {
        QuoteState::Live => quote.expires_at > now,
        QuoteState::Claiming | QuoteState::Escrowed | QuoteState::Refunding(_) | QuoteState::Stuck(_) => true,
        QuoteState::Held
        | QuoteState::Settled
        | QuoteState::Cancelled(_)
        | QuoteState::Expired
        | QuoteState::Released
        | QuoteState::Refunded(_) => false,
    };
    let is_escrow = |quote: &&Quote| quote.kind == HoldKind::Escrow;
    if gate.state == GateState::Waiting && !gate.quotes.iter().filter(is_escrow).any(|quote| open(&quote)) {
        // Its author was not asked yet.
        ask::quote(house, id, false).await?;
        gate = find().await?;
    }
    let quote = gate.quotes.iter().rev().filter(is_escrow).find(open);
    let quote = quote.ok_or_else(|| anyhow!("gate {id} has no payment in escrow, nor is one asked for"))?;
    let target = refund::target(house, target, quote.received.unwrap_or(quote.amount)).await.map_err(|why| {
        anyhow!(
            "{why}; a target is a Lightning address, `withdraw` for a link on the page, or in the sandbox `sandbox`"
        )
    })?;
    let set = match quote.state {
        QuoteState::Live if quote.target.is_none() => house.store.set_refund_target(quote.id, target, now).await?,
        _ => house.store.retarget_refund(quote.id, None, target, now).await?,
    };
    if !set {
        bail!("the refund of gate {id} is being paid just now: look again in a minute");
    }
    house.work.notify_waiters();
    let quote = match quote.state {
        QuoteState::Live => ask::quote(house, id, quote.amount > gate.price).await?,
        _ => house.store.quote(&quote.hash).await?.context("the quote is gone")?,
    };
    invoice_json(house, id, &quote).await
}

async fn decide(house: &House, id: GateId, act: Act) -> anyhow::Result<Value> {
    let decided = house.store.decide(id, act, now_ms()).await?;
    house.work.notify_waiters();
    if decided.verdict == lnmp::Verdict::Nothing {
        bail!("gate {id} is {}: nothing to decide", decided.state.name());
    }
    Ok(json!({ "id": id, "state": decided.state.name() }))
}

/// What a queue command is about: one item, every item of a domain, or (`None`) all.
async fn queued(
    store: &dyn Store,
    id: Option<i64>,
    domain: Option<String>,
) -> anyhow::Result<Vec<Option<store::QueueId>>> {
    if id.is_none() && domain.is_none() {
        return Ok(vec![None]);
    }
    let domain = domain.map(|domain| domain.to_lowercase());
    let is_meant = |item: &store::QueueItem| match (id, &domain) {
        (Some(id), _) => item.id.0 == id,
        (None, Some(domain)) => item.recipient.rsplit_once('@').is_some_and(|(_, of)| of.to_lowercase() == *domain),
        (None, None) => true,
    };
    let found: Vec<_> = store.queue().await?.iter().filter(|item| is_meant(item)).map(|item| Some(item.id)).collect();
    if found.is_empty() {
        match (id, domain) {
            (Some(id), _) => bail!("there is no queue item {id}; `satchel queue list` shows them"),
            (None, domain) => bail!("nothing in the queue is for {}", domain.unwrap_or_default()),
        }
    }
    Ok(found)
}

async fn queue_list(store: &dyn Store) -> anyhow::Result<Value> {
    let items = store.queue().await?;
    Ok(items
        .iter()
        .map(|item| {
            json!({
                "id": item.id,
                "from": item.reverse_path,
                "to": item.recipient,
                "size": item.size,
                "state": item.state,
                "attempts": item.attempts,
                "delay_told": item.delay_told,
                "queued_at": rfc3339(item.created_at),
                "due_at": rfc3339(item.due_at),
                "expires_at": rfc3339(item.expires_at),
                "last_error": item.last_error,
            })
        })
        .collect())
}

async fn wallet_balance(house: &House) -> anyhow::Result<Value> {
    let books = house.store.balances().await?;
    let node = match house.running() {
        Ok(running) => Some(running.wallet.balance().await?),
        Err(_) => None,
    };
    let accounts = house.store.accounts().await?;
    let users: Vec<Value> = accounts
        .iter()
        .map(|account| {
            let owed = books.by_user.iter().find(|(id, _)| *id == account.id).map_or(0, |(_, amount)| *amount);
            json!({ "address": account.address(), "balance_msat": owed })
        })
        .collect();
    Ok(json!({
        "users_msat": books.users,
        "held_msat": books.held,
        // The same by the channels' own account: anything else than held_msat for more than a moment is a mistake.
        "node_held_msat": node.map(|b| b.held.0),
        "escrow_msat": books.escrow,
        "fees_msat": books.fees,
        "node_msat": node.map_or_else(|| books.node.max(0).unsigned_abs(), |b| b.channel.0 + b.onchain.0 + b.closing.0),
        "spendable_msat": node.map(|b| b.spendable.0),
        "users": users,
    }))
}

async fn wallet_pay(house: &House, bolt11: &str) -> anyhow::Result<Value> {
    Ok(paid(&payout::pay(house, bolt11).await?))
}

/// What became of a payment of ours.
pub fn paid(paid: &lightning::Paid) -> Value {
    match paid {
        lightning::Paid::Succeeded { fee } => json!({ "state": "succeeded", "fee_msat": fee.0 }),
        lightning::Paid::Failed => json!({ "state": "failed" }),
        lightning::Paid::Pending => json!({ "state": "pending" }),
    }
}

async fn wallet_channels(house: &House) -> anyhow::Result<Value> {
    let wallet = &house.running()?.wallet;
    let capacity = wallet.capacity().await?;
    let channels: Vec<Value> = wallet
        .channels()
        .await?
        .iter()
        .map(|c| {
            json!({
                "id": c.id, "peer": c.peer, "capacity_msat": c.capacity.0, "outbound_msat": c.outbound.0,
                "inbound_msat": c.inbound.0, "usable": c.usable, "confirmations": c.confirmations, "ours": c.ours,
            })
        })
        .collect();
    Ok(json!({
        "channels": channels,
        "hold_slots_total": capacity.slots_total,
        "hold_slots_free": capacity.slots_free,
        "hold_inbound_free_msat": capacity.inbound_free.0,
        "dust_below_msat": capacity.dust_below.0,
        "dust_total_msat": capacity.dust_total.0,
        "dust_free_msat": capacity.dust_free.0,
    }))
}

/// Compares the books with the node. Held HTLCs are in neither.
async fn wallet_audit(house: &House) -> anyhow::Result<Value> {
    let wallet = &house.running()?.wallet;
    let mut findings = Vec::new();
    // A claim under way is in the node before its event is booked: look until both stand still.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let (books, node, agree) = loop {
        payout::look(house).await?;
        // What is under way has left the node, or not yet.
        let balance = wallet.balance().await?;
        let refunds = balance.sending.filter(|sending| *sending > Msat::ZERO).map_or(Msat::ZERO, payout::with_fees);
        let leaving = i64::try_from((payout::in_flight(house).await? + refunds).0).unwrap_or(i64::MAX);
        let books = house.store.balances().await?;
        let node = i64::try_from(balance.channel.0 + balance.onchain.0 + balance.closing.0).unwrap_or(i64::MAX);
        let agree = (0..=leaving).contains(&(books.node - node));
        if agree || tokio::time::Instant::now() > deadline {
            break (books, node, agree);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    if !agree {
        findings.push(format!(
            "the ledger says the node has {} msat, the node says {node}: {} apart",
            books.node,
            node - books.node
        ));
    }
    let liabilities = books.users + books.escrow;
    if liabilities > node {
        findings.push(format!("{liabilities} msat are owed but only {node} msat are there"));
    }
    let proof = house.store.audit().await?;
    findings.extend(proof.findings);
    Ok(json!({
        "ok": findings.is_empty(),
        "findings": findings,
        "postings": proof.postings,
        "ledger_node_msat": books.node,
        "node_msat": node,
        "users_msat": books.users,
        "fees_msat": books.fees,
        "operator_msat": books.operator,
        "escrow_msat": books.escrow,
    }))
}

async fn sandbox_pay(house: &House, bolt11: &str) -> anyhow::Result<Value> {
    let sandbox = run::sandbox(house)?;
    let state = sandbox.pay(bolt11).await?;
    // In escrow it is taken, often before we look.
    if matches!(state, lightning::CustomerPayment::Locked | lightning::CustomerPayment::Succeeded { .. }) {
        wait_until_heard(house, bolt11).await?;
    }
    Ok(json!({ "state": run::payment_state(&state) }))
}

/// Locked at the node is not yet committed here: waits until the gate knows, so that the next command sees it.
async fn wait_until_heard(house: &House, bolt11: &str) -> anyhow::Result<()> {
    let hash = lightning::Invoice::parse(bolt11)?.hash;
    let deadline = tokio::time::Instant::now() + HEARD_DEADLINE;
    while let Some(quote) = house.store.quote(&hash).await?
        && matches!(quote.state, QuoteState::Live | QuoteState::Expired | QuoteState::Claiming)
        && tokio::time::Instant::now() < deadline
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn sandbox_mine(house: &House, blocks: u32) -> anyhow::Result<Value> {
    if blocks == 0 || blocks > MINE_BLOCKS_MAX {
        bail!("mine 1 to {MINE_BLOCKS_MAX} blocks at a time, not {blocks}");
    }
    let running = house.running()?;
    let before = held(house).await?;
    let height = run::sandbox(house)?.mine(blocks).await?;
    let deadline = tokio::time::Instant::now() + CHAIN_DEADLINE;
    while running.wallet.chain().await?.height < height && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    expire::end_holds(house).await?;
    let after = held(house).await?;
    // Whoever's blocks are not over was decided by the owner meanwhile.
    let over = |gate: &Gate| gate.deadline_height.is_some_and(|deadline| deadline <= height + policy::MARGIN_BLOCKS);
    let ended: Vec<i64> = before
        .iter()
        .filter(|gate| over(gate) && !after.iter().any(|still| still.id == gate.id))
        .map(|gate| gate.id.0)
        .collect();
    Ok(json!({ "height": height, "ended_holds": ended }))
}

async fn held(house: &House) -> anyhow::Result<Vec<Gate>> {
    let filter = GateFilter { state: Some(GateState::Held), ..GateFilter::default() };
    Ok(house.store.gates(filter).await?)
}

async fn sandbox_wallet(house: &House, bolt11: Option<&str>) -> anyhow::Result<Value> {
    let customer = run::sandbox(house)?.customer();
    let balance = customer.balance().await?;
    let payment = match bolt11 {
        Some(bolt11) => Some(run::payment_state(&customer.payment(lightning::Invoice::parse(bolt11)?.hash).await?)),
        None => None,
    };
    Ok(json!({
        "balance_msat": balance.channel.0,
        "spendable_msat": balance.spendable.0,
        "onchain_msat": balance.onchain.0,
        "payment": payment,
    }))
}

async fn sandbox_mail(store: &dyn Store) -> anyhow::Result<Value> {
    let mails = store.caught_mail().await?;
    Ok(mails
        .iter()
        .map(|mail| {
            json!({
                "from": mail.from,
                "to": mail.to,
                "at": rfc3339(mail.at),
                "message": String::from_utf8_lossy(&mail.message),
            })
        })
        .collect())
}
