//! LND's REST API, as api.lightning.community documents it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::http::{self, Ask, Say};
use super::world::{FEE_MSAT, Invoice, Is, No, World};

/// The octets of the macaroon's file.
pub(crate) const MACAROON: &[u8] = &[0x02, 0x01, 0x03, 0x6c, 0x6e, 0x64];

/// Starts one. Its address, and the PEM of its `tls.cert`.
pub(crate) async fn start(world: &World) -> (String, String) {
    let (tls, pem) = http::lnd_certificate();
    let world = world.clone();
    let address = http::serve(Some(tls), move |ask| answer(&world, &ask)).await;
    (format!("https://{address}"), pem)
}

/// gRPC's status, as its gateway writes it.
fn status(http: u16, code: u32, message: &str) -> Say {
    Say::json(http, &json!({ "code": code, "message": message, "details": [] }))
}

fn unknown(message: &str) -> Say {
    status(500, 2, message)
}

fn bad(message: &str) -> Say {
    status(400, 3, message)
}

pub(crate) fn answer(world: &World, ask: &Ask) -> Say {
    let macaroon = ask.header("grpc-metadata-macaroon");
    if macaroon.is_empty() {
        return unknown("expected 1 macaroon, got 0");
    }
    if hex::decode(macaroon).ok().as_deref() != Some(MACAROON) {
        return unknown("verification failed: signature mismatch after caveat verification");
    }
    let body = if ask.method == Method::POST {
        match serde_json::from_slice(&ask.body) {
            Ok(Value::Object(body)) => body,
            _ => return bad("syntax error: a JSON object is expected"),
        }
    } else {
        Map::new()
    };
    let result = match (ask.method.as_str(), ask.path.as_str()) {
        ("GET", "/v1/getinfo") => Ok(info(world)),
        ("GET", "/v1/channels") => Ok(channels(world)),
        ("GET", "/v1/channels/pending") => Ok(json!({
            "total_limbo_balance": "0", "pending_open_channels": [], "pending_closing_channels": [],
            "pending_force_closing_channels": [], "waiting_close_channels": [],
        })),
        ("GET", "/v1/balance/channels") => Ok(balance(world)),
        ("GET", "/v1/balance/blockchain") => Ok(json!({
            "total_balance": "250000", "confirmed_balance": "250000", "unconfirmed_balance": "0",
            "locked_balance": "0", "reserved_balance_anchor_chan": "10000", "account_balance": {},
        })),
        ("POST", "/v1/invoices") => make_invoice(world, &body),
        ("POST", "/v2/invoices/hodl") => make_hold(world, &body),
        ("POST", "/v2/invoices/settle") => settle(world, &body),
        ("POST", "/v2/invoices/cancel") => cancel(world, &body),
        ("GET", "/v2/invoices/lookup") => lookup(world, &ask.query),
        ("POST", "/v2/router/send") => return send(world, &body),
        ("GET", path) => match path.strip_prefix("/v2/router/track/") {
            Some(hash) => return track(world, hash),
            None => Err(status(404, 5, "Not Found")),
        },
        _ => Err(status(404, 5, "Not Found")),
    };
    result.map_or_else(|refused| refused, |value| Say::json(200, &value))
}

/// Members of a request: names are known, octets are base64 with the standard alphabet, 64-bit numbers are strings.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn of(body: &'a Map<String, Value>, allowed: &[&str]) -> Result<Self, Say> {
        match body.keys().find(|key| !allowed.contains(&key.as_str())) {
            Some(key) => Err(bad(&format!("unknown field {key:?}"))),
            None => Ok(Self(body)),
        }
    }

    fn octets(&self, name: &str) -> Result<[u8; 32], Say> {
        let text = self.0.get(name).and_then(Value::as_str).unwrap_or_default();
        let octets = STANDARD.decode(text).map_err(|_| bad(&format!("{name}: illegal base64 data")))?;
        octets.try_into().map_err(|_| bad(&format!("{name} must be 32 bytes")))
    }

    fn long(&self, name: &str) -> Result<u64, Say> {
        match self.0.get(name) {
            None => Ok(0),
            Some(Value::String(text)) => text.parse().map_err(|_| bad(&format!("{name}: invalid value"))),
            // The gateway would read a number too; its documents say string, and a float would lose digits.
            Some(_) => Err(bad(&format!("{name} must be a string"))),
        }
    }

    fn text(&self, name: &str) -> Result<&str, Say> {
        match self.0.get(name) {
            None => Ok(""),
            Some(value) => value.as_str().ok_or_else(|| bad(&format!("{name} must be a string"))),
        }
    }
}

const INVOICE_FIELDS: [&str; 10] = [
    "memo",
    "hash",
    "value",
    "value_msat",
    "description_hash",
    "expiry",
    "fallback_addr",
    "cltv_expiry",
    "route_hints",
    "private",
];

