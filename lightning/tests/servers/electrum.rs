//! An Electrum server over the sandbox's chain, from the protocol's description (version 1.4).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::Txid;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::{Hash, sha256d};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::index::{Index, Known};

/// A running server.
pub(crate) struct Electrum {
    /// Its address.
    pub(crate) url: String,
    /// Closes every connection while set.
    pub(crate) away: Arc<AtomicBool>,
}

pub(crate) async fn start(index: &Index) -> Electrum {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let away = Arc::new(AtomicBool::new(false));
    let (index, gone) = (index.clone(), Arc::clone(&away));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (index, gone) = (index.clone(), Arc::clone(&gone));
            tokio::spawn(async move {
                // A client that goes away is no fault of ours.
                let _ = connection(stream, &index, &gone).await;
            });
        }
    });
    Electrum { url: format!("tcp://{address}"), away }
}

async fn connection(stream: TcpStream, index: &Index, gone: &AtomicBool) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut pulse = index.sandbox.chain().pulse();
    let (mut subscribed, mut told) = (false, None);
    loop {
        let mut out = String::new();
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                let request: Value = serde_json::from_str(&line)?;
                subscribed |= request["method"] == "blockchain.headers.subscribe";
                out = match answer(index, &request) {
                    Ok(result) => json!({"jsonrpc": "2.0", "id": request["id"], "result": result}),
                    Err((code, message)) => {
                        json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message}})
                    }
                }
                .to_string();
                if subscribed && told.is_none() {
                    told = Some(index.sandbox.chain().tip());
                }
            }
            changed = pulse.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let tip = index.sandbox.chain().tip();
                if subscribed && told != Some(tip) {
                    told = Some(tip);
                    out = json!({"jsonrpc": "2.0", "method": "blockchain.headers.subscribe", "params": [header(index)]})
                        .to_string();
                }
            }
            () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
        }
        if gone.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !out.is_empty() {
            out.push('\n');
            write.write_all(out.as_bytes()).await?;
        }
    }
}

type Answer = Result<Value, (i64, String)>;

fn header(index: &Index) -> Value {
    let (tip, height) = index.sandbox.chain().best();
    json!({"height": height, "hex": serialize_hex(&index.sandbox.chain().block(&tip).unwrap().header)})
}

fn answer(index: &Index, request: &Value) -> Answer {
    let chain = index.sandbox.chain();
    let params = &request["params"];
    let bad = |what: &str| (1, format!("bad request: {what}"));
    let number = |at: usize| params[at].as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(|| bad("a number"));
    let text = |at: usize| params[at].as_str().ok_or_else(|| bad("a text"));
    let header_at = |height: u32| {
        let hash = chain.hash_at(height).ok_or_else(|| bad("no such height"))?;
        Ok::<_, (i64, String)>(serialize_hex(&chain.block(&hash).ok_or_else(|| bad("no such block"))?.header))
    };
    Ok(match request["method"].as_str().unwrap_or_default() {
        "server.version" => json!(["test 1.0", "1.4"]),
        "server.ping" => Value::Null,
        "blockchain.headers.subscribe" => header(index),
        "blockchain.block.header" => json!(header_at(number(0)?)?),
        "blockchain.block.headers" => {
            let from = number(0)?;
            let count = number(1)?.min(2016).min((chain.height() + 1).saturating_sub(from));
            let all: Result<String, _> = (from..from + count).map(header_at).collect();
            json!({"count": count, "hex": all?, "max": 2016})
        }
        "blockchain.estimatefee" => json!(0.000_01),
        "blockchain.relayfee" => json!(0.000_01),
        "blockchain.scripthash.get_history" => {
            let mut hash: [u8; 32] =
                hex::decode(text(0)?).ok().and_then(|hash| hash.try_into().ok()).ok_or_else(|| bad("a hash"))?;
            hash.reverse();
            index.history(&hash).iter().map(|known| entry(index, known)).collect()
        }
        "blockchain.transaction.get" => {
            let txid: Txid = text(0)?.parse().map_err(|_| bad("a txid"))?;
            let known = index.tx(&txid).ok_or_else(|| (2, "daemon error: no such transaction".to_owned()))?;
            json!(serialize_hex(&known.tx))
        }
        "blockchain.transaction.get_merkle" => {
            let txid: Txid = text(0)?.parse().map_err(|_| bad("a txid"))?;
            let place = index.tx(&txid).and_then(|known| known.place).filter(|place| number(1) == Ok(place.height));
            let place = place.ok_or_else(|| bad("not in a block at this height"))?;
            let merkle = branch(index.txids(&place.hash), place.position);
            json!({"block_height": place.height, "merkle": merkle, "pos": place.position})
        }
        "blockchain.transaction.broadcast" => {
            let raw = hex::decode(text(0)?).map_err(|_| bad("a transaction"))?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let txid =
                chain.submit_raw(&raw, now).map_err(|reject| (1, format!("the transaction was rejected: {reject}")))?;
            json!(txid.to_string())
        }
        _ => return Err((-32601, "unknown method".to_owned())),
    })
}

fn entry(index: &Index, known: &Known) -> Value {
    let txid = known.tx.compute_txid().to_string();
    match known.place {
        Some(place) => json!({"tx_hash": txid, "height": place.height}),
        None => {
            let spent: u64 = known
                .tx
                .input
                .iter()
                .filter_map(|input| index.output(&input.previous_output))
                .map(|output| output.value.to_sat())
                .sum();
            let paid: u64 = known.tx.output.iter().map(|output| output.value.to_sat()).sum();
            // -1 where an input waits itself.
            let waits = known
                .tx
                .input
                .iter()
                .any(|input| index.tx(&input.previous_output.txid).is_some_and(|from| from.place.is_none()));
            json!({"tx_hash": txid, "height": if waits { -1 } else { 0 }, "fee": spent.saturating_sub(paid)})
        }
    }
}

/// The hashes beside the way from a transaction up to the Merkle root, deepest first, as hex of the reversed octets.
fn branch(txids: Vec<Txid>, mut position: usize) -> Vec<String> {
    let mut level: Vec<[u8; 32]> = txids.into_iter().map(Txid::to_byte_array).collect();
    let mut branch = Vec::new();
    while level.len() > 1 {
        if !level.len().is_multiple_of(2) {
            level.push(*level.last().unwrap());
        }
        let mut beside = level[position ^ 1];
        beside.reverse();
        branch.push(hex::encode(beside));
        position /= 2;
        level = level.chunks(2).map(|pair| sha256d::Hash::hash(&pair.concat()).to_byte_array()).collect();
    }
    branch
}
