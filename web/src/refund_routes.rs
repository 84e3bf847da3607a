//! The addresses at which money in escrow finds its way back.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lnmp::GateId;
use serde::Deserialize;
use serde_json::json;

use crate::page::{oops, pay, refund};
use crate::routes::{House, Look, find, html, oops, price_of, priority_query};
use crate::{Price, RefundView, limits};

pub(crate) fn routes() -> Router<House> {
    Router::new()
        .route("/pay/{token}/refund", post(choose))
        .route("/pay/{token}/link", post(ask_link))
        .route("/refund/{token}", get(show).post(change))
        .route("/lnurlw/{token}", get(offer))
        .route("/lnurlw/{token}/pay", get(withdraw))
}

#[derive(Deserialize)]
struct Chosen {
    gate: i64,
    #[serde(default)]
    priority: Option<String>,
    #[serde(default)]
    to: String,
}

/// A gate of the page, or what to say instead.
async fn gate_of(
    host: &House,
    token: &str,
    chosen: Result<Form<Chosen>, FormRejection>,
) -> Result<(GateId, Price, String), Response> {
    let page = find(host, token, Look::Watch, Price::Asked).await;
    let Some(page) = page else { return Err(oops(host, StatusCode::NOT_FOUND, oops::NO_PAGE)) };
    let Ok(Form(Chosen { gate, priority, to })) = chosen else {
        return Err(oops(host, StatusCode::BAD_REQUEST, oops::BAD_FORM));
    };
    if !page.gates.iter().any(|shown| shown.gate == GateId(gate)) {
        return Err(oops(host, StatusCode::NOT_FOUND, oops::NO_PAGE));
    }
    Ok((GateId(gate), price_of(priority.is_some()), to))
}

async fn refused(host: &House, token: &str, gate: GateId, price: Price, why: &str) -> Response {
    match find(host, token, Look::Watch, price).await {
        Some(page) => {
            let failed = pay::Failed { gate, what: "That did not work.", why };
            let text = pay::render(token, &page, price, host.info().sandbox, Some(failed));
            html(StatusCode::CONFLICT, text)
        }
        None => oops(host, StatusCode::NOT_FOUND, oops::NO_PAGE),
    }
}

async fn choose(
    State(host): State<House>,
    Path(token): Path<String>,
    chosen: Result<Form<Chosen>, FormRejection>,
) -> Response {
    let (gate, price, to) = match gate_of(&host, &token, chosen).await {
        Ok(chosen) => chosen,
        Err(said) => return said,
    };
    match host.set_refund(&token, gate, price, &to).await {
        Ok(()) => Redirect::to(&format!("/pay/{token}{}", priority_query(price))).into_response(),
        Err(why) => refused(&host, &token, gate, price, &why).await,
    }
}

async fn ask_link(
    State(host): State<House>,
    Path(token): Path<String>,
    chosen: Result<Form<Chosen>, FormRejection>,
) -> Response {
    let (gate, price, _) = match gate_of(&host, &token, chosen).await {
        Ok(chosen) => chosen,
        Err(said) => return said,
    };
    match host.ask_refund_link(&token, gate).await {
        Ok(()) => Redirect::to(&format!("/pay/{token}?watch")).into_response(),
        Err(why) => refused(&host, &token, gate, price, &why).await,
    }
}

/// What is no token never reaches the house.
fn is_token(token: &str) -> bool {
    token.len() <= limits::REFUND_TOKEN_BYTES_MAX && token.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

async fn opened(host: &House, token: &str) -> Option<RefundView> {
    if is_token(token) { host.refund(token).await } else { None }
}

async fn show(State(host): State<House>, Path(token): Path<String>) -> Response {
    match opened(&host, &token).await {
        Some(view) => html(StatusCode::OK, refund::render(&token, &view, host.info().sandbox, None)),
        None => oops(&host, StatusCode::NOT_FOUND, oops::NO_PAGE),
    }
}

#[derive(Deserialize)]
struct Target {
    to: String,
}

async fn change(
    State(host): State<House>,
    Path(token): Path<String>,
    target: Result<Form<Target>, FormRejection>,
) -> Response {
    let Some(view) = opened(&host, &token).await else {
        return oops(&host, StatusCode::NOT_FOUND, oops::NO_PAGE);
    };
    let Ok(Form(Target { to })) = target else { return oops(&host, StatusCode::BAD_REQUEST, oops::BAD_FORM) };
    let sandbox = host.info().sandbox;
    match host.change_refund(&token, &to).await {
        Ok(()) => html(StatusCode::OK, refund::changed(sandbox)),
        Err(why) => html(StatusCode::CONFLICT, refund::render(&token, &view, sandbox, Some(&why))),
    }
}

/// LUD-01: wallets that run in a browser read the answer, too.
fn to_wallet(value: serde_json::Value) -> Response {
    ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))], Json(value)).into_response()
}

fn error(reason: &str) -> Response {
    to_wallet(json!({ "status": "ERROR", "reason": reason }))
}

/// LUD-03, step 3.
async fn offer(State(host): State<House>, Path(token): Path<String>) -> Response {
    let offered = if is_token(&token) { host.withdrawal(&token).await } else { None };
    match offered {
        Some(offered) => to_wallet(json!({
            "tag": "withdrawRequest",
            "callback": offered.callback,
            "k1": offered.k1,
            "defaultDescription": "refund",
            "minWithdrawable": offered.amount.0,
            "maxWithdrawable": offered.amount.0,
        })),
        None => error("there is no such withdrawal"),
    }
}

#[derive(Deserialize)]
struct Invoice {
    k1: Option<String>,
    pr: Option<String>,
}

/// LUD-03, step 5.
async fn withdraw(State(host): State<House>, Path(token): Path<String>, Query(given): Query<Invoice>) -> Response {
    let Invoice { k1: Some(k1), pr: Some(pr) } = given else { return error("k1 and pr are missing") };
    if !is_token(&token) || k1 != token || pr.len() > limits::INVOICE_BYTES_MAX {
        return error("there is no such withdrawal");
    }
    match host.withdraw(&token, &pr).await {
        Ok(()) => to_wallet(json!({ "status": "OK" })),
        Err(why) => error(&why),
    }
}
