//! How mail clients find their settings: what each of them asks, and what it can read.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test that cannot go on has failed; support is shared with other tests"
)]

#[path = "../examples/preview/memory.rs"]
mod memory;
mod support;

use support::{Answer, Door};

async fn get_as(door: &Door, host: &str, path: &str) -> Answer {
    door.raw(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
}

async fn discover(door: &Door, path: &str, address: &str) -> Answer {
    let request = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover \
         xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006\"><Request>\
         <EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>\
         http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>\
         </Request></Autodiscover>"
    );
    door.raw(&format!(
        "POST {path} HTTP/1.1\r\nHost: autodiscover.satchel.test\r\nConnection: close\r\nContent-Type: text/xml\r\n\
         Content-Length: {}\r\n\r\n{request}",
        request.len()
    ))
    .await
}

#[tokio::test]
async fn thunderbird_finds_its_settings_where_it_looks() {
    let door = Door::open(true).await;
    for (host, path, domain) in [
        ("autoconfig.satchel.test", "/mail/config-v1.1.xml?emailaddress=alice%40satchel.test", "satchel.test"),
        ("second.test", "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=bob%40second.test", "second.test"),
        ("second.test", "/.well-known/autoconfig/mail/config-v1.1.xml", "second.test"),
        ("autoconfig.second.test:80", "/mail/config-v1.1.xml", "second.test"),
        ("autoconfig.satchel.test", "/mail/config-v1.1.xml?emailaddress=%25EMAILADDRESS%25", "satchel.test"),
    ] {
        let answer = get_as(&door, host, path).await;
        assert_eq!((answer.status, answer.field("content-type")), (200, Some("text/xml; charset=utf-8")), "{path}");
        assert!(answer.body.contains(&format!("<domain>{domain}</domain>")), "{path}: {}", answer.body);
        let servers: Vec<&str> = ["<port>2993</port>", "<port>2143</port>", "<port>2465</port>", "<port>2587</port>"]
            .into_iter()
            .filter(|port| answer.body.contains(port))
            .collect();
        assert_eq!(servers.len(), 4, "{}", answer.body);
        assert!(answer.body.contains("<username>%EMAILADDRESS%</username>"));
        let implicit = answer.body.find("<socketType>SSL</socketType>").unwrap();
        assert!(implicit < answer.body.find("<socketType>STARTTLS</socketType>").unwrap(), "TLS from the start first");
    }
    let strange = get_as(&door, "satchel.test", "/mail/config-v1.1.xml?emailaddress=a%40elsewhere.test").await;
    assert_eq!(strange.status, 404);
}

#[tokio::test]
async fn outlook_reads_xml_and_is_led_there_by_json() {
    let door = Door::open(true).await;
    for path in ["/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml"] {
        let answer = discover(&door, path, "O&apos;Neil@satchel.test").await;
        assert_eq!((answer.status, answer.field("content-type")), (200, Some("text/xml; charset=utf-8")));
        assert!(answer.body.contains("<LoginName>O&#39;Neil@satchel.test</LoginName>"), "{}", answer.body);
        for part in [
            "<Type>IMAP</Type>",
            "<Port>2993</Port>",
            "<Type>SMTP</Type>",
            "<Port>2465</Port>",
            "<Encryption>SSL</Encryption>",
        ] {
            assert!(answer.body.contains(part), "{part}: {}", answer.body);
        }
        assert!(!answer.body.contains("<Port>2143</Port>"), "one of a kind: {}", answer.body);
    }
    for address in ["a@elsewhere.test", "nonsense", "a&lt;b@satchel.test"] {
        let refused = discover(&door, "/autodiscover/autodiscover.xml", address).await;
        assert!(
            refused.body.contains("<ErrorCode>500</ErrorCode>") && !refused.body.contains("LoginName"),
            "{address}"
        );
    }
    let large = discover(&door, "/autodiscover/autodiscover.xml", &"x".repeat(8192)).await;
    assert_eq!(large.status, 413);

    let json = door.get("/autodiscover/autodiscover.json?Email=alice@satchel.test&Protocol=AutodiscoverV1").await;
    assert_eq!((json.status, json.field("content-type")), (200, Some("application/json")));
    assert!(json.body.contains("http://127.0.0.1:8089/autodiscover/autodiscover.xml"), "{}", json.body);
    let path = "/autodiscover/autodiscover.json/v1.0/alice@satchel.test?Protocol=Autodiscoverv1";
    assert_eq!(door.get(path).await.status, 200);
    let exchange = door.get("/autodiscover/autodiscover.json?Email=alice@satchel.test&Protocol=ActiveSync").await;
    assert!(exchange.status == 400 && exchange.body.contains("InvalidProtocol"), "{}", exchange.body);
    assert_eq!(door.get("/autodiscover/autodiscover.json?Email=a@b.test&Protocol=AutodiscoverV1").await.status, 404);
}

