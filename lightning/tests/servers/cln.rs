//! clnrest of Core Lightning 25 with the plugin holdinvoice 5, as their documents describe them.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::http::{self, Ask, Say};
use super::world::{FEE_MSAT, Is, No, Sent, World};

pub(crate) const RUNE: &str = "tU-RLjMiDpY2U0o3W1oFowar36RFGpWloPbW9-RuZdo9MyZpZD0wMjRiOWEx";

/// Starts one, with that version of the plugin. Its address, and the PEM of its `ca.pem`.
pub(crate) async fn start(world: &World, plugin: Option<&'static str>) -> (String, String) {
    let (tls, pem) = http::cln_certificate();
    let world = world.clone();
    let address = http::serve(Some(tls), move |ask| answer(&world, plugin, &ask)).await;
    (format!("https://{address}"), pem)
}

/// A JSON-RPC error, as clnrest passes it on.
fn error(code: i64, message: &str) -> Say {
    Say::json(500, &json!({ "code": code, "message": message, "data": null }))
}

fn invalid(message: &str) -> Say {
    error(-32602, message)
}

fn answer(world: &World, plugin: Option<&'static str>, ask: &Ask) -> Say {
    let Some(method) = ask.path.strip_prefix("/v1/") else { return Say::json(404, &json!({ "message": "Not found" })) };
    if ask.method != Method::POST {
        return Say::json(405, &json!({ "message": "Method Not Allowed" }));
    }
    match ask.header("rune") {
        RUNE => {}
        "" => return Say::json(403, &json!({ "code": 1501, "message": "Not authorized: Missing rune" })),
        _ => return Say::json(401, &json!({ "code": 1501, "message": "Not authorized: Invalid rune" })),
    }
    if ask.header("content-type") != "application/json" {
        return Say::json(415, &json!({ "message": "Unsupported Media Type" }));
    }
    let Ok(Value::Object(params)) = serde_json::from_slice(&ask.body) else {
        return Say::json(400, &json!({ "message": "Bad Request" }));
    };
    let result = match method {
        "getinfo" => Ok(json!({
            "id": "02".to_owned() + &"33".repeat(32), "alias": "cln", "color": "023333", "num_peers": 1,
            "num_active_channels": 1, "address": [], "binding": [], "version": "v25.05", "network": "regtest",
            "blockheight": world.lock().height, "fees_collected_msat": 0,
        })),
        "listfunds" => Ok(funds(world)),
        "listpeerchannels" => Ok(channels(world)),
        "invoice" => invoice(world, &params),
        "listinvoices" => list_invoices(world, &params),
        "pay" => pay(world, &params),
        "listpays" => list_pays(world, &params),
        "holdinvoice-version" if plugin.is_some() => Ok(json!({ "version": plugin })),
        "holdinvoice" if plugin.is_some() => hold(world, &params),
        "holdinvoicesettle" if plugin.is_some() => settle(world, &params),
        "holdinvoicecancel" if plugin.is_some() => cancel(world, &params),
        "holdinvoicelookup" if plugin.is_some() => lookup(world, &params),
        _ => return Say::json(404, &json!({ "code": -32601, "message": format!("Unknown command '{method}'") })),
    };
    result.map_or_else(|refused| refused, |value| Say::json(201, &value))
}

fn only(params: &Map<String, Value>, allowed: &[&str]) -> Result<(), Say> {
    match params.keys().find(|key| !allowed.contains(&key.as_str())) {
        Some(key) => Err(error(-1, &format!("Invalid argument: '{key}'"))),
        None => Ok(()),
    }
}

fn number(params: &Map<String, Value>, name: &str) -> Result<u64, Say> {
    let value = params.get(name).ok_or_else(|| invalid(&format!("missing required parameter: {name}")))?;
    value.as_u64().ok_or_else(|| invalid(&format!("{name}: should be an unsigned 64 bit integer: invalid token")))
}

fn text<'a>(params: &'a Map<String, Value>, name: &str) -> Result<&'a str, Say> {
    let value = params.get(name).ok_or_else(|| invalid(&format!("missing required parameter: {name}")))?;
    value.as_str().ok_or_else(|| invalid(&format!("{name}: should be a string: invalid token")))
}

