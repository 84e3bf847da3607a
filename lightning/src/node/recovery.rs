//! What a node that lost its state can still get: what its peers put on the chain for it.
//!
//! ```text
//!   backup: peers, addresses, channels ── sealed under a key of the seed
//!   recover: connect ─▶ the peer names a channel we do not know ─▶ our answer makes it close ─▶ its commitment is mined
//!            ─▶ our output of it is found by its script (one of 2000 that the seed gives) ─▶ swept to the wallet
//! ```
//! BOLT 2, `channel_reestablish`: LDK answers a peer that names an unknown channel with commitment numbers no honest state
//! has, upon which the peer publishes its own last commitment. Ours in it pays a key of the seed's static thousand
//! (`possible_v2_counterparty_closed_balance_spks`), after one confirmation.

use std::collections::HashMap;
use std::str::FromStr;

use base64::Engine;
use bitcoin::absolute::LockTime;
use bitcoin::bip32::{ChildNumber, Xpriv};
use bitcoin::secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{
    Amount, CompressedPublicKey, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    ecdsa, transaction,
};
use ldk::ln::chan_utils::get_to_countersigner_keyed_anchor_redeemscript;
use ldk::sign::STATIC_PAYMENT_KEY_COUNT;
use ldk_node::Node;
use lnmp::Msat;
use rand::RngCore;
use rand::rngs::OsRng;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::inbound::sat;
use super::peers::PeerAddress;
use super::{Inner, LdkNode};
use crate::WalletError;
use crate::chain::{Bitcoind, ChainSource};
use crate::channels::Recovered;
use crate::limits::{BACKUP_BYTES_MAX, CHAIN_SCAN_WITHIN, MIN_RELAY_SAT_PER_KW, PEERS_MAX, RECOVERY_FEE_BLOCKS};

/// The first octets of a backup.
const MAGIC: &[u8] = b"satchel-channels/1\n";
/// Weight of a transaction without inputs, with one output to a P2WPKH or P2TR script.
const WEIGHT_BASE: u64 = 4 * (10 + 43) + 2;
/// Weight of one input: outpoint, sequence, signature and the 37 octets of the anchors' script.
const WEIGHT_INPUT: u64 = 4 * 41 + 2 + 73 + 38;
/// KeysManager's index of the static payment keys.
const STATIC_PAYMENT_KEYS: u32 = 8;

/// What the seed gives for it.
pub(super) struct Secrets {
    seal: Zeroizing<[u8; 32]>,
    static_payments: Xpriv,
    /// Only it can look through all unspent outputs.
    bitcoind: Option<Bitcoind>,
}

impl Secrets {
    pub(super) fn new(seed: &[u8; 64], network: Network, chain: &ChainSource) -> Result<Self, WalletError> {
        let bug = |_| WalletError::Bug("an unusable seed".into());
        let secp = Secp256k1::new();
        // As ldk-node and KeysManager derive them: the master's key is a seed again.
        let ldk = Xpriv::new_master(network, seed).map_err(bug)?.private_key.secret_bytes();
        let master = Xpriv::new_master(Network::Testnet, &ldk).map_err(bug)?;
        let path = [ChildNumber::Hardened { index: STATIC_PAYMENT_KEYS }];
        let static_payments = master.derive_priv(&secp, &path).map_err(bug)?;
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, seed);
        let mut seal = Zeroizing::new([0; 32]);
        seal.copy_from_slice(ring::hmac::sign(&key, b"satchel channel backup").as_ref());
        let bitcoind = match chain {
            ChainSource::Bitcoind(bitcoind) => Some(bitcoind.clone()),
            ChainSource::Esplora(_) | ChainSource::Electrum(_) => None,
        };
        Ok(Self { seal, static_payments, bitcoind })
    }

    fn key(&self) -> Result<LessSafeKey, WalletError> {
        let key =
            UnboundKey::new(&CHACHA20_POLY1305, &*self.seal).map_err(|_| WalletError::Bug("key length".into()))?;
        Ok(LessSafeKey::new(key))
    }

    /// Every script a peer may have paid us to, with its key.
    fn scripts(&self) -> Result<HashMap<ScriptBuf, (SecretKey, Kind)>, WalletError> {
        let secp = Secp256k1::new();
        let mut scripts = HashMap::with_capacity(2 * usize::from(STATIC_PAYMENT_KEY_COUNT));
        for index in 0..u32::from(STATIC_PAYMENT_KEY_COUNT) {
            let child = self.static_payments.derive_priv(&secp, &[ChildNumber::Hardened { index }]);
            let key = child.map_err(|_| WalletError::Bug("an unusable seed".into()))?.private_key;
            let public = key.public_key(&secp);
            let anchors = get_to_countersigner_keyed_anchor_redeemscript(&public);
            scripts.insert(anchors.to_p2wsh(), (key, Kind::Anchors));
            let plain = ScriptBuf::new_p2wpkh(&CompressedPublicKey(public).wpubkey_hash());
            scripts.insert(plain, (key, Kind::Plain));
        }
        Ok(scripts)
    }
}

