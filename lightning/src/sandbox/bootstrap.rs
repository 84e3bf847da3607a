//! The steps from an empty directory to a usable channel. Each may be killed at any moment and done again.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bitcoin::consensus::encode::deserialize;
use bitcoin::{Amount, Block, OutPoint, TxOut};
use ldk_node::ChannelDetails;
use tokio::time::{Instant, sleep};

use super::chain::Chain;
use super::funding::Miner;
use super::{SandboxError, miner, sync_within};
use crate::WalletError;
use crate::limits::{
    ANCHOR_RESERVE_SAT, POLL_EVERY, PREMINE_BLOCKS, READY_WITHIN, SANDBOX_BRIDGE_SAT, SANDBOX_CHANNEL_SAT,
    SANDBOX_COIN_SAT, SANDBOX_COINS, SANDBOX_PUSH_SAT,
};
use crate::node::LdkNode;

/// LDK wants a channel's funding this deep.
const FUNDING_CONFIRMATIONS: u32 = 6;
/// A funding transaction that is nowhere after this was lost with the process that made it.
const FUNDING_LOST_AFTER: Duration = Duration::from_secs(3);
/// A start waits so long for the channels after the first; one that is being closed never comes back.
const OTHERS_WITHIN: Duration = Duration::from_secs(10);

/// Step: blocks, until the first coinbase is mature.
pub(super) fn premine(chain: &Chain) -> Result<(), SandboxError> {
    let missing = PREMINE_BLOCKS.saturating_sub(chain.height());
    chain.mine(missing, miner::header_now())?;
    Ok(())
}