fn octets(params: &Map<String, Value>, name: &str) -> Result<[u8; 32], Say> {
    let text = text(params, name)?;
    let octets = hex::decode(text).ok().and_then(|octets| octets.try_into().ok());
    octets.ok_or_else(|| invalid(&format!("{name}: should be a 32 byte hex value: invalid token '{text}'")))
}

fn hold(world: &World, params: &Map<String, Value>) -> Result<Value, Say> {
    let allowed = [
        "amount_msat",
        "description",
        "expiry",
        "payment_hash",
        "preimage",
        "cltv",
        "deschashonly",
        "exposeprivatechannels",
    ];
    only(params, &allowed)?;
    let (amount, hash) = (number(params, "amount_msat")?, octets(params, "payment_hash")?);
    let description = text(params, "description")?;
    let expiry = if params.contains_key("expiry") { number(params, "expiry")? } else { 604_800 };
    let cltv = if params.contains_key("cltv") { number(params, "cltv")? } else { 144 };
    let made = world.lock().hold(hash, amount, description, expiry, u32::try_from(cltv).unwrap());
    made.ok_or_else(|| invalid("a holdinvoice with this payment_hash exists already"))?;
    Ok(shown(world, hash))
}

fn settle(world: &World, params: &Map<String, Value>) -> Result<Value, Say> {
    only(params, &["payment_hash", "preimage"])?;
    let preimage = octets(params, "preimage")?;
    let settled = world.lock().settle(preimage);
    match settled {
        Ok(_) => Ok(json!({ "state": "SETTLED" })),
        Err(No::Unknown) => Err(invalid("payment_hash not found")),
        Err(No::Is(state)) => Err(invalid(&format!("Holdinvoice is in wrong state: '{}'", name(state)))),
    }
}

fn cancel(world: &World, params: &Map<String, Value>) -> Result<Value, Say> {
    only(params, &["payment_hash"])?;
    let hash = octets(params, "payment_hash")?;
    let cancelled = world.lock().cancel(hash);
    match cancelled {
        Ok(()) => Ok(json!({ "state": "CANCELED" })),
        Err(No::Unknown) => Err(invalid(&format!("payment_hash '{}' not found", hex::encode(hash)))),
        Err(No::Is(state)) => Err(invalid(&format!("Holdinvoice is in wrong state: '{}'", name(state)))),
    }
}

fn lookup(world: &World, params: &Map<String, Value>) -> Result<Value, Say> {
    only(params, &["payment_hash"])?;
    let hash = octets(params, "payment_hash")?;
    if !world.lock().invoices.get(&hash).is_some_and(|invoice| invoice.hold) {
        return Err(error(-32700, "payment_hash not found in database"));
    }
    Ok(json!({ "holdinvoices": [shown(world, hash)] }))
}

fn name(state: Is) -> &'static str {
    match state {
        Is::Open => "OPEN",
        Is::Accepted => "ACCEPTED",
        Is::Settled => "SETTLED",
        Is::Canceled => "CANCELED",
    }
}

fn shown(world: &World, hash: [u8; 32]) -> Value {
    let state = world.lock();
    let invoice = &state.invoices[&hash];
    let mut shown = json!({
        "bolt11": invoice.bolt11, "payment_hash": hex::encode(hash), "payment_secret": "05".repeat(32),
        "expires_at": invoice.created_at + invoice.expiry, "description": invoice.memo, "state": name(invoice.state),
    });
    if invoice.state == Is::Accepted {
        shown["htlc_expiry"] = json!(invoice.htlc.unwrap().expiry_height);
    }
    if invoice.state == Is::Settled {
        shown["paid_at"] = json!(1_700_000_000);
        shown["preimage"] = json!(hex::encode(invoice.preimage.unwrap()));
    }
    shown
}

fn invoice(world: &World, params: &Map<String, Value>) -> Result<Value, Say> {
    only(params, &["amount_msat", "label", "description", "expiry", "fallbacks", "preimage", "cltv", "deschashonly"])?;
    let (amount, expiry) = (number(params, "amount_msat")?, number(params, "expiry")?);
    text(params, "label")?;
    let (made, hash) = world.lock().ordinary(amount, text(params, "description")?, expiry);
    Ok(json!({
        "bolt11": made.bolt11, "payment_hash": hex::encode(hash), "payment_secret": "05".repeat(32),
        "expires_at": made.created_at + made.expiry, "created_index": 1,
    }))
}