fn make_hold(world: &World, body: &Map<String, Value>) -> Result<Value, Say> {
    let fields = Fields::of(body, &INVOICE_FIELDS)?;
    let (hash, amount, expiry) = (fields.octets("hash")?, fields.long("value_msat")?, fields.long("expiry")?);
    let cltv = match u32::try_from(fields.long("cltv_expiry")?).unwrap_or(u32::MAX) {
        0 => 80,
        cltv @ 24..=65535 => cltv,
        cltv => return Err(unknown(&format!("CLTV delta of {cltv} is out of range"))),
    };
    let mut state = world.lock();
    let made = state.hold(hash, amount, fields.text("memo")?, if expiry == 0 { 86_400 } else { expiry }, cltv);
    let made = made.ok_or_else(|| unknown("invoice with payment hash already exists"))?;
    Ok(json!({ "payment_request": made.bolt11, "add_index": "1", "payment_addr": STANDARD.encode([5; 32]) }))
}

fn make_invoice(world: &World, body: &Map<String, Value>) -> Result<Value, Say> {
    let fields = Fields::of(body, &INVOICE_FIELDS)?;
    let (amount, expiry) = (fields.long("value_msat")?, fields.long("expiry")?);
    let (made, hash) = world.lock().ordinary(amount, fields.text("memo")?, expiry);
    Ok(json!({
        "r_hash": STANDARD.encode(hash), "payment_request": made.bolt11, "add_index": "1",
        "payment_addr": STANDARD.encode([5; 32]),
    }))
}

fn settle(world: &World, body: &Map<String, Value>) -> Result<Value, Say> {
    let preimage = Fields::of(body, &["preimage"])?.octets("preimage")?;
    match world.lock().settle(preimage) {
        Ok(_) => Ok(json!({})),
        Err(No::Unknown) => Err(unknown("unable to locate invoice")),
        Err(No::Is(Is::Canceled)) => Err(unknown("invoice already canceled")),
        Err(No::Is(_)) => Err(unknown("invoice still open")),
    }
}

fn cancel(world: &World, body: &Map<String, Value>) -> Result<Value, Say> {
    let hash = Fields::of(body, &["payment_hash"])?.octets("payment_hash")?;
    match world.lock().cancel(hash) {
        Ok(()) => Ok(json!({})),
        Err(No::Unknown) => Err(unknown("unable to locate invoice")),
        Err(No::Is(_)) => Err(unknown("invoice already settled")),
    }
}

fn lookup(world: &World, query: &str) -> Result<Value, Say> {
    let text = query.strip_prefix("payment_hash=").ok_or_else(|| bad("payment_hash is missing"))?;
    let text = text.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    // The gateway reads both alphabets here.
    let hash = URL_SAFE.decode(&text).or_else(|_| STANDARD.decode(&text)).map_err(|_| bad("illegal base64 data"))?;
    let hash = hash.try_into().map_err(|_| bad("invalid hash length"))?;
    match world.lock().invoices.get(&hash) {
        Some(invoice) => Ok(shown(hash, invoice)),
        None => Err(status(404, 5, "unable to locate invoice")),
    }
}

fn shown(hash: [u8; 32], invoice: &Invoice) -> Value {
    let name = match invoice.state {
        Is::Open => "OPEN",
        Is::Accepted => "ACCEPTED",
        Is::Settled => "SETTLED",
        Is::Canceled => "CANCELED",
    };
    let paid = if invoice.state == Is::Settled { invoice.amount_msat } else { 0 };
    let htlcs: Vec<Value> = invoice
        .htlc
        .iter()
        .map(|htlc| {
            json!({
                "chan_id": "880000000000000000", "htlc_index": "0", "amt_msat": htlc.amount_msat.to_string(),
                "accept_height": htlc.accept_height, "accept_time": "1700000000", "resolve_time": "0",
                "expiry_height": htlc.expiry_height, "state": name, "custom_records": {},
                "mpp_total_amt_msat": htlc.amount_msat.to_string(), "amp": null,
            })
        })
        .collect();
    json!({
        "memo": invoice.memo,
        "r_preimage": invoice.preimage.filter(|_| invoice.state == Is::Settled).map_or_else(String::new, |p| STANDARD.encode(p)),
        "r_hash": STANDARD.encode(hash),
        "value": (invoice.amount_msat / 1000).to_string(),
        "value_msat": invoice.amount_msat.to_string(),
        "settled": invoice.state == Is::Settled,
        "creation_date": invoice.created_at.to_string(),
        "settle_date": "0",
        "payment_request": invoice.bolt11,
        "description_hash": "",
        "expiry": invoice.expiry.to_string(),
        "cltv_expiry": invoice.cltv.to_string(),
        "private": true,
        "add_index": "1",
        "settle_index": "0",
        "amt_paid_sat": (paid / 1000).to_string(),
        "amt_paid_msat": paid.to_string(),
        "state": name,
        "htlcs": htlcs,
        "is_keysend": false,
    })
}

