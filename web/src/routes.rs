//! Which address shows what.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Form, Path, RawQuery, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lnmp::GateId;
use serde::Deserialize;
use tokio::time::timeout;

use crate::page::{landing, oops, pay, sandbox};
use crate::{Host, PayPage, Price, headers, limits, refund_routes, setup_routes};

pub(crate) type House = Arc<dyn Host>;

pub(crate) fn app(host: House) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/pay/{token}", get(pay_page))
        .route("/pay/{token}/state", get(pay_state))
        .route("/pay/{token}/sandbox", post(pay_in_sandbox))
        .route("/sandbox", get(caught))
        .route("/sandbox/{file}", get(caught_raw))
        .merge(setup_routes::routes())
        .merge(refund_routes::routes())
        .route("/pay.js", get(script))
        .route("/favicon.svg", get(icon))
        .route("/robots.txt", get(robots))
        .fallback(missing)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&host), in_time))
        .layer(middleware::from_fn(headers::add))
        .with_state(host)
}

async fn front(State(host): State<House>) -> Response {
    html(StatusCode::OK, landing::render(&host.info()))
}

async fn pay_page(
    State(host): State<House>,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
) -> Response {
    let says = |word: &str| query.as_deref().is_some_and(|query| query.split('&').any(|one| one == word));
    // HEAD is a look, not a visit: it makes no invoice.
    let look = if says("watch") || method == Method::HEAD { Look::Watch } else { Look::Visit };
    let price = price_of(says("priority"));
    match find(&host, &token, look, price).await {
        Some(page) => html(StatusCode::OK, pay::render(&token, &page, price, host.info().sandbox, None)),
        None => oops(&host, StatusCode::NOT_FOUND, oops::NO_PAGE),
    }
}

/// Which price a form or link chose.
pub(crate) fn price_of(priority: bool) -> Price {
    if priority { Price::Priority } else { Price::Asked }
}

/// The query that chooses it.
pub(crate) fn priority_query(price: Price) -> &'static str {
    match price {
        Price::Asked => "",
        Price::Priority => "?priority",
    }
}

async fn pay_state(State(host): State<House>, Path(token): Path<String>, RawQuery(query): RawQuery) -> Response {
    let priority = query.as_deref().is_some_and(|query| query.split('&').any(|one| one == "priority"));
    match find(&host, &token, Look::Watch, price_of(priority)).await {
        Some(page) => Json(pay::State::of(&page)).into_response(),
        None => (StatusCode::NOT_FOUND, Json(serde_json::json!({ "error": "no such page" }))).into_response(),
    }
}

#[derive(Deserialize)]
struct Choice {
    gate: i64,
    #[serde(default)]
    priority: Option<String>,
}

async fn pay_in_sandbox(
    State(host): State<House>,
    Path(token): Path<String>,
    choice: Result<Form<Choice>, axum::extract::rejection::FormRejection>,
) -> Response {
    let info = host.info();
    let Some(page) = find(&host, &token, Look::Watch, Price::Asked).await.filter(|_| info.sandbox) else {
        return oops(&host, StatusCode::NOT_FOUND, oops::NO_PAGE);
    };
    let (gate, price) = match choice {
        Ok(Form(choice)) => (GateId(choice.gate), price_of(choice.priority.is_some())),
        Err(refused) if refused.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return oops(&host, StatusCode::PAYLOAD_TOO_LARGE, oops::TOO_LARGE);
        }
        Err(_) => return oops(&host, StatusCode::BAD_REQUEST, oops::BAD_FORM),
    };
    if !page.gates.iter().any(|shown| shown.gate == gate) {
        return oops(&host, StatusCode::NOT_FOUND, oops::NO_PAGE);
    }
    match host.sandbox_pay(&token, gate, price).await {
        // RFC 9110 §15.4.4: 303, so that a reload does not pay twice.
        Ok(()) => Redirect::to(&format!("/pay/{token}")).into_response(),
        Err(why) => {
            let page = host.pay_state(&token, price).await.unwrap_or(page);
            let failed = pay::Failed { gate, what: "The sandbox wallet did not pay.", why: &why };
            html(StatusCode::CONFLICT, pay::render(&token, &page, price, true, Some(failed)))
        }
    }
}

async fn caught(State(host): State<House>) -> Response {
    match host.caught_mail().await {
        Some(mails) => html(StatusCode::OK, sandbox::render(mails)),
        None => oops(&host, StatusCode::NOT_FOUND, oops::NO_PAGE),
    }
}

async fn caught_raw(State(host): State<House>, Path(file): Path<String>) -> Response {
    let wanted = file.strip_suffix(".eml").and_then(|n| n.parse::<u64>().ok());
    let found = match wanted {
        Some(n) => host.caught_mail().await.and_then(|mails| mails.into_iter().find(|mail| mail.n == n)),
        None => None,
    };
    let Some(mail) = found else {
        return oops(&host, StatusCode::NOT_FOUND, oops::NO_PAGE);
    };
    let fields = [
        (header::CONTENT_TYPE, "message/rfc822".to_owned()),
        // Never shown by the browser itself: a mail may hold HTML.
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"caught-{}.eml\"", mail.n)),
    ];
    (fields, mail.raw).into_response()
}

async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../assets/pay.js"))
}

async fn icon() -> Response {
    asset("image/svg+xml", include_str!("../assets/favicon.svg"))
}

async fn robots() -> Response {
    asset("text/plain; charset=utf-8", "User-agent: *\nDisallow: /\n")
}

async fn missing(State(host): State<House>) -> Response {
    oops(&host, StatusCode::NOT_FOUND, oops::NO_PAGE)
}

async fn wrong_method(State(host): State<House>) -> Response {
    oops(&host, StatusCode::METHOD_NOT_ALLOWED, oops::WRONG_METHOD)
}

/// Ends a request that takes too long, body and house included.
async fn in_time(State(host): State<House>, request: Request, next: Next) -> Response {
    match timeout(limits::REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => oops(&host, StatusCode::SERVICE_UNAVAILABLE, oops::TOO_SLOW),
    }
}

/// Whether a person opened the page, or an open page looks whether anything changed.
#[derive(Clone, Copy)]
pub(crate) enum Look {
    Visit,
    Watch,
}

pub(crate) async fn find(host: &House, token: &str, look: Look, price: Price) -> Option<PayPage> {
    // Checked here once: what is no token never reaches the house.
    let hex = token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if token.len() != limits::TOKEN_DIGITS || !hex {
        return None;
    }
    match look {
        Look::Visit => host.pay_page(token, price).await,
        Look::Watch => host.pay_state(token, price).await,
    }
}

pub(crate) fn html(status: StatusCode, page: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    // An hour: long enough for a visit, short enough for an upgrade.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=3600")], text).into_response()
}

pub(crate) fn oops(host: &House, status: StatusCode, what: oops::Oops) -> Response {
    html(status, oops::render(what, host.info().sandbox))
}