fn list_invoices(world: &World, params: &Map<String, Value>) -> Result<Value, Say> {
    only(params, &["label", "invstring", "payment_hash", "offer_id", "index", "start", "limit"])?;
    let hash = octets(params, "payment_hash")?;
    let state = world.lock();
    // The plugin's invoices are not Core Lightning's own.
    let found = state.invoices.get(&hash).filter(|invoice| !invoice.hold);
    let shown = found.map(|invoice| {
        let paid = invoice.state == Is::Settled;
        let mut shown = json!({
            "label": "l", "bolt11": invoice.bolt11, "payment_hash": hex::encode(hash), "amount_msat": invoice.amount_msat,
            "status": if paid { "paid" } else { "unpaid" }, "description": invoice.memo,
            "expires_at": invoice.created_at + invoice.expiry, "created_index": 1,
        });
        if paid {
            shown["amount_received_msat"] = json!(invoice.amount_msat);
        }
        shown
    });
    Ok(json!({ "invoices": shown.into_iter().collect::<Vec<_>>() }))
}

fn pay(world: &World, params: &Map<String, Value>) -> Result<Value, Say> {
    only(params, &["bolt11", "amount_msat", "label", "riskfactor", "maxfeepercent", "retry_for", "maxfee"])?;
    number(params, "retry_for")?;
    if number(params, "maxfee")? < FEE_MSAT {
        return Err(error(206, "Fee exceeds our fee budget"));
    }
    match world.lock().send(text(params, "bolt11")?) {
        Ok((hash, sent)) => Ok(paid(hash, &sent)),
        Err("already paid") => Err(error(201, "this payment hash has already been paid")),
        Err(_) => Err(error(205, "Could not find a route")),
    }
}

fn list_pays(world: &World, params: &Map<String, Value>) -> Result<Value, Say> {
    only(params, &["bolt11", "payment_hash", "status", "index", "start", "limit"])?;
    let hash = octets(params, "payment_hash")?;
    let found = world.lock().sent.get(&hash).map(|sent| paid(hash, sent));
    Ok(json!({ "pays": found.into_iter().collect::<Vec<_>>() }))
}

fn paid(hash: [u8; 32], sent: &Sent) -> Value {
    json!({
        "payment_hash": hex::encode(hash), "payment_preimage": hex::encode(sent.preimage), "status": "complete",
        "created_at": 1_700_000_000, "parts": 1, "amount_msat": sent.amount_msat,
        "amount_sent_msat": sent.amount_msat + FEE_MSAT,
    })
}

fn funds(world: &World) -> Value {
    let state = world.lock();
    json!({
        "outputs": [{ "txid": "aa".repeat(32), "output": 1, "amount_msat": 250_000_000_u64, "scriptpubkey": "00",
                      "status": "confirmed", "blockheight": 799_000, "reserved": false }],
        "channels": [{ "peer_id": "03".to_owned() + &"22".repeat(32), "our_amount_msat": state.local_msat,
                       "amount_msat": 10_000_000_000_u64, "funding_txid": "aa".repeat(32), "funding_output": 0,
                       "connected": true, "state": "CHANNELD_NORMAL", "channel_id": "bb".repeat(32),
                       "short_channel_id": "799000x1x0" }],
    })
}

fn channels(world: &World) -> Value {
    let state = world.lock();
    json!({ "channels": [{
        "peer_id": "03".to_owned() + &"22".repeat(32), "peer_connected": true, "state": "CHANNELD_NORMAL",
        "channel_id": "bb".repeat(32), "short_channel_id": "799000x1x0", "opener": "remote", "private": false,
        "total_msat": 10_000_000_000_u64, "to_us_msat": state.local_msat, "max_accepted_htlcs": 30,
        "spendable_msat": state.local_msat.saturating_sub(10_000_000), "receivable_msat": state.remote_msat - 10_000_000,
        "htlcs": [],
    }] })
}
