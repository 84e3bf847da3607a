//! The header fields every answer carries.

use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use crate::html;

/// Adds what keeps a page to itself, where the handler did not choose otherwise.
pub(crate) async fn add(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let fields = response.headers_mut();
    // A page address is a secret: it must not travel in Referer, nor come to an index or a shared cache.
    keep(fields, header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    keep(fields, HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow"));
    keep(fields, header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    keep(fields, header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY.clone());
    keep(fields, header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    keep(fields, header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    keep(fields, HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    keep(fields, HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    response
}

fn keep(fields: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    fields.entry(name).or_insert(value);
}

/// Nothing but our own script, icon and polling, and the one style sheet that stands in the page, by its hash.
static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, html::STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'sha256-{hash}'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("directives and base64 are visible ASCII")
});
