//! The bitcoind JSON-RPC methods that ldk-node calls, answered from the [`Chain`].

use std::collections::HashSet;

use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, Txid};
use serde_json::{Value, json};

use super::chain::{Chain, KnownBlock};

/// What the node is told a transaction should pay, in BTC per 1000 vB: 1 sat/vB, the relay minimum.
const FEE_RATE_BTC_PER_KVB: f64 = 0.000_01;

/// An error as bitcoind numbers it.
struct RpcError(i64, String);

impl RpcError {
    fn params(what: &str) -> Self {
        Self(-8, what.to_owned())
    }
}

/// Answers one request body; `now` is unix seconds.
pub(super) fn answer(chain: &Chain, body: &[u8], now: u64) -> Value {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return json!({"result": null, "error": {"code": -32700, "message": "Parse error"}, "id": null});
    };
    let method = request["method"].as_str().unwrap_or_default();
    let none = Vec::new();
    let params = request["params"].as_array().unwrap_or(&none);
    let id = request["id"].clone();
    match call(chain, method, params, now) {
        Ok(result) => json!({"result": result, "error": null, "id": id}),
        Err(RpcError(code, message)) => {
            json!({"result": null, "error": {"code": code, "message": message}, "id": id})
        }
    }
}

fn call(chain: &Chain, method: &str, params: &[Value], now: u64) -> Result<Value, RpcError> {
    match method {
        "getblockchaininfo" => {
            let (tip, height) = chain.best();
            Ok(json!({"chain": "regtest", "blocks": height, "headers": height, "bestblockhash": tip.to_string()}))
        }
        "getblockhash" => {
            let height = number(params, 0)?;
            let hash = chain.hash_at(height).ok_or_else(|| RpcError::params("Block height out of range"))?;
            Ok(json!(hash.to_string()))
        }
        "getblockheader" => {
            let hash: BlockHash = parse(params, 0)?;
            Ok(header(chain, &hash, &block(chain, &hash)?))
        }
        "getblock" => {
            let hash: BlockHash = parse(params, 0)?;
            if params.get(1).is_some_and(|verbosity| verbosity != &json!(0) && verbosity != &json!(false)) {
                return Err(RpcError::params("only verbosity 0 is served"));
            }
            Ok(json!(hex::encode(&block(chain, &hash)?.raw)))
        }
        "getrawmempool" => Ok(Value::Array(chain.mempool().iter().map(|txid| json!(txid.to_string())).collect())),
        "getmempoolentry" => {
            let waiting = chain.waiting(&parse(params, 0)?);
            let waiting = waiting.ok_or_else(|| RpcError(-5, "Transaction not in mempool".into()))?;
            Ok(json!({"time": waiting.time, "height": waiting.height, "fees": {"base": waiting.fee.to_btc()}}))
        }
        "getrawtransaction" => {
            let waiting = chain.waiting(&parse(params, 0)?);
            let waiting = waiting.ok_or_else(|| RpcError(-5, "No such mempool transaction".into()))?;
            Ok(json!(bitcoin::consensus::encode::serialize_hex(&waiting.tx)))
        }
        "sendrawtransaction" => {
            let raw = params.first().and_then(Value::as_str).and_then(|text| hex::decode(text).ok());
            let raw = raw.ok_or_else(|| RpcError(-22, "TX decode failed".into()))?;
            let txid = chain.submit_raw(&raw, now).map_err(|reject| {
                tracing::debug!(reason = %reject, "sandbox chain: transaction refused");
                RpcError(reject.code(), reject.to_string())
            })?;
            Ok(json!(txid.to_string()))
        }
        "gettxout" => {
            let (txid, vout): (Txid, u32) = (parse(params, 0)?, number(params, 1)?);
            let (tip, height) = chain.best();
            let outpoint = OutPoint { txid, vout };
            // `include_mempool` is true unless it is said.
            let looks_at_mempool = params.get(2).is_none_or(|include| include != &json!(false));
            let coin = chain.coin(&outpoint).filter(|_| !looks_at_mempool || !chain.is_being_spent(&outpoint));
            Ok(coin.map_or(Value::Null, |coin| {
                json!({
                    "bestblock": tip.to_string(),
                    "confirmations": height + 1 - coin.height,
                    "value": coin.output.value.to_btc(),
                    "scriptPubKey": {"hex": coin.output.script_pubkey.to_hex_string()},
                    "coinbase": coin.coinbase,
                })
            }))
        }
        "scantxoutset" => scan(chain, params),
        "estimatesmartfee" => Ok(json!({"feerate": FEE_RATE_BTC_PER_KVB, "blocks": number(params, 0).unwrap_or(1)})),
        "getmempoolinfo" => {
            Ok(json!({"size": chain.mempool().len(), "mempoolminfee": FEE_RATE_BTC_PER_KVB, "loaded": true}))
        }
        _ => Err(RpcError(-32601, "Method not found".into())),
    }
}