/// BOLT 3, "to_remote Output".
#[derive(Clone, Copy)]
enum Kind {
    /// `option_anchors`: P2WSH, one confirmation.
    Anchors,
    /// P2WPKH.
    Plain,
}

#[derive(Serialize, Deserialize)]
struct Backup {
    node_id: String,
    channels: Vec<Kept>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    id: String,
    peer: String,
    address: Option<String>,
    funding: Option<String>,
    capacity_sat: u64,
}

pub(super) fn backup(node: &Node, inner: &Inner) -> Result<Vec<u8>, WalletError> {
    let channels = node.list_channels().into_iter().map(|channel| Kept {
        id: channel.channel_id.to_string(),
        peer: channel.counterparty_node_id.to_string(),
        address: inner.address_of(node, &channel.counterparty_node_id),
        funding: channel.funding_txo.map(|outpoint| outpoint.to_string()),
        capacity_sat: channel.channel_value_sats,
    });
    let backup = Backup { node_id: inner.node_id.to_string(), channels: channels.collect() };
    let bug = |what: &str| WalletError::Bug(what.to_owned());
    let mut sealed = serde_json::to_vec(&backup).map_err(|_| bug("a backup is no JSON"))?;
    let mut nonce = [0; NONCE_LEN];
    OsRng.fill_bytes(&mut nonce);
    let key = inner.secrets.key()?;
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(MAGIC), &mut sealed)
        .map_err(|_| bug("sealing a backup"))?;
    Ok([MAGIC, &nonce, &sealed].concat())
}

fn open(inner: &Inner, backup: &[u8]) -> Result<Backup, WalletError> {
    let rest = backup.strip_prefix(MAGIC).filter(|_| backup.len() <= BACKUP_BYTES_MAX);
    let (nonce, sealed) = rest.and_then(|rest| rest.split_first_chunk()).ok_or(WalletError::NotOurBackup)?;
    let mut sealed = sealed.to_vec();
    let key = inner.secrets.key()?;
    let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(MAGIC), &mut sealed);
    serde_json::from_slice(opened.map_err(|_| WalletError::NotOurBackup)?).map_err(|_| WalletError::NotOurBackup)
}

