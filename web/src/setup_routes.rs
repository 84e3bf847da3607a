//! The addresses at which mail clients, and servers that send here, look for settings.

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::limits;
use crate::page::oops;
use crate::routes::{House, html, oops};
use crate::setup::{Account, apple, autoconfig, autodiscover, domain_of_host, mta_sts, page};

pub(crate) fn routes() -> Router<House> {
    let discover = || post(outlook).layer(DefaultBodyLimit::max(limits::AUTODISCOVER_BYTES_MAX));
    Router::new()
        .route("/setup", get(setup))
        .route("/setup/mail.mobileconfig", get(profile))
        // Thunderbird asks autoconfig.DOMAIN first, then DOMAIN itself.
        .route("/mail/config-v1.1.xml", get(thunderbird))
        .route("/.well-known/autoconfig/mail/config-v1.1.xml", get(thunderbird))
        // Outlook is not of one mind about the case.
        .route("/autodiscover/autodiscover.xml", discover())
        .route("/Autodiscover/Autodiscover.xml", discover())
        .route("/AutoDiscover/AutoDiscover.xml", discover())
        .route("/autodiscover/autodiscover.json", get(version_2))
        .route("/autodiscover/autodiscover.json/v1.0/{email}", get(version_2_of))
        .route("/Autodiscover/Autodiscover.json", get(version_2))
        .route("/.well-known/mta-sts.txt", get(policy))
        .route("/.well-known/acme-challenge/{token}", get(challenge))
}

#[derive(Deserialize)]
struct Whose {
    #[serde(default, alias = "emailaddress", alias = "EmailAddress", alias = "Email")]
    email: Option<String>,
    #[serde(default, alias = "Protocol")]
    protocol: String,
}

async fn setup(State(host): State<House>, Query(whose): Query<Whose>) -> Response {
    let info = host.info();
    let text = whose.email.unwrap_or_default();
    if text.trim().is_empty() {
        return html(StatusCode::OK, page::render(&page::Asked::Nothing, &info));
    }
    match Account::parse(&text, &info) {
        Some(account) => html(StatusCode::OK, page::render(&page::Asked::Account(&account), &info)),
        None => html(StatusCode::NOT_FOUND, page::render(&page::Asked::Other(&text), &info)),
    }
}

async fn profile(State(host): State<House>, Query(whose): Query<Whose>) -> Response {
    let info = host.info();
    let account = whose.email.and_then(|email| Account::parse(&email, &info));
    match account.and_then(|account| apple::render(&account, &info)) {
        Some(text) => {
            let kind = (header::CONTENT_TYPE, "application/x-apple-aspen-config");
            ([kind, (header::CONTENT_DISPOSITION, "attachment; filename=\"mail.mobileconfig\"")], text).into_response()
        }
        None => oops(&host, StatusCode::NOT_FOUND, oops::NO_PAGE),
    }
}

async fn thunderbird(State(host): State<House>, Query(whose): Query<Whose>, fields: HeaderMap) -> Response {
    let info = host.info();
    let domain = match whose.email.filter(|email| !email.is_empty() && !email.contains("%EMAIL")) {
        Some(email) => Account::parse(&email, &info).map(|account| account.domain),
        None => domain_of_host(named_host(&fields), &info),
    };
    match domain {
        Some(domain) => {
            ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], autoconfig::render(&domain, &info)).into_response()
        }
        None => oops(&host, StatusCode::NOT_FOUND, oops::NO_PAGE),
    }
}

async fn outlook(State(host): State<House>, body: Bytes) -> Response {
    let info = host.info();
    let asked = std::str::from_utf8(&body).ok().and_then(autodiscover::requested);
    let text = match asked.and_then(|email| Account::parse(&email, &info)) {
        Some(account) => autodiscover::render(&account, &info),
        None => autodiscover::refuse(),
    };
    // Also an error is 200: Outlook reads it only then.
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], text).into_response()
}

async fn version_2(State(host): State<House>, Query(whose): Query<Whose>) -> Response {
    answer_2(&host, whose.email.as_deref(), &whose.protocol)
}

async fn version_2_of(State(host): State<House>, Path(email): Path<String>, Query(whose): Query<Whose>) -> Response {
    answer_2(&host, Some(&email), &whose.protocol)
}

fn answer_2(host: &House, email: Option<&str>, protocol: &str) -> Response {
    let info = host.info();
    if email.is_none_or(|email| Account::parse(email, &info).is_none()) {
        let error = serde_json::json!({ "ErrorCode": "UserNotFound", "ErrorMessage": "This server does not serve that address." });
        return (StatusCode::NOT_FOUND, Json(error)).into_response();
    }
    match autodiscover::version_2(protocol, &info) {
        Ok(value) => Json(value).into_response(),
        Err(value) => (StatusCode::BAD_REQUEST, Json(value)).into_response(),
    }
}

async fn policy(State(host): State<House>) -> Response {
    match host.info().mta_sts {
        // RFC 8461 §3.2: the media type is text/plain.
        Some(policy) => {
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], mta_sts::mta_sts_policy(&policy)).into_response()
        }
        None => oops(&host, StatusCode::NOT_FOUND, oops::NO_PAGE),
    }
}

/// RFC 8555 §8.3: the key authorization as it is, nothing around it.
async fn challenge(State(host): State<House>, Path(token): Path<String>) -> Response {
    match host.acme_challenge(&token) {
        Some(text) => ([(header::CONTENT_TYPE, "application/octet-stream")], text).into_response(),
        None => oops(&host, StatusCode::NOT_FOUND, oops::NO_PAGE),
    }
}

fn named_host(fields: &HeaderMap) -> Option<&str> {
    fields.get(header::HOST).and_then(|value| value.to_str().ok())
}