fn send(world: &World, body: &Map<String, Value>) -> Say {
    let allowed = ["payment_request", "timeout_seconds", "fee_limit_sat", "fee_limit_msat", "no_inflight_updates"];
    let fields = match Fields::of(body, &allowed) {
        Ok(fields) => fields,
        Err(refused) => return refused,
    };
    if !body.get("timeout_seconds").is_some_and(Value::is_u64) {
        return unknown("timeout_seconds must be specified");
    }
    let (bolt11, limit) = match (fields.text("payment_request"), fields.long("fee_limit_msat")) {
        (Ok(bolt11), Ok(limit)) => (bolt11, limit),
        (Err(refused), _) | (_, Err(refused)) => return refused,
    };
    if limit < FEE_MSAT {
        return Say::json(200, &json!({ "result": payment(None, "FAILED", "FAILURE_REASON_NO_ROUTE") }));
    }
    match world.lock().send(bolt11) {
        Ok((hash, sent)) => {
            let mut shown = payment(Some(hash), "SUCCEEDED", "FAILURE_REASON_NONE");
            shown["value_msat"] = json!(sent.amount_msat.to_string());
            shown["payment_preimage"] = json!(hex::encode(sent.preimage));
            Say { body: format!("{}\n", json!({ "result": shown })).into(), ..Say::json(200, &Value::Null) }
        }
        // Before anything was streamed, an error is the whole answer.
        Err("already paid") => {
            Say::json(409, &json!({ "error": { "code": 6, "message": "invoice is already paid", "details": [] } }))
        }
        Err("no balance") => {
            Say::json(200, &json!({ "result": payment(None, "FAILED", "FAILURE_REASON_INSUFFICIENT_BALANCE") }))
        }
        Err(_) => Say::json(200, &json!({ "result": payment(None, "FAILED", "FAILURE_REASON_NO_ROUTE") })),
    }
}

fn track(world: &World, hash: &str) -> Say {
    let Some(hash) = URL_SAFE.decode(hash).ok().and_then(|hash| <[u8; 32]>::try_from(hash).ok()) else {
        return bad("type mismatch, parameter: payment_hash, error: illegal base64 data");
    };
    match world.lock().sent.get(&hash) {
        Some(_) => {
            let shown = payment(Some(hash), "SUCCEEDED", "FAILURE_REASON_NONE");
            Say { body: format!("{}\n", json!({ "result": shown })).into(), ..Say::json(200, &Value::Null) }
        }
        None => Say::json(404, &json!({ "error": { "code": 5, "message": "payment isn't initiated", "details": [] } })),
    }
}

fn payment(hash: Option<[u8; 32]>, status: &str, reason: &str) -> Value {
    let fee = if status == "SUCCEEDED" { FEE_MSAT } else { 0 };
    json!({
        "payment_hash": hash.map_or_else(String::new, hex::encode), "status": status, "failure_reason": reason,
        "fee_sat": (fee / 1000).to_string(), "fee_msat": fee.to_string(), "htlcs": [],
    })
}

fn info(world: &World) -> Value {
    json!({
        "version": "0.21.0-beta", "identity_pubkey": "02".to_owned() + &"11".repeat(32), "alias": "lnd",
        "num_active_channels": 1, "num_peers": 1, "block_height": world.lock().height, "block_hash": "00".repeat(32),
        "best_header_timestamp": "1700000000", "synced_to_chain": true, "synced_to_graph": true, "testnet": false,
        "chains": [{ "chain": "bitcoin", "network": "regtest" }], "uris": [], "features": {},
    })
}

fn balance(world: &World) -> Value {
    let state = world.lock();
    let amount = |msat: u64| json!({ "sat": (msat / 1000).to_string(), "msat": msat.to_string() });
    json!({
        "balance": (state.local_msat / 1000).to_string(), "pending_open_balance": "0",
        "local_balance": amount(state.local_msat), "remote_balance": amount(state.remote_msat),
        "unsettled_local_balance": amount(0), "unsettled_remote_balance": amount(state.held_msat()),
        "pending_open_local_balance": amount(0), "pending_open_remote_balance": amount(0),
    })
}

fn channels(world: &World) -> Value {
    let state = world.lock();
    let constraints = json!({
        "csv_delay": 144, "chan_reserve_sat": "10000", "dust_limit_sat": "354", "max_pending_amt_msat": "9900000000",
        "min_htlc_msat": "1", "max_accepted_htlcs": 483,
    });
    json!({ "channels": [{
        "active": true, "remote_pubkey": "03".to_owned() + &"22".repeat(32), "channel_point": "aa".repeat(32) + ":0",
        // Block 799,000, transaction 1, output 0.
        "chan_id": ((799_000_u64 << 40) + (1 << 16)).to_string(), "capacity": "10000000",
        "local_balance": (state.local_msat / 1000).to_string(), "remote_balance": (state.remote_msat / 1000).to_string(),
        "initiator": false, "private": false, "pending_htlcs": [],
        "local_constraints": constraints, "remote_constraints": constraints,
    }] })
}