/// Peers first, then the chain: a peer's closing is there with the next block, so the first call finds nothing yet.
pub(super) async fn recover(node: &LdkNode, backup: &[u8]) -> Result<Recovered, WalletError> {
    let backup = open(&node.inner, backup)?;
    let lost = node
        .call(move |node, _| {
            let ours = node.list_channels();
            let is_lost = |kept: &Kept| !ours.iter().any(|channel| channel.channel_id.to_string() == kept.id);
            Ok(backup.channels.into_iter().filter(is_lost).collect::<Vec<_>>())
        })
        .await?;
    let mut recovered = Recovered { lost: u32::try_from(lost.len()).unwrap_or(u32::MAX), ..Recovered::default() };
    let mut peers: Vec<PeerAddress> = Vec::new();
    for kept in &lost {
        let Some(peer) = kept.address.as_ref().and_then(|address| PeerAddress::parse(&kept.peer, address).ok()) else {
            continue;
        };
        if !peers.contains(&peer) && peers.len() < PEERS_MAX {
            peers.push(peer);
        }
    }
    for peer in peers {
        // One that is connected already has named its channels when it came.
        match node.dial(peer).await {
            Ok(()) => recovered.connected += 1,
            Err(WalletError::NotRunning) => return Err(WalletError::NotRunning),
            Err(_) => {}
        }
    }
    if let Some((swept, txid)) = sweep(node).await? {
        (recovered.swept, recovered.txid) = (swept, Some(txid.to_string()));
    }
    Ok(recovered)
}

/// Takes what peers paid to our static keys and nobody has taken: the sum less the fee.
async fn sweep(node: &LdkNode) -> Result<Option<(Msat, Txid)>, WalletError> {
    let secrets = &node.inner.secrets;
    let Some(bitcoind) = &secrets.bitcoind else {
        return Err(WalletError::BadRequest(
            "the peers were asked to close, but only a bitcoind can find what they pay us: name one under [chain]",
        ));
    };
    let scripts = secrets.scripts()?;
    let rpc = Rpc::new(bitcoind)?;
    let wanted: Vec<Value> = scripts.keys().map(|script| json!(format!("raw({})", script.to_hex_string()))).collect();
    let found = rpc.call("scantxoutset", json!(["start", wanted])).await?;
    let mut inputs = Vec::new();
    for found in found["unspents"].as_array().into_iter().flatten() {
        let parsed = (|| {
            let txid = Txid::from_str(found["txid"].as_str()?).ok()?;
            let vout = u32::try_from(found["vout"].as_u64()?).ok()?;
            let script = ScriptBuf::from_hex(found["scriptPubKey"].as_str()?).ok()?;
            let value = Amount::from_btc(found["amount"].as_f64()?).ok()?;
            let (key, kind) = scripts.get(&script)?;
            Some((OutPoint { txid, vout }, TxOut { value, script_pubkey: script }, *key, *kind))
        })();
        let Some(input) = parsed else { return Err(WalletError::Bug("an answer of scantxoutset".into())) };
        // Null: spent by a transaction that waits, one of ours.
        if !rpc.call("gettxout", json!([input.0.txid.to_string(), input.0.vout, true])).await?.is_null() {
            inputs.push(input);
        }
    }
    if inputs.is_empty() {
        return Ok(None);
    }
    let estimate = rpc.call("estimatesmartfee", json!([RECOVERY_FEE_BLOCKS])).await?;
    let per_kvb = estimate["feerate"].as_f64().and_then(|btc| Amount::from_btc(btc).ok()).unwrap_or(Amount::ZERO);
    let per_kw = (per_kvb.to_sat() / 4).max(MIN_RELAY_SAT_PER_KW);
    let weight = WEIGHT_BASE + WEIGHT_INPUT * inputs.len() as u64;
    let fee = Amount::from_sat((weight * per_kw).div_ceil(1000));
    let to = node.new_address().await?.script_pubkey();
    let sum = inputs.iter().map(|(_, output, ..)| output.value).sum::<Amount>();
    let dust = to.minimal_non_dust();
    let Some(value) = sum.checked_sub(fee).filter(|value| *value > dust) else {
        return Err(WalletError::BadRequest("what is left is less than the fee of taking it"));
    };
    let tx = signed(&Secp256k1::new(), &inputs, TxOut { value, script_pubkey: to })?;
    rpc.call("sendrawtransaction", json!([bitcoin::consensus::encode::serialize_hex(&tx)])).await?;
    Ok(Some((sat(value.to_sat()), tx.compute_txid())))
}

