//! Beyond what the channels can lock: received, kept, and booked or paid back in full.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::eventually;
use crate::support::satchel::Satchel;

/// What a stranger pays, in msat.
const PRICE: u64 = 100_000;
/// Quotes that a channel of fifty slots reserves: 60 %.
const RESERVED: usize = 30;

/// One request to the web door; status and the rest.
pub(crate) fn http(satchel: &Satchel, method: &str, path: &str, form: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(("127.0.0.1", satchel.ports.web)).unwrap();
    let length = form.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: satchel.test\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

/// The path of a gate's page.
pub(crate) fn page(satchel: &Satchel, gate: &Value) -> String {
    let shown = satchel.ask(&["gate", "show", &gate["id"].to_string()]);
    let url = shown["page"].as_str().unwrap().to_owned();
    url[url.find("/pay/").unwrap()..].to_owned()
}

/// So many strangers have open invoices that no slot is left.
fn fill(satchel: &Satchel) {
    for n in 1..=RESERVED {
        let gate = satchel.stranger_writes(&format!("a@full{n}.test"), &format!("Waiting {n}"));
        let quote = satchel.ask(&["gate", "invoice", &gate["id"].to_string()]);
        assert_eq!((&quote["hold"], quote["bolt11"].is_string()), (&"htlc".into(), true), "quote {n}: {quote}");
    }
}

/// A mail whose payment was received: its gate, and the customer's wallet before.
fn escrowed(satchel: &Satchel, author: &str, subject: &str, target: &str) -> (Value, u64) {
    let gate = satchel.stranger_writes(author, subject);
    let id = gate["id"].to_string();
    let quote = satchel.ask(&["gate", "invoice", &id]);
    assert_eq!((&quote["hold"], &quote["bolt11"]), (&"escrow".into(), &Value::Null), "{quote}");
    let before = satchel.customer_msat();
    let path = page(satchel, &gate);
    let (status, answer) = http(satchel, "POST", &format!("{path}/refund"), &format!("gate={id}&to={target}"));
    assert_eq!(status, 303, "{answer}");
    let bolt11 = satchel.invoice(&gate);
    let paid = satchel.ask(&["sandbox", "pay", &bolt11]);
    assert_ne!(paid["state"], "failed", "{paid}");
    let gate = satchel.wait_for_state(author, "held");
    assert_eq!((&gate["hold"], &gate["paid_msat"]), (&"escrow".into(), &PRICE.into()), "{gate}");
    satchel.wait_for_payment(&bolt11, "succeeded");
    (gate, before)
}

fn wait_for_flags(satchel: &Satchel, mailbox: &str, subject: &str, with: &[&str], without: &[&str]) {
    let mut imap = satchel.imap();
    eventually(&format!("{subject} in {mailbox} has {with:?}"), || {
        let uid = imap.find(mailbox, subject).first().copied()?;
        let flags = imap.flags(uid);
        let has = |flag: &&&str| flags.split(' ').any(|one| one == **flag);
        (with.iter().all(|flag| has(&flag)) && !without.iter().any(|flag| has(&flag))).then_some(())
    });
}

#[test]
fn the_thirty_first_payment_is_escrow_and_is_booked_or_paid_back_in_full() {
    let satchel = Satchel::start("");
    fill(&satchel);

    // The page and the request say which; no invoice before its author said where a refund goes.
    let (author, subject) = ("bob@shop.test", "The thirty-first");
    let gate = satchel.stranger_writes(author, subject);
    let quote = satchel.ask(&["gate", "invoice", &gate["id"].to_string()]);
    assert_eq!((&quote["hold"], &quote["bolt11"]), (&"escrow".into(), &Value::Null), "{quote}");
    assert_eq!(satchel.gate_of(author).unwrap()["hold"], "escrow");
    let path = page(&satchel, &gate);
    let (status, shown) = http(&satchel, "GET", &path, "");
    assert!(status == 200 && shown.contains("<b>Escrow.</b>") && shown.contains("Your Lightning address"), "{shown}");
    assert!(!shown.contains("lnbcrt"), "{shown}");
    let request = eventually("the request is sent", || {
        let mails = satchel.ask(&["sandbox", "mail"]);
        let mail = mails.as_array().unwrap().iter().find(|mail| mail["to"] == author)?;
        Some(mail["message"].as_str().unwrap().to_owned())
    });
    assert!(request.contains("escrow") && request.contains("/pay/") && !request.contains("lnbcrt"), "{request}");
    let (status, refused) =
        http(&satchel, "POST", &format!("{path}/refund"), &format!("gate={}&to=nobody", gate["id"]));
    assert!(status == 409 && refused.contains("name@example.org"), "{refused}");

    // Accepted: booked.
    let before = satchel.customer_msat();
    let (status, _) = http(&satchel, "POST", &format!("{path}/refund"), &format!("gate={}&to=sandbox", gate["id"]));
    assert_eq!(status, 303);
    let (_, shown) = http(&satchel, "GET", &path, "");
    assert!(shown.contains("lnbcrt") && shown.contains("paid back to the sandbox wallet"), "{shown}");
    satchel.ask(&["sandbox", "pay", &satchel.invoice(&gate)]);
    satchel.wait_for_state(author, "held");
    let balance = satchel.ask(&["wallet", "balance"]);
    assert_eq!((&balance["escrow_msat"], &balance["users_msat"]), (&PRICE.into(), &0.into()), "{balance}");
    satchel.assert_audit();
    let mut imap = satchel.imap();
    let uid = imap.find("Requests", subject)[0];
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    satchel.wait_for_state(author, "settled");
    let balance = satchel.ask(&["wallet", "balance"]);
    assert_eq!((&balance["escrow_msat"], &balance["users_msat"]), (&0.into(), &90_000.into()), "{balance}");
    assert_eq!(satchel.customer_msat(), before - PRICE);
    satchel.assert_audit();

    // Declined: paid back, in full, and `$Refunded` only then.
    let (author, subject) = ("carol@books.test", "Unwanted");
    let (_, before) = escrowed(&satchel, author, subject, "sandbox");
    let uid = imap.find("Requests", subject)[0];
    imap.ok(&format!("UID MOVE {uid} Junk"));
    satchel.wait_for_state(author, "declined");
    satchel.wait_for_customer(before);
    wait_for_flags(&satchel, "Junk", subject, &["$Declined", "$Refunded"], &["$Paid"]);
    let gate = satchel.gate_of(author).unwrap();
    assert_eq!((&gate["refunded"], &gate["refunding"]), (&true.into(), &false.into()), "{gate}");
    assert_eq!(satchel.ask(&["wallet", "balance"])["escrow_msat"], 0);
    satchel.assert_audit();

    // A wallet fetches it by a link: exactly so much, once.
    let (author, subject) = ("dave@news.test", "Unwanted, too");
    let (gate, before) = escrowed(&satchel, author, subject, "withdraw");
    let path = page(&satchel, &gate);
    let (_, shown) = http(&satchel, "GET", &path, "");
    assert!(shown.contains("In escrow") && !shown.contains("LNURL1"), "{shown}");
    satchel.ask(&["gate", "decline", &gate["id"].to_string()]);
    wait_for_flags(&satchel, "Requests", subject, &["$Declined"], &["$Refunded"]);
    let (_, shown) = http(&satchel, "GET", &path, "");
    let at = shown.find("LNURL1").expect("a link to fetch it");
    let link: String = shown[at..].chars().take_while(char::is_ascii_alphanumeric).collect();
    let link = lnurl(&link);
    let link = &link[link.find("/lnurlw/").unwrap()..];
    let answer = |path: &str| -> Value {
        let (_, text) = http(&satchel, "GET", path, "");
        serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    };
    let offer = answer(link);
    assert_eq!((&offer["tag"], &offer["minWithdrawable"]), (&"withdrawRequest".into(), &PRICE.into()), "{offer}");
    let invoice = |sat: &str| satchel.ask(&["sandbox", "invoice", sat])["bolt11"].as_str().unwrap().to_owned();
    let pay = |bolt11: &str| answer(&format!("{link}/pay?k1={}&pr={bolt11}", offer["k1"].as_str().unwrap()));
    assert_eq!(pay(&invoice("101"))["status"], "ERROR", "more than is there");
    assert_eq!(pay(&invoice("100"))["status"], "OK");
    assert_eq!(pay(&invoice("100"))["status"], "ERROR", "once");
    satchel.wait_for_customer(before);
    wait_for_flags(&satchel, "Requests", subject, &["$Declined", "$Refunded"], &[]);
    assert_eq!(satchel.ask(&["wallet", "balance"])["escrow_msat"], 0);
    satchel.assert_audit();
}

/// LUD-01, backwards: five bits a letter, the last six are the checksum.
fn lnurl(text: &str) -> String {
    const LETTERS: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let data = text.to_lowercase();
    let data = data.strip_prefix("lnurl1").unwrap();
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for letter in data[..data.len() - 6].chars() {
        bits = (bits << 5 | u32::try_from(LETTERS.find(letter).unwrap()).unwrap()) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn a_hold_in_escrow_that_nobody_answers_is_paid_back_and_may_be_paid_again() {
    // More than the channels may reserve in value: the first quote is escrow.
    let satchel = Satchel::start("[money]\nhold = \"3s\"\n");
    let sat = 700_000_u64;
    // The priority price is another one, so that this one leads to Requests.
    satchel.ask(&["price", "alice@satchel.test", "--stranger", &sat.to_string(), "--priority", "900000"]);
    let (author, subject) = ("erin@late.test", "No answer");
    let gate = satchel.stranger_writes(author, subject);
    let before = satchel.customer_msat();
    for round in 0..2 {
        let quote = satchel.ask(&["gate", "refund-to", &gate["id"].to_string(), "sandbox"]);
        assert_eq!((&quote["hold"], &quote["amount_msat"]), (&"escrow".into(), &(sat * 1000).into()), "{quote}");
        satchel.ask(&["sandbox", "pay", quote["bolt11"].as_str().unwrap()]);
        eventually("the hold ended and the money is back", || {
            let gate =
                satchel.gate_of(author).filter(|gate| gate["state"] == "waiting" && gate["refunding"] == false)?;
            (gate["refunded"] == true && satchel.customer_msat() == before).then_some(())
        });
        wait_for_flags(&satchel, "Unpaid", subject, &["$Unpaid", "$Refunded"], &["$Paid"]);
        satchel.assert_audit();
        if round == 0 {
            satchel.ask(&["gate", "invoice", &gate["id"].to_string()]);
        }
    }
}

#[test]
fn the_page_offers_the_asked_price_or_priority() {
    let satchel = Satchel::start("");
    let gate = satchel.stranger_writes("fay@urgent.test", "Choose");
    let path = page(&satchel, &gate);
    let (_, asked) = http(&satchel, "GET", &path, "");
    assert!(asked.contains("100 sat") && asked.contains("?priority") && asked.contains("lnbcrt1u1"), "{asked}");
    let (_, urgent) = http(&satchel, "GET", &format!("{path}?priority"), "");
    assert!(urgent.contains("1000 sat") && urgent.contains("lnbcrt10u1"), "{urgent}");
    let form = format!("gate={}&priority=1", gate["id"]);
    assert_eq!(http(&satchel, "POST", &format!("{path}/sandbox"), &form).0, 303);
    let gate = satchel.wait_for_state("fay@urgent.test", "held");
    assert_eq!(gate["paid_msat"], 1_000_000, "{gate}");
    let mut imap = satchel.imap();
    let uid = eventually("it is in INBOX", || imap.find("INBOX", "Choose").first().copied());
    assert!(imap.flags(uid).contains("$Priority"));
}

#[test]
fn beyond_an_authors_quota_the_page_says_to_try_again_and_the_gate_waits() {
    let satchel = Satchel::start("[money]\nauthor_quotes = 1\n");
    let author = "gus@many.test";
    let first = satchel.stranger_writes(author, "Number one");
    satchel.invoice(&first);
    let second = satchel.stranger_writes(author, "Number two");
    let refused = satchel.command(&["gate", "invoice", &second["id"].to_string()]).output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("try again later"), "{refused:?}");
    let (_, shown) = http(&satchel, "GET", &page(&satchel, &second), "");
    assert!(shown.contains("many open invoices") && shown.contains("Try again"), "{shown}");
    assert!(shown.contains("lnbcrt"), "the first one's is still there");
    assert_eq!(satchel.gate_of(author).unwrap()["state"], "waiting");
    // Somebody else is not in its way; and once the first is decided, there is room.
    satchel.invoice(&satchel.stranger_writes("hal@few.test", "Only one"));
    satchel.pay(&satchel.invoice(&first));
    satchel.ask(&["gate", "decline", &first["id"].to_string()]);
    satchel.invoice(&second);
}