/// Only scripts as they are, `raw(HEX)`: whoever asks derives them.
fn scan(chain: &Chain, params: &[Value]) -> Result<Value, RpcError> {
    if params.first() != Some(&json!("start")) {
        return Err(RpcError::params("only \"start\" is served"));
    }
    let mut scripts = HashSet::new();
    for object in params.get(1).and_then(Value::as_array).into_iter().flatten() {
        let raw = object.as_str().and_then(|text| text.strip_prefix("raw(")?.strip_suffix(')'));
        let script = raw.and_then(|hex| ScriptBuf::from_hex(hex).ok());
        scripts.insert(script.ok_or_else(|| RpcError::params("only raw(HEX) is served"))?);
    }
    let coins = chain.coins_paying(&scripts);
    let total: Amount = coins.iter().map(|(_, coin)| coin.output.value).sum();
    let unspents: Vec<Value> = coins
        .iter()
        .map(|(outpoint, coin)| {
            json!({
                "txid": outpoint.txid.to_string(),
                "vout": outpoint.vout,
                "scriptPubKey": coin.output.script_pubkey.to_hex_string(),
                "amount": coin.output.value.to_btc(),
                "coinbase": coin.coinbase,
                "height": coin.height,
            })
        })
        .collect();
    Ok(json!({
        "success": true,
        "height": chain.height(),
        "bestblock": chain.tip().to_string(),
        "unspents": unspents,
        "total_amount": total.to_btc(),
    }))
}

fn block(chain: &Chain, hash: &BlockHash) -> Result<KnownBlock, RpcError> {
    chain.block(hash).ok_or_else(|| RpcError(-5, "Block not found".into()))
}

fn header(chain: &Chain, hash: &BlockHash, block: &KnownBlock) -> Value {
    let header = &block.header;
    // Every regtest block counts 2.
    let mut work = [0; 32];
    work[24..].copy_from_slice(&(2 * (u64::from(block.height) + 1)).to_be_bytes());
    let best = chain.hash_at(block.height) == Some(*hash);
    let mut answer = json!({
        "hash": hash.to_string(),
        "confirmations": if best { i64::from(chain.height()) - i64::from(block.height) + 1 } else { -1 },
        "height": block.height,
        "version": header.version.to_consensus(),
        "merkleroot": header.merkle_root.to_string(),
        "time": header.time,
        "bits": format!("{:08x}", header.bits.to_consensus()),
        "nonce": header.nonce,
        "chainwork": hex::encode(work),
    });
    if header.prev_blockhash != BlockHash::all_zeros() {
        answer["previousblockhash"] = json!(header.prev_blockhash.to_string());
    }
    answer
}

fn parse<T: std::str::FromStr>(params: &[Value], index: usize) -> Result<T, RpcError> {
    let text = params.get(index).and_then(Value::as_str);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| RpcError::params("parameter must be a hexadecimal hash"))
}

fn number(params: &[Value], index: usize) -> Result<u32, RpcError> {
    let number = params.get(index).and_then(Value::as_u64);
    number.and_then(|number| number.try_into().ok()).ok_or_else(|| RpcError::params("parameter must be a number"))
}
