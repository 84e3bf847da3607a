//! What each command of the command line does, on the running house or on a closed DIR.

mod account;
mod alias;
mod channel;
mod contact;
mod gate;
mod own_wallet;
mod queue;
mod sandbox;
mod wallet;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use lnmp::{Act, GateId};
use serde_json::{Value, json};
use store::{Account, UnixMs};

use crate::cli::{Payer, Request};
use crate::config::{Config, ConfigError};
use crate::dir::Dir;
use crate::dkim::verbs;
use crate::flow::{reports, tls_report};
use crate::house::{House, PolicyRules};
use crate::keys::Keys;
use crate::wallet::seed;
use crate::{accounts, allow, backup, books, dns, filters, groups, outside, run, sharing};

pub(crate) use wallet::paid;

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
            account::add(house, &address, &password, server_custody).await
        }
        Request::AccountList => account::list(house).await,
        Request::AccountPasswd { address, old, new } => account::passwd(house, &address, &old, &new).await,
        Request::AccountAppPassword { address, secret, label } => {
            account::app_password(house, &address, &secret, &label).await
        }
        Request::AccountCapability(change) => account::capability(house, change).await,
        Request::AccountNeedsSecret { address } => account::needs_secret(house, &address).await,
        Request::AccountRemove { address } => account::remove(house, &address).await,
        Request::AccountPayout(change) => own_wallet::payout(house, change).await,
        Request::AccountWallet { address, nwc, off } => own_wallet::wallet(house, &address, nwc.as_deref(), off).await,
        Request::AccountRevoke { address, label, id } => account::revoke(house, &address, label.as_deref(), id).await,
        Request::AccountQuota { address, limit } => account::quota(house, &address, limit.as_deref()).await,
        Request::AccountQueue { address, on } => account::queue_folder(house, &address, on).await,
        Request::AccountExpect { address, ms } => allow::expect(house, &address, ms).await,
        Request::AccountShare { change, secret } => sharing::change(house, &change, &secret).await,
        Request::AccountShareNeedsSecret { change } => Ok(Value::Bool(sharing::needs_secret(house, &change).await?)),
        Request::AccountShares { owner, mailbox } => sharing::list(house, &owner, mailbox.as_deref()).await,
        Request::AliasAdd { address, account, expires_ms, max_uses } => {
            alias::add(house, &address, &account, expires_ms, max_uses).await
        }
        Request::AliasList => alias::list(store).await,
        Request::GroupAdd { address, members } => groups::add(house, &address, &members).await,
        Request::GroupRemove { address, members } => groups::remove(house, &address, &members).await,
        Request::GroupList => Ok(groups::list(house)),
        Request::AliasRemove { address } => alias::remove(house, &address).await,
        Request::ContactSet { owner, author, relation } => contact::set(house, &owner, &author, &relation).await,
        Request::ContactList { owner } => contact::list(house, &owner).await,
        Request::Price(change) => account::price(house, change).await,
        Request::FilterAdd { address, filter, position } => filters::add(house, &address, filter, position).await,
        Request::FilterList { address } => filters::list(house, &address).await,
        Request::FilterRemove { address, name } => filters::remove(house, &address, &name).await,
        Request::FilterTest { address, header, size, unverified, to } => {
            filters::test(house, &address, &header, size, unverified, to.as_deref()).await
        }
        Request::AllowAdd { account, allowed } => allow::add(house, account.as_deref(), allowed).await,
        Request::AllowRemove { account, allowed } => allow::remove(house, account.as_deref(), allowed).await,
        Request::AllowList { account } => allow::list(house, account.as_deref()).await,
        Request::GateList => gate::list(store).await,
        Request::GateShow { id } => gate::show(house, GateId(id)).await,
        Request::GateInvoice { id, priority } => gate::invoice(house, GateId(id), priority).await,
        Request::GateRefundTo { id, target } => gate::refund_to(house, GateId(id), &target).await,
        Request::GateAccept { id } => gate::decide(house, GateId(id), Act::MarkedAccepted).await,
        Request::GateDecline { id } => gate::decide(house, GateId(id), Act::MarkedDeclined).await,
        Request::QueueList => queue::list(store).await,
        Request::QueueRetry { id, domain } => queue::retry(house, id, domain).await,
        Request::QueueSuspend { id, domain } => queue::suspend(store, id, domain).await,
        Request::QueueResume { id, domain } => queue::resume(house, id, domain).await,
        Request::QueueRemove { id } => queue::remove(store, id).await,
        Request::WalletBalance => wallet::balance(house).await,
        Request::WalletInvoice { sat, description } => wallet::invoice(house, sat, description).await,
        Request::WalletPay { bolt11 } => wallet::pay(house, &bolt11).await,
        Request::Backup { to } => backup::make(house, &to).await,
        Request::WalletSeed => seed::show(house).await,
        Request::WalletRestore { words, since } => seed::restore(house, &words, since).await,
        Request::WalletAddress => wallet::address(house).await,
        Request::WalletDeposit { sat } => wallet::deposit(house, sat).await,
        Request::WalletChain => crate::wallet::chain(house).await,
        Request::WalletChannels => wallet::channels(house).await,
        Request::WalletAudit => wallet::audit(house).await,
        Request::WalletStatement { address, csv: _ } => books::statement(house, address.as_deref()).await,
        Request::WalletPayout { address, bolt11 } => books::payout(house, &address, &bolt11).await,
        Request::ChannelList => channel::list(house).await,
        Request::ChannelPlan => channel::plan(house).await,
        Request::ChannelOpen { peer, capacity_sat, push_sat } => {
            channel::open(house, &peer, capacity_sat, push_sat).await
        }
        Request::ChannelClose { id, force, yes } => channel::close(house, &id, force, yes).await,
        Request::ChannelFees { id, base_msat, ppm } => channel::fees(house, &id, base_msat, ppm).await,
        Request::ChannelReceive { sat, fee_max_sat } => channel::receive(house, sat, fee_max_sat).await,
        Request::ChannelBuy { capacity_sat, expiry_blocks, order, yes } => {
            channel::buy(house, capacity_sat, expiry_blocks, order, yes).await
        }
        Request::ChannelOrder { id } => channel::order(house, &id).await,
        Request::ChannelBackup { file } => channel::backup(house, &file).await,
        Request::ChannelRecover { file } => channel::recover(house, &file).await,
        Request::SandboxPay { bolt11 } => sandbox::pay(house, &bolt11, Payer::default()).await,
        Request::SandboxPayAs { bolt11, payer } => sandbox::pay(house, &bolt11, payer).await,
        Request::SandboxInvoice { sat } => sandbox::invoice(house, sat).await,
        Request::SandboxMine { blocks } => sandbox::mine(house, blocks).await,
        Request::SandboxChannel { capacity_sat } => sandbox::channel(house, capacity_sat).await,
        Request::SandboxWallet { bolt11 } => sandbox::wallet(house, bolt11.as_deref()).await,
        Request::SandboxMail => sandbox::mail(store).await,
        Request::SandboxCustomer { running } => sandbox::customer(house, running).await,
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
pub(crate) async fn account_of(house: &House, address: &str) -> anyhow::Result<Account> {
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
