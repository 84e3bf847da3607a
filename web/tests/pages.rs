//! Each address of the door, over a real socket, against a house in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../examples/preview/memory.rs"]
mod memory;
mod support;

use lnmp::GateState;
use memory::INVOICE;
use support::{Door, PATIENCE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use web::limits;

fn token(n: u32) -> String {
    format!("{n:032}")
}

#[tokio::test]
async fn the_front_page_says_how_to_set_up_a_client_and_links_the_sandbox() {
    let door = Door::open(true).await;
    let page = door.get("/").await;
    assert_eq!(page.status, 200);
    for part in ["satchel.test", "2993", "2143", "2465", "2587", "127.0.0.1", "href=\"/sandbox\"", "viewport"] {
        assert!(page.body.contains(part), "{part}");
    }
    let plain = Door::open(false).await.get("/").await;
    assert!(!plain.body.contains("/sandbox"));
}

#[tokio::test]
async fn a_waiting_mail_shows_amount_recipient_invoice_picture_and_buttons() {
    let door = Door::open(true).await;
    let page = door.get(&format!("/pay/{}", token(1))).await;
    assert_eq!(page.status, 200);
    for part in [
        "100 sat",
        "alice@satchel.test",
        &format!("href=\"lightning:{INVOICE}\""),
        &format!(">{INVOICE}</code>"),
        "<svg class=\"qr\"",
        "method=\"post\"",
        "Locked, refunded unless accepted",
        "spinner",
        "<noscript><meta http-equiv=\"refresh\"",
        "src=\"/pay.js\"",
    ] {
        assert!(page.body.contains(part), "{part}");
    }
    assert_eq!(door.visits(), 1);
}

#[tokio::test]
async fn every_answer_keeps_the_page_to_itself() {
    let door = Door::open(true).await;
    for path in ["/", &format!("/pay/{}", token(1)), "/nothing", "/sandbox", &format!("/pay/{}/state", token(1))] {
        let page = door.get(path).await;
        let policy = page.field("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.field("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.field("x-robots-tag"), Some("noindex, nofollow"));
        assert_eq!(page.field("cache-control"), Some("no-store"));
        assert_eq!(page.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.field("set-cookie"), None);
        for outside in
            ["src=\"http", "src=\"//", "href=\"//", "<link rel=\"stylesheet\"", "style=\"", "onclick=", "<script>"]
        {
            assert!(!page.body.contains(outside), "{outside} at {path}");
        }
    }
}

#[tokio::test]
async fn without_a_slot_the_page_says_so_and_asks_to_try_again() {
    let door = Door::open(true).await;
    let page = door.get(&format!("/pay/{}", token(2))).await;
    assert!(page.body.contains("no payment slot free, try again later"));
    assert!(page.body.contains("Try again") && !page.body.contains("lightning:ln"));
}

#[tokio::test]
async fn the_state_is_json_and_makes_no_invoice() {
    let door = Door::open(true).await;
    let path = format!("/pay/{}/state", token(1));
    let before = door.get(&path).await;
    assert_eq!(before.field("content-type"), Some("application/json"));
    let before: serde_json::Value = serde_json::from_str(&before.body).unwrap();
    assert_eq!(before["gates"][0]["state"], "waiting");
    assert_eq!(before["gates"][0]["payable"], true);
    assert_eq!(before["done"], false);
    door.house.change(&token(1), |gate| gate.state = GateState::Settled);
    let after: serde_json::Value = serde_json::from_str(&door.get(&path).await.body).unwrap();
    assert_ne!(before["version"], after["version"]);
    assert_eq!((&after["gates"][0]["state"], &after["done"]), (&"settled".into(), &true.into()));
    for quiet in [format!("/pay/{}?watch", token(1)), path] {
        door.get(&quiet).await;
    }
    door.raw(&format!("HEAD /pay/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", token(1))).await;
    assert_eq!(door.visits(), 0);
}

#[tokio::test]
async fn the_version_on_the_page_is_the_version_of_the_state() {
    let door = Door::open(true).await;
    for n in 1..=9 {
        let page = door.get(&format!("/pay/{}", token(n))).await;
        let state: serde_json::Value =
            serde_json::from_str(&door.get(&format!("/pay/{}/state", token(n))).await.body).unwrap();
        let version = state["version"].as_str().unwrap();
        assert!(page.body.contains(&format!("data-version=\"{version}\"")), "page {n}");
    }
}

#[tokio::test]
async fn the_sandbox_button_pays_and_comes_back() {
    let door = Door::open(true).await;
    let back = door.post(&format!("/pay/{}/sandbox", token(1)), "gate=1").await;
    assert_eq!((back.status, back.field("location")), (303, Some(format!("/pay/{}", token(1)).as_str())));
    let page = door.get(&format!("/pay/{}", token(1))).await;
    assert!(page.body.contains("Locked.") && !page.body.contains(INVOICE) && !page.body.contains("class=\"qr\""));
}

#[tokio::test]
async fn a_payment_the_wallet_refuses_is_told_on_the_page() {
    let door = Door::open(true).await;
    let page = door.post(&format!("/pay/{}/sandbox", token(7)), "gate=7").await;
    assert_eq!(page.status, 409);
    assert!(page.body.contains("the wallet &lt;has&gt; too little") && page.body.contains("role=\"alert\""));
}

#[tokio::test]
async fn a_gate_of_another_page_a_bad_form_and_a_real_network_are_refused() {
    let door = Door::open(true).await;
    let path = format!("/pay/{}/sandbox", token(1));
    assert_eq!(door.post(&path, "gate=3").await.status, 404);
    assert_eq!(door.post(&path, "gate=one").await.status, 400);
    assert_eq!(door.post(&path, "").await.status, 400);
    assert_eq!(door.post(&path, &format!("gate=1&x={}", "y".repeat(2000))).await.status, 413);
    assert_eq!(door.post(&format!("/pay/{}/sandbox", "0".repeat(31)), "gate=1").await.status, 404);
    assert_eq!(Door::open(false).await.post(&path, "gate=1").await.status, 404);
}

#[tokio::test]
async fn what_is_no_token_is_a_friendly_404_and_never_reaches_the_house() {
    let door = Door::open(true).await;
    let long = "a".repeat(5000);
    for bad in
        ["x", "0000000000000000000000000000001", &"F".repeat(32), &"g".repeat(32), "..%2f..%2fetc%2fpasswd", &long]
    {
        let page = door.get(&format!("/pay/{bad}")).await;
        assert_eq!(page.status, 404, "{bad}");
        assert!(page.body.contains("There is nothing here") && page.body.contains("<h1>"));
    }
    assert_eq!(door.visits(), 0);
    let unknown = door.get(&format!("/pay/{}", "d".repeat(32))).await;
    assert_eq!((unknown.status, door.visits()), (404, 1));
}

#[tokio::test]
async fn head_has_no_body_and_other_methods_are_named() {
    let door = Door::open(true).await;
    let head = door.raw("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for (method, path) in [("DELETE", "/"), ("PUT", "/sandbox"), ("POST", "/pay/x"), ("GET", "/pay/x/sandbox")] {
        let refused = door.raw(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(refused.status, 405, "{method} {path}");
        assert!(refused.field("allow").is_some());
    }
}

#[tokio::test]
async fn what_came_from_outside_is_escaped_everywhere() {
    let door = Door::open(true).await;
    let hostile = "e".repeat(32);
    for path in [format!("/pay/{hostile}"), "/sandbox".to_owned()] {
        let page = door.get(&path).await;
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("<script>alert") && !page.body.contains("<b>bold"), "{path}");
        assert!(page.body.contains("&lt;script&gt;alert(1)"), "{path}");
    }
}

#[tokio::test]
async fn caught_mail_is_listed_with_links_and_served_raw() {
    let door = Door::open(true).await;
    let list = door.get("/sandbox").await;
    let link = format!("<a href=\"http://127.0.0.1:8089/pay/{}\"", token(1));
    assert!(list.body.contains(&link) && list.body.contains("Your mail to alice@satchel.test is waiting"));
    assert!(list.body.find("is waiting").unwrap() < list.body.find("&lt;script").unwrap(), "newest first");
    let raw = door.get("/sandbox/1.eml").await;
    assert_eq!((raw.status, raw.field("content-type")), (200, Some("message/rfc822")));
    assert!(raw.field("content-disposition").unwrap().starts_with("attachment"));
    assert!(raw.body.starts_with("From: Eve") && raw.body.contains("<b>bold</b>"));
    for path in ["/sandbox/9.eml", "/sandbox/1", "/sandbox/x.eml", "/sandbox/-1.eml"] {
        assert_eq!(door.get(path).await.status, 404, "{path}");
    }
    let real = Door::open(false).await;
    assert_eq!(real.get("/sandbox").await.status, 404);
    assert_eq!(real.get("/sandbox/1.eml").await.status, 404);
}

#[tokio::test]
async fn script_icon_and_robots_are_ours() {
    let door = Door::open(true).await;
    for (path, kind) in
        [("/pay.js", "text/javascript"), ("/favicon.svg", "image/svg+xml"), ("/robots.txt", "text/plain")]
    {
        let asset = door.get(path).await;
        assert_eq!(asset.status, 200);
        assert!(asset.field("content-type").unwrap().starts_with(kind));
    }
}

#[tokio::test]
async fn requests_past_the_limits_are_refused_and_the_next_is_served() {
    let door = Door::open(true).await;
    let wide = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Wide: {}\r\n\r\n", "a".repeat(limits::HEADER_BYTES_MAX));
    assert_eq!(door.raw(&wide).await.status, 431);
    let many: String = (0..=limits::HEADER_FIELDS_MAX).map(|n| format!("X-{n}: y\r\n")).collect();
    assert_eq!(door.raw(&format!("GET / HTTP/1.1\r\n{many}\r\n")).await.status, 431);
    assert_eq!(door.raw("what is this\r\n\r\n").await.status, 400);
    assert_eq!(door.get("/").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_dawdles_is_ended() {
    let door = Door::open(true).await;
    let mut stream = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let mut rest = Vec::new();
    // The clock is paused and jumps: only the server's own timeout can end this read.
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"));
}

#[tokio::test]
async fn shutdown_ends_serving_with_idle_connections_open() {
    let door = Door::open(true).await;
    let mut idle = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
    idle.write_all(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    door.stop.send(true).unwrap();
    timeout(PATIENCE, door.served).await.expect("serve ends in time").unwrap().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", door.port)).await.is_err());
}

#[tokio::test]
async fn escrow_takes_its_target_and_shows_an_invoice_then() {
    let door = Door::open(true).await;
    let path = format!("/pay/{}", token(10));
    let page = door.get(&path).await;
    assert!(page.body.contains("Your Lightning address") && !page.body.contains(INVOICE));
    let refused = door.post(&format!("{path}/refund"), "gate=10&to=nobody").await;
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("&lt;name&gt;@example.org") && refused.body.contains("role=\"alert\""));
    for (form, status) in [("to=a%40b.test", 400), ("gate=3&to=a%40b.test", 404), ("gate=x&to=a", 400)] {
        assert_eq!(door.post(&format!("{path}/refund"), form).await.status, status, "{form}");
    }
    let back = door.post(&format!("{path}/refund"), "gate=10&priority=1&to=bob%40wallet.test").await;
    assert_eq!((back.status, back.field("location")), (303, Some(format!("{path}?priority").as_str())));
    let page = door.get(&path).await;
    assert!(page.body.contains("paid back to bob@wallet.test") && page.body.contains(INVOICE));
    assert_eq!(door.post(&format!("{path}/link"), "gate=10").await.status, 303);
    assert_eq!(door.post(&format!("/pay/{}/link", token(1)), "gate=1").await.status, 409);
}

#[tokio::test]
async fn a_refund_link_changes_the_target_and_a_wallet_fetches_by_lud_03() {
    let door = Door::open(true).await;
    let path = format!("/refund/{}", memory::REFUND);
    assert!(door.get(&path).await.body.contains("bob@wallet.test"));
    let refused = door.post(&path, "to=x").await;
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("that &lt;address&gt;"));
    assert!(door.post(&path, "to=new%40wallet.test").await.body.contains("Changed"));
    for bad in ["/refund/x", "/refund/12-0", &format!("/refund/{}", "1".repeat(500))] {
        assert_eq!(door.get(bad).await.status, 404, "{bad}");
    }
    let wallet = format!("/lnurlw/{}", memory::REFUND);
    let offer = door.get(&wallet).await;
    assert_eq!(offer.field("access-control-allow-origin"), Some("*"));
    let offer: serde_json::Value = serde_json::from_str(&offer.body).unwrap();
    assert_eq!((&offer["tag"], &offer["minWithdrawable"]), (&"withdrawRequest".into(), &100_000.into()));
    assert_eq!(offer["minWithdrawable"], offer["maxWithdrawable"]);
    let pay = |query: String| {
        let path = format!("{wallet}/pay?{query}");
        let door = &door;
        async move { serde_json::from_str::<serde_json::Value>(&door.get(&path).await.body).unwrap() }
    };
    let k1 = memory::REFUND;
    assert_eq!(pay(format!("k1={k1}&pr={INVOICE}")).await["status"], "OK");
    for bad in [format!("k1={k1}"), format!("k1=1-0&pr={INVOICE}"), format!("k1={k1}&pr=lnbc1"), String::new()] {
        assert_eq!(pay(bad.clone()).await["status"], "ERROR", "{bad}");
    }
}
