//! An Esplora server over the sandbox's chain, from Esplora's `API.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{BlockHash, OutPoint, Txid};
use serde_json::{Value, json};

use super::http::{Ask, Say, serve};
use super::index::{Index, Known};

/// Confirmed transactions on one page.
const PAGE: usize = 25;

/// A running server.
pub(crate) struct Esplora {
    /// Its base.
    pub(crate) url: String,
    /// Answers 503 to everything while set.
    pub(crate) away: Arc<AtomicBool>,
    /// Questions it was asked.
    pub(crate) asked: Arc<AtomicU64>,
}

pub(crate) async fn start(index: &Index) -> Esplora {
    let (away, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (index, gone, counted) = (index.clone(), Arc::clone(&away), Arc::clone(&asked));
    let address = serve(None, move |ask| {
        counted.fetch_add(1, Ordering::Relaxed);
        if gone.load(Ordering::Relaxed) {
            return Say::text(503, "away");
        }
        answer(&index, &ask).unwrap_or_else(|| Say::text(404, "not found"))
    })
    .await;
    Esplora { url: format!("http://{address}/api"), away, asked }
}

fn answer(index: &Index, ask: &Ask) -> Option<Say> {
    let chain = index.sandbox.chain();
    let path: Vec<&str> = ask.path.strip_prefix("/api/")?.split('/').collect();
    if ask.method == "POST" {
        let raw = (path == ["tx"]).then(|| hex::decode(&ask.body).ok()).flatten()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        return Some(match chain.submit_raw(&raw, now) {
            Ok(txid) => Say::text(200, txid.to_string()),
            Err(reject) => Say::text(400, format!("sendrawtransaction RPC error: {reject}")),
        });
    }
    let (tip, height) = chain.best();
    Some(match path.as_slice() {
        ["blocks", "tip", "height"] => Say::text(200, height.to_string()),
        ["blocks", "tip", "hash"] => Say::text(200, tip.to_string()),
        ["blocks"] => {
            let newest = (height.saturating_sub(9)..=height).rev();
            Say::json(200, &newest.filter_map(|height| block(index, chain.hash_at(height)?)).collect())
        }
        ["block-height", height] => Say::text(200, chain.hash_at(height.parse().ok()?)?.to_string()),
        ["block", hash, "header"] => Say::text(200, serialize_hex(&chain.block(&hash.parse().ok()?)?.header)),
        ["block", hash, "status"] => {
            let hash: BlockHash = hash.parse().ok()?;
            let known = chain.block(&hash).filter(|known| chain.hash_at(known.height) == Some(hash));
            Say::json(
                200,
                &match known {
                    Some(known) => json!({
                        "in_best_chain": true, "height": known.height,
                        "next_best": chain.hash_at(known.height + 1).map(|next| next.to_string()),
                    }),
                    None => json!({"in_best_chain": false}),
                },
            )
        }
        ["tx", txid] => Say::json(200, &transaction(index, &index.tx(&txid.parse().ok()?)?)),
        ["tx", txid, "raw"] => {
            let known = index.tx(&txid.parse().ok()?)?;
            Say { status: 200, kind: "application/octet-stream", body: bitcoin::consensus::serialize(&known.tx) }
        }
        ["tx", txid, "merkleblock-proof"] => Say::text(200, serialize_hex(&index.proof(&txid.parse().ok()?)?)),
        ["tx", txid, "outspend", vout] => {
            let output = OutPoint { txid: txid.parse().ok()?, vout: vout.parse().ok()? };
            index.output(&output)?;
            Say::json(
                200,
                &match index.spender(&output) {
                    None => json!({"spent": false}),
                    Some((known, input)) => json!({
                        "spent": true, "txid": known.tx.compute_txid().to_string(), "vin": input,
                        "status": status(&known),
                    }),
                },
            )
        }
        ["scripthash", hash, "txs"] => Say::json(200, &history(index, hash, None)?),
        ["scripthash", hash, "txs", "chain", last] => Say::json(200, &history(index, hash, Some(last.parse().ok()?))?),
        ["fee-estimates"] => Say::json(200, &json!({"1": 1.0, "6": 1.0, "144": 1.0, "1008": 1.0})),
        _ => return None,
    })
}

/// Newest first; what waits only on the first page.
fn history(index: &Index, hash: &str, after: Option<Txid>) -> Option<Value> {
    let hash: [u8; 32] = hex::decode(hash).ok()?.try_into().ok()?;
    let mut all = index.history(&hash);
    all.reverse();
    let (waiting, confirmed): (Vec<_>, Vec<_>) = all.into_iter().partition(|known| known.place.is_none());
    let seen = |known: &Known| after.is_some_and(|last| known.tx.compute_txid() != last);
    let rest = confirmed.into_iter().skip_while(seen).skip(usize::from(after.is_some())).take(PAGE);
    let first = if after.is_none() { waiting } else { Vec::new() };
    Some(first.into_iter().chain(rest).map(|known| transaction(index, &known)).collect())
}

fn status(known: &Known) -> Value {
    match known.place {
        Some(place) => json!({
            "confirmed": true, "block_height": place.height, "block_hash": place.hash.to_string(),
            "block_time": place.time,
        }),
        None => json!({"confirmed": false}),
    }
}

fn transaction(index: &Index, known: &Known) -> Value {
    let tx = &known.tx;
    let mut spent = 0;
    let vin: Vec<Value> = tx
        .input
        .iter()
        .map(|input| {
            let from = index.output(&input.previous_output);
            spent += from.as_ref().map_or(0, |output| output.value.to_sat());
            json!({
                "txid": input.previous_output.txid.to_string(), "vout": input.previous_output.vout,
                "prevout": from.map(|output| json!({
                    "scriptpubkey": output.script_pubkey.to_hex_string(), "value": output.value.to_sat(),
                })),
                "scriptsig": input.script_sig.to_hex_string(),
                "witness": input.witness.iter().map(hex::encode).collect::<Vec<_>>(),
                "is_coinbase": tx.is_coinbase(), "sequence": input.sequence.0,
            })
        })
        .collect();
    let paid: u64 = tx.output.iter().map(|output| output.value.to_sat()).sum();
    let vout: Vec<Value> = tx
        .output
        .iter()
        .map(|output| json!({"scriptpubkey": output.script_pubkey.to_hex_string(), "value": output.value.to_sat()}))
        .collect();
    json!({
        "txid": tx.compute_txid().to_string(), "version": tx.version.0, "locktime": tx.lock_time.to_consensus_u32(),
        "vin": vin, "vout": vout, "size": tx.total_size(), "weight": tx.weight().to_wu(),
        "fee": spent.saturating_sub(paid), "status": status(known),
    })
}

fn block(index: &Index, hash: BlockHash) -> Option<Value> {
    let known = index.sandbox.chain().block(&hash)?;
    let header = known.header;
    Some(json!({
        "id": hash.to_string(), "height": known.height, "version": header.version.to_consensus(),
        "timestamp": header.time, "mediantime": header.time, "bits": header.bits.to_consensus(),
        "nonce": header.nonce, "difficulty": 0.0, "merkle_root": header.merkle_root.to_string(),
        "previousblockhash": (known.height > 0).then(|| header.prev_blockhash.to_string()),
        "tx_count": index.txids(&hash).len(), "size": known.raw.len(), "weight": known.raw.len() * 4,
    }))
}