fn signed(
    secp: &Secp256k1<All>,
    inputs: &[(OutPoint, TxOut, SecretKey, Kind)],
    output: TxOut,
) -> Result<Transaction, WalletError> {
    let input = inputs.iter().map(|(outpoint, ..)| TxIn {
        previous_output: *outpoint,
        script_sig: ScriptBuf::new(),
        // BOLT 3: the anchors' to_remote is spent with `nSequence` 1.
        sequence: Sequence::from_consensus(1),
        witness: Witness::new(),
    });
    let mut tx = Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: input.collect(),
        output: vec![output],
    };
    let bug = |_| WalletError::Bug("no signature hash".into());
    for (index, (_, spent, key, kind)) in inputs.iter().enumerate() {
        let public: PublicKey = key.public_key(secp);
        let redeem = get_to_countersigner_keyed_anchor_redeemscript(&public);
        let mut cache = SighashCache::new(&tx);
        let hash = match kind {
            Kind::Anchors => {
                cache.p2wsh_signature_hash(index, &redeem, spent.value, EcdsaSighashType::All).map_err(bug)?
            }
            Kind::Plain => cache
                .p2wpkh_signature_hash(index, &spent.script_pubkey, spent.value, EcdsaSighashType::All)
                .map_err(|_| WalletError::Bug("no signature hash".into()))?,
        };
        let signature = ecdsa::Signature::sighash_all(secp.sign_ecdsa(&Message::from(hash), key));
        tx.input[index].witness = match kind {
            Kind::Anchors => Witness::from_slice(&[signature.serialize().to_vec(), redeem.into_bytes()]),
            Kind::Plain => Witness::p2wpkh(&signature, &public),
        };
    }
    Ok(tx)
}

/// A bitcoind.
struct Rpc {
    client: reqwest::Client,
    url: String,
    authorization: Zeroizing<String>,
}

impl Rpc {
    fn new(source: &Bitcoind) -> Result<Self, WalletError> {
        let client = reqwest::Client::builder().no_proxy().timeout(CHAIN_SCAN_WITHIN).build();
        let client = client.map_err(|error| WalletError::Bug(error.to_string()))?;
        let credentials = Zeroizing::new(format!("{}:{}", source.user, &*source.password));
        let coded = base64::engine::general_purpose::STANDARD.encode(credentials.as_bytes());
        Ok(Self {
            client,
            url: format!("http://{}:{}/", source.host, source.port),
            authorization: Zeroizing::new(format!("Basic {coded}")),
        })
    }

    async fn call(&self, method: &'static str, params: Value) -> Result<Value, WalletError> {
        let body = json!({ "jsonrpc": "1.0", "id": "satchel", "method": method, "params": params });
        let request = self.client.post(&self.url).header("authorization", self.authorization.as_str()).json(&body);
        let answer = request.send().await.map_err(|_| WalletError::Busy)?;
        let mut answer: Value = answer.json().await.map_err(|_| WalletError::Busy)?;
        if !answer["error"].is_null() {
            return Err(WalletError::Refused { what: method, status: 500 });
        }
        Ok(answer["result"].take())
    }
}

#[cfg(test)]
mod tests {
    use ldk::sign::KeysManager;

    use super::*;

    #[test]
    fn the_seed_gives_the_scripts_that_ldk_pays_us_to() {
        let seed = [7; 64];
        let chain = ChainSource::Esplora(String::new());
        let secrets = Secrets::new(&seed, Network::Regtest, &chain).unwrap();
        let ldk = Xpriv::new_master(Network::Regtest, &seed).unwrap().private_key.secret_bytes();
        let manager = KeysManager::new(&ldk, 1, 1, true);
        let wanted = manager.possible_v2_counterparty_closed_balance_spks(&Secp256k1::new());
        let ours = secrets.scripts().unwrap();
        assert_eq!(wanted.len(), ours.len());
        assert!(wanted.iter().all(|script| ours.contains_key(script)));
    }
}