#[tokio::test]
async fn an_apple_profile_sets_up_both_ways_and_holds_no_password() {
    let door = Door::open(true).await;
    let answer = door.get("/setup/mail.mobileconfig?email=a%26b%40satchel.test").await;
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("application/x-apple-aspen-config")));
    for part in [
        "<key>EmailAddress</key><string>a&amp;b@satchel.test</string>",
        "<key>IncomingMailServerPortNumber</key><integer>2993</integer>",
        "<key>OutgoingMailServerPortNumber</key><integer>2465</integer>",
        "<key>OutgoingPasswordSameAsIncomingPassword</key><true/>",
        "<string>com.apple.mail.managed</string>",
    ] {
        assert!(answer.body.contains(part), "{part}: {}", answer.body);
    }
    assert!(!answer.body.contains("Password</key><string>") && !answer.body.contains("a&b"));
    // Every tag that is opened is closed: a plist that is not XML is refused by the device.
    for tag in ["dict", "array", "plist", "string", "integer", "key"] {
        let count = |text: &str| answer.body.matches(text).count();
        assert_eq!(count(&format!("<{tag}>")) + count(&format!("<{tag} ")), count(&format!("</{tag}>")), "{tag}");
    }
    // The same address, the same profile: it replaces itself.
    assert_eq!(door.get("/setup/mail.mobileconfig?email=a%26b%40satchel.test").await.body, answer.body);
    assert_ne!(door.get("/setup/mail.mobileconfig?email=b%40satchel.test").await.body, answer.body);
    for path in ["/setup/mail.mobileconfig", "/setup/mail.mobileconfig?email=a%40elsewhere.test"] {
        assert_eq!(door.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_set_up_page_asks_for_an_address_and_shows_its_settings() {
    let door = Door::open(true).await;
    let empty = door.get("/setup").await;
    assert!(empty.status == 200 && empty.body.contains("name=\"email\"") && !empty.body.contains("mobileconfig"));
    assert!(door.get("/").await.body.contains("href=\"/setup\""));
    let page = door.get("/setup?email=alice%40satchel.test").await;
    for part in
        ["alice@satchel.test", "2993", "2587", "/setup/mail.mobileconfig?email=alice@satchel.test", "<svg class=\"qr\""]
    {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(!page.body.contains("<script"), "it works without");
    let hostile = door.get("/setup?email=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E%40satchel.test").await;
    assert_eq!(hostile.status, 404);
    assert!(
        hostile.body.contains("&quot;&gt;&lt;script&gt;") && !hostile.body.contains("<script>"),
        "{}",
        hostile.body
    );
}

#[tokio::test]
async fn the_mta_sts_policy_is_plain_text_where_there_is_one() {
    let answer = get_as(&Door::open(false).await, "mta-sts.satchel.test", "/.well-known/mta-sts.txt").await;
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert_eq!(answer.body, "version: STSv1\r\nmode: enforce\r\nmx: satchel.test\r\nmax_age: 604800\r\n");
    assert_eq!(Door::open(true).await.get("/.well-known/mta-sts.txt").await.status, 404);
}

#[tokio::test]
async fn a_ca_finds_the_answer_to_its_challenge_and_nobody_else_finds_anything() {
    let door = Door::open(true).await;
    let answer = door.get("/.well-known/acme-challenge/open").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "open.key"));
    assert_eq!(door.get("/.well-known/acme-challenge/other").await.status, 404);
}
