//! phoenixd's HTTP API, as phoenix.acinq.co/server/api documents it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::http::{self, Ask, Say};
use super::world::{FEE_MSAT, Is, World, now};

pub(crate) const PASSWORD: &str = "e8a1b0f3c5d7";

/// Starts one. Its address.
pub(crate) async fn start(world: &World) -> String {
    let world = world.clone();
    let address = http::serve(None, move |ask| answer(&world, &ask)).await;
    format!("http://{address}")
}

fn answer(world: &World, ask: &Ask) -> Say {
    let expected = format!("Basic {}", STANDARD.encode(format!(":{PASSWORD}")));
    if ask.header("authorization") != expected {
        let text = "Invalid authentication (use basic auth with the http password set in phoenix.conf)";
        return Say::text(401, text);
    }
    let result = match (ask.method.as_str(), ask.path.as_str()) {
        ("GET", "/getinfo") => Ok(info(world)),
        ("GET", "/getbalance") => Ok(json!({ "balanceSat": world.lock().local_msat / 1000, "feeCreditSat": 7 })),
        ("POST", "/createinvoice") => form(ask).and_then(|form| create(world, &form)),
        ("POST", "/payinvoice") => form(ask).and_then(|form| pay(world, &form)),
        ("POST", "/getinfo" | "/getbalance") | ("GET", "/createinvoice" | "/payinvoice") => {
            Err(Say::text(405, "Invalid http method (use the correct GET/POST)"))
        }
        ("GET", path) => match path.strip_prefix("/payments/incoming/") {
            Some(hash) => incoming(world, hash),
            None => match path.strip_prefix("/payments/outgoingbyhash/") {
                Some(hash) => outgoing(world, hash),
                None => Err(Say::text(404, "Unknown endpoint (check api doc)")),
            },
        },
        _ => Err(Say::text(404, "Unknown endpoint (check api doc)")),
    };
    // Kotlin's serializer prints prettily.
    result.map_or_else(
        |refused| refused,
        |value| Say { body: serde_json::to_string_pretty(&value).unwrap().into(), ..Say::json(200, &Value::Null) },
    )
}

fn form(ask: &Ask) -> Result<BTreeMap<String, String>, Say> {
    if ask.header("content-type") != "application/x-www-form-urlencoded" {
        return Err(Say::text(415, "Unsupported media type"));
    }
    let text = std::str::from_utf8(&ask.body).map_err(|_| Say::text(400, "no form"))?;
    let mut form = BTreeMap::new();
    for pair in text.split('&') {
        let (name, value) = pair.split_once('=').ok_or_else(|| Say::text(400, "no form"))?;
        form.insert(plain(name), plain(value));
    }
    Ok(form)
}

fn plain(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => {
                let mut octet = [0];
                hex::decode_to_slice([*high, *low], &mut octet).unwrap();
                out.extend_from_slice(&octet);
                rest = after;
            }
            (other, _) => out.push(*other),
        }
    }
    String::from_utf8(out).unwrap()
}

fn number(form: &BTreeMap<String, String>, name: &str) -> Result<Option<u64>, Say> {
    let parse = |text: &String| {
        text.parse()
            .map_err(|_| Say::text(400, format!("Request parameter {name} couldn't be parsed/converted to integer")))
    };
    form.get(name).map(parse).transpose()
}

fn create(world: &World, form: &BTreeMap<String, String>) -> Result<Value, Say> {
    let known = ["description", "descriptionHash", "amountSat", "expirySeconds", "externalId", "webhookUrl"];
    assert!(form.keys().all(|name| known.contains(&name.as_str())), "{form:?}");
    let Some(description) = form.get("description") else {
        return Err(Say::text(400, "Must provide either a description or descriptionHash"));
    };
    if description.len() > 128 {
        return Err(Say::text(400, "Request parameter description is too long (max 128 characters)"));
    }
    let (amount, expiry) = (number(form, "amountSat")?.unwrap(), number(form, "expirySeconds")?.unwrap_or(3600));
    let (made, hash) = world.lock().ordinary(amount * 1000, description, expiry);
    Ok(json!({ "amountSat": amount, "paymentHash": hex::encode(hash), "serialized": made.bolt11 }))
}

fn pay(world: &World, form: &BTreeMap<String, String>) -> Result<Value, Say> {
    let bolt11 = form.get("invoice").ok_or_else(|| Say::text(400, "Request parameter invoice is missing"))?;
    let sent = world.lock().send(bolt11);
    match sent {
        Ok((hash, sent)) => Ok(json!({
            "recipientAmountSat": sent.amount_msat / 1000, "routingFeeSat": FEE_MSAT / 1000,
            "paymentId": "0b0b0b0b-0000-4000-8000-000000000000", "paymentHash": hex::encode(hash),
            "paymentPreimage": hex::encode(sent.preimage),
        })),
        Err("already paid") => {
            Ok(json!({ "paymentHash": "00".repeat(32), "reason": "this invoice has already been paid" }))
        }
        Err(_) => Ok(json!({ "paymentHash": "00".repeat(32), "reason": "not enough funds" })),
    }
}

fn incoming(world: &World, hash: &str) -> Result<Value, Say> {
    let hash = hash32(hash)?;
    let state = world.lock();
    let invoice = state.invoices.get(&hash).ok_or_else(|| Say::text(404, ""))?;
    let paid = invoice.state == Is::Settled;
    let mut shown = json!({
        "type": "incoming_payment", "subType": "lightning", "paymentHash": hex::encode(hash),
        "preimage": hex::encode(invoice.preimage.unwrap()), "description": invoice.memo, "invoice": invoice.bolt11,
        "isPaid": paid, "isExpired": !paid && now() > invoice.created_at + invoice.expiry,
        "requestedSat": invoice.amount_msat / 1000, "receivedSat": if paid { invoice.amount_msat / 1000 } else { 0 },
        "fees": 0, "expiresAt": (invoice.created_at + invoice.expiry) * 1000, "createdAt": invoice.created_at * 1000,
    });
    if paid {
        shown["completedAt"] = json!(invoice.created_at * 1000);
    }
    Ok(shown)
}

fn outgoing(world: &World, hash: &str) -> Result<Value, Say> {
    let hash = hash32(hash)?;
    let state = world.lock();
    let sent = state.sent.get(&hash).ok_or_else(|| Say::text(404, ""))?;
    Ok(json!({
        "type": "outgoing_payment", "subType": "lightning", "paymentId": "0b0b0b0b-0000-4000-8000-000000000000",
        "paymentHash": hex::encode(hash), "preimage": hex::encode(sent.preimage), "isPaid": true,
        "sent": (sent.amount_msat + FEE_MSAT) / 1000, "fees": FEE_MSAT, "completedAt": 1_700_000_000_000_u64,
        "createdAt": 1_700_000_000_000_u64,
    }))
}

fn hash32(text: &str) -> Result<[u8; 32], Say> {
    let octets = hex::decode(text).ok().and_then(|octets| octets.try_into().ok());
    octets.ok_or_else(|| Say::text(400, "Request parameter paymentHash couldn't be parsed/converted to hex32"))
}

fn info(world: &World) -> Value {
    let state = world.lock();
    json!({
        "nodeId": "02".to_owned() + &"44".repeat(32),
        "channels": [{ "state": "Normal", "channelId": "cc".repeat(32), "balanceSat": state.local_msat / 1000,
                       "inboundLiquiditySat": state.remote_msat / 1000, "capacitySat": 10_000_000,
                       "fundingTxId": "dd".repeat(32) }],
        "chain": "regtest", "blockHeight": state.height, "version": "0.6.2",
    })
}