/// Step: nothing half-made. Until the nodes are funded their directories hold nothing of worth, and a kill may have left
/// a wallet in one that cannot be read: they begin anew.
pub(super) fn clear(chain: &Chain, dir: &Path) -> Result<(), SandboxError> {
    if chain.coin(&first_coin(chain)?.0).is_some() {
        for node in ["bridge", "customer"] {
            match std::fs::remove_dir_all(dir.join(node)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// The first block's coinbase and its value: it pays for everything.
fn first_coin(chain: &Chain) -> Result<(OutPoint, Amount), SandboxError> {
    let bug = || SandboxError::Bug("the first block is missing".into());
    let block = chain.hash_at(1).and_then(|hash| chain.block(&hash)).ok_or_else(bug)?;
    let block: Block = deserialize(&block.raw).map_err(|_| bug())?;
    let coinbase = block.txdata.first().ok_or_else(bug)?;
    Ok((OutPoint { txid: coinbase.compute_txid(), vout: 0 }, coinbase.output[0].value))
}

/// Step: coins for both nodes, confirmed. After both nodes were built, because a node's wallet looks only at blocks
/// after its birth. Done when the first coinbase is spent: it can be spent once.
pub(super) async fn fund(
    chain: &Chain,
    miner: &Miner,
    bridge: &LdkNode,
    customer: &LdkNode,
) -> Result<(), SandboxError> {
    let (coin, value) = first_coin(chain)?;
    if chain.coin(&coin).is_none() {
        return Ok(());
    }
    let (to_bridge, to_customer) = tokio::join!(bridge.new_address(), customer.new_address());
    let to_bridge = to_bridge.map_err(SandboxError::bridge)?.script_pubkey();
    let to_customer = to_customer.map_err(SandboxError::customer)?.script_pubkey();
    let output = |sat, script_pubkey| TxOut { value: Amount::from_sat(sat), script_pubkey };
    let mut outputs = vec![output(SANDBOX_BRIDGE_SAT, to_bridge)];
    outputs.extend(vec![output(SANDBOX_COIN_SAT, to_customer); SANDBOX_COINS]);
    let tx = miner.spend(coin, value, outputs)?;
    // A mempool that already holds an earlier attempt keeps it; either pays both.
    if chain.mempool().is_empty() {
        chain.submit(tx, miner::now()).map_err(|reject| SandboxError::Bug(format!("funding: {reject}")))?;
    }
    chain.mine(1, miner::header_now())?;
    Ok(())
}

/// Step: the channel, opened by the customer, confirmed, and usable on both sides.
pub(super) async fn channel(
    chain: &Chain,
    bridge: &LdkNode,
    customer: &LdkNode,
    bridge_address: SocketAddr,
) -> Result<(), SandboxError> {
    let until = Instant::now() + READY_WITHIN;
    let mut lost_since: Option<Instant> = None;
    let mut state = "not looked at yet";
    while Instant::now() < until {
        let ours = channels(customer).await.map_err(SandboxError::customer)?;
        let theirs = channels(bridge).await.map_err(SandboxError::bridge)?;
        if let Some(usable) = ours.iter().find(|channel| channel.is_usable) {
            if is_usable(&theirs, usable) {
                sync(bridge, Some(customer), 0).await?;
                assert_anchors(bridge, &theirs).await?;
                return others(chain, bridge, customer).await;
            }
            state = "usable on the customer's side only";
            sleep(POLL_EVERY).await;
            continue;
        }
        if let Err(error) = customer.connect(bridge.node_id(), bridge_address).await {
            tracing::debug!(%error, "sandbox: the nodes are not connected yet");
            state = "the nodes do not connect";
            sleep(POLL_EVERY).await;
            continue;
        }
        let alive = ours.iter().find_map(|channel| Some((channel, funding(chain, channel)?)));
        match alive {
            Some((_, funding)) => {
                state = "waiting for confirmations";
                confirm(chain, bridge, customer, funding).await?;
            }
            None if ours.is_empty() || lost_since.is_some_and(|since| since.elapsed() > FUNDING_LOST_AFTER) => {
                state = "opening";
                // Both wallets must have seen their coins: the bridge accepts anchors only with a reserve. A fresh
                // channel manager is born at the tip, so its height says nothing about the wallet.
                let (first, second) = tokio::join!(bridge.poll_chain(), customer.poll_chain());
                first.map_err(SandboxError::bridge)?;
                second.map_err(SandboxError::customer)?;
                let capacity = (SANDBOX_CHANNEL_SAT, SANDBOX_PUSH_SAT);
                match customer.open_channel(bridge.node_id(), bridge_address, capacity.0, capacity.1).await {
                    Ok(()) => lost_since = Some(Instant::now()),
                    Err(WalletError::NoCapacity) => {
                        state = "the customer's coins are not there";
                        sleep(POLL_EVERY).await;
                    }
                    Err(error) => return Err(SandboxError::customer(error)),
                }
            }
            None => {
                state = "its funding is on its way";
                lost_since.get_or_insert_with(Instant::now);
                sleep(POLL_EVERY).await;
            }
        }
    }
    Err(SandboxError::NotReady(state.into()))
}

/// Step: the channels after the first are usable on both sides, too. One whose funding was lost is nobody's, and one
/// that is being closed may stay as it is.
async fn others(chain: &Chain, bridge: &LdkNode, customer: &LdkNode) -> Result<(), SandboxError> {
    let until = Instant::now() + OTHERS_WITHIN;
    loop {
        let ours = channels(customer).await.map_err(SandboxError::customer)?;
        let theirs = channels(bridge).await.map_err(SandboxError::bridge)?;
        let missing = |channel: &&ChannelDetails| !(channel.is_usable && is_usable(&theirs, channel));
        let Some(funding) = ours.iter().filter(missing).find_map(|channel| funding(chain, channel)) else {
            return Ok(());
        };
        if Instant::now() >= until {
            tracing::warn!("sandbox: a channel is not usable yet");
            return Ok(());
        }
        confirm(chain, bridge, customer, funding).await?;
    }
}

/// One more channel of the customer's: opened, confirmed, and usable on both sides. Its capacity is all the customer's.
pub(super) async fn another(
    chain: &Chain,
    bridge: &LdkNode,
    customer: &LdkNode,
    bridge_address: SocketAddr,
    capacity_sat: u64,
) -> Result<OutPoint, SandboxError> {
    let all = || async { channels(customer).await.map_err(SandboxError::customer) };
    let before: Vec<_> = all().await?.iter().map(|channel| channel.user_channel_id).collect();
    customer.open_channel(bridge.node_id(), bridge_address, capacity_sat, 0).await.map_err(SandboxError::customer)?;
    let until = Instant::now() + READY_WITHIN;
    while Instant::now() < until {
        let ours = all().await?;
        let Some(new) = ours.iter().find(|channel| !before.contains(&channel.user_channel_id)) else {
            return Err(SandboxError::Refused);
        };
        let theirs = channels(bridge).await.map_err(SandboxError::bridge)?;
        if let Some(outpoint) = new.funding_txo.filter(|_| new.is_usable && is_usable(&theirs, new)) {
            sync(bridge, Some(customer), 0).await?;
            assert_anchors(bridge, &theirs).await?;
            return Ok(outpoint);
        }
        match funding(chain, new) {
            Some(funding) => confirm(chain, bridge, customer, funding).await?,
            None => sleep(POLL_EVERY).await,
        }
    }
    Err(SandboxError::NotReady("the new channel was not confirmed in time".into()))
}

fn is_usable(theirs: &[ChannelDetails], ours: &ChannelDetails) -> bool {
    theirs.iter().any(|channel| channel.is_usable && channel.funding_txo == ours.funding_txo)
}

/// Mines what a funding transaction still needs, and lets both nodes see it.
async fn confirm(chain: &Chain, bridge: &LdkNode, customer: &LdkNode, funding: Funding) -> Result<(), SandboxError> {
    let missing = match funding {
        Funding::Waiting => FUNDING_CONFIRMATIONS,
        Funding::Confirmed(depth) => FUNDING_CONFIRMATIONS.saturating_sub(depth),
    };
    if missing == 0 {
        sync(bridge, Some(customer), 0).await?;
        sleep(POLL_EVERY).await;
        return Ok(());
    }
    chain.mine(missing, miner::header_now())?;
    sync(bridge, Some(customer), missing).await
}

#[derive(Clone, Copy)]
enum Funding {
    Waiting,
    Confirmed(u32),
}

/// Where a channel's funding transaction is; `None` when it is in no block and not waiting for one.
fn funding(chain: &Chain, channel: &ChannelDetails) -> Option<Funding> {
    let outpoint = channel.funding_txo?;
    match chain.coin(&outpoint) {
        Some(coin) => Some(Funding::Confirmed(chain.height() + 1 - coin.height)),
        None => chain.waiting(&outpoint.txid).map(|_| Funding::Waiting),
    }
}

/// ldk-node does not tell a channel's type, but it sets a reserve aside for exactly the anchor channels.
async fn assert_anchors(bridge: &LdkNode, channels: &[ChannelDetails]) -> Result<(), SandboxError> {
    let reserve = bridge.call(|node, _| Ok(node.list_balances().total_anchor_channels_reserve_sats)).await;
    let reserve = reserve.map_err(SandboxError::bridge)?;
    if reserve < ANCHOR_RESERVE_SAT * channels.len() as u64 { Err(SandboxError::NotAnchors) } else { Ok(()) }
}

async fn channels(node: &LdkNode) -> Result<Vec<ChannelDetails>, WalletError> {
    node.call(|node, _| Ok(node.list_channels())).await
}

/// Both nodes at the tip.
pub(super) async fn sync(bridge: &LdkNode, customer: Option<&LdkNode>, blocks: u32) -> Result<(), SandboxError> {
    let within = sync_within(blocks);
    let follow = async {
        match customer {
            Some(customer) => customer.sync(within).await,
            None => Ok(()),
        }
    };
    let (bridge, customer) = tokio::join!(bridge.sync(within), follow);
    bridge.map_err(SandboxError::bridge)?;
    customer.map_err(SandboxError::customer)
}
