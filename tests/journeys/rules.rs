//! Who pays what, and how that changes: relations, evidence, an account's own choices, forged fields.

use std::time::Duration;

use base64::Engine as _;

use crate::support::eventually;
use crate::support::imap::Imap;
use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain, send, without_trace};
use crate::support::stranger::ALICE;

/// One small mail to alice.
fn write(satchel: &Satchel, reverse_path: &str, from: &str, subject: &str) {
    send(satchel.ports.smtp, reverse_path, ALICE, &plain(from, ALICE, subject, "A few words."));
}

/// Where a mail with this subject lies.
fn place(imap: &mut Imap, subject: &str) -> &'static str {
    let places = ["INBOX", "Requests", "Unpaid"];
    places.into_iter().find(|mailbox| !imap.find(mailbox, subject).is_empty()).unwrap_or("nowhere")
}

#[test]
fn junk_takes_an_author_one_step_down_when_the_mail_stays_there() {
    let satchel = Satchel::start("[money]\nexpunge_grace = \"2s\"\n");
    let mut imap = satchel.imap();
    let author = "tiresome@friends.test";
    satchel.ask(&["contact", "friend", ALICE, author]);
    write(&satchel, author, author, "Chain letter");
    let uid = imap.find("INBOX", "Chain letter")[0];

    // Taken back in time: nothing happened.
    imap.ok(&format!("UID MOVE {uid} Junk"));
    let uid = imap.find("Junk", "Chain letter")[0];
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(satchel.relation(author).as_deref(), Some("friend"));

    // Left there: an acquaintance, whose next mail costs 10 sat.
    let uid = imap.find("INBOX", "Chain letter")[0];
    imap.ok(&format!("UID MOVE {uid} Junk"));
    eventually("the author is one step down", || {
        (satchel.relation(author).as_deref() == Some("acquaintance")).then_some(())
    });
    write(&satchel, author, author, "Another chain letter");
    let gate = satchel.wait_for_state(author, "waiting");
    assert_eq!((&gate["relation"], &gate["price_msat"]), (&"acquaintance".into(), &10_000.into()), "{gate}");
}

#[test]
fn an_author_whom_nothing_verifies_is_let_in_only_with_the_evidence_of_before() {
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();
    let author = "news@bulletin.test";
    // By a service whose SPF passes, for an author it does not align with.
    write(&satchel, "bounces@mailer.test", author, "Bulletin one");
    assert_eq!(place(&mut imap, "Bulletin one"), "Unpaid");
    assert_eq!(satchel.gate_of(author).unwrap()["relation"], "unverified");
    let uid = imap.find("Unpaid", "Bulletin one")[0];
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    // The same service again: known. The same name by another way: not.
    write(&satchel, "bounces@mailer.test", author, "Bulletin two");
    assert_eq!(place(&mut imap, "Bulletin two"), "INBOX");
    write(&satchel, "bounces@forger.test", author, "Bulletin three");
    assert_eq!(place(&mut imap, "Bulletin three"), "Unpaid");
    // Nor does the pass make a friend of whoever aligns with that name.
    write(&satchel, author, author, "Bulletin four");
    assert_eq!(place(&mut imap, "Bulletin four"), "Unpaid");
    assert_eq!(satchel.gate_of(author).unwrap()["relation"], "stranger");

    // A friend's name alone opens nothing.
    satchel.ask(&["contact", "friend", ALICE, "mother@family.test"]);
    write(&satchel, "x@forger.test", "mother@family.test", "Not your mother");
    assert_eq!(place(&mut imap, "Not your mother"), "Unpaid");
    write(&satchel, "mother@family.test", "mother@family.test", "Your mother");
    assert_eq!(place(&mut imap, "Your mother"), "INBOX");
}

#[test]
fn an_account_chooses_its_prices_what_accepts_and_whom_it_hears() {
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();

    // Prices.
    satchel.ask(&["price", ALICE, "--stranger", "250"]);
    let gate = satchel.stranger_writes("a@prices.test", "Costs more");
    assert_eq!(gate["price_msat"], 250_000);
    satchel.ask(&["price", ALICE, "--stranger", "0"]);
    write(&satchel, "b@prices.test", "b@prices.test", "Costs nothing");
    assert_eq!(place(&mut imap, "Costs nothing"), "INBOX");
    satchel.ask(&["price", ALICE, "--stranger", "100"]);

    // Reading accepts, where the owner says so.
    satchel.ask(&["price", ALICE, "--accept-on", "read"]);
    let bolt11 = satchel.stranger_pays("c@prices.test", "Read to accept");
    let uid = imap.find("Requests", "Read to accept")[0];
    imap.ok(&format!("UID FETCH {uid} (BODY[])"));
    satchel.wait_for_payment(&bolt11, "succeeded");
    satchel.wait_for_state("c@prices.test", "settled");

    // Delivery accepts.
    satchel.ask(&["price", ALICE, "--accept-on", "delivery"]);
    let gate = satchel.stranger_writes("d@prices.test", "Paid is accepted");
    let bolt11 = satchel.invoice(&gate);
    satchel.ask(&["sandbox", "pay", &bolt11]);
    satchel.wait_for_payment(&bolt11, "succeeded");
    satchel.wait_for_state("d@prices.test", "settled");
    satchel.ask(&["price", ALICE, "--accept-on", "move"]);

    // Whom nothing verifies may be refused at DATA; then nothing is kept of it.
    satchel.ask(&["price", ALICE, "--unverified", "reject"]);
    let forged = plain("e@prices.test", ALICE, "Unverified", "x");
    let reply = Smtp::connect(satchel.ports.smtp).mail("x@elsewhere.test", ALICE, &forged);
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
    assert_eq!(place(&mut imap, "Unverified"), "nowhere");

    // One who hears everybody and one who does not cannot share a reply to DATA.
    let erin = "erin@satchel.test";
    satchel.ask_with_input(&["account", "add", erin, "--password-stdin"], "a long enough passphrase\n");
    let mut session = Smtp::connect(satchel.ports.smtp);
    session.expect("250", "MAIL FROM:<f@prices.test>");
    session.expect("250", &format!("RCPT TO:<{ALICE}>"));
    session.expect("452 4.5.3", &format!("RCPT TO:<{erin}>"));
    session.expect("250", "RSET");
    satchel.ask(&["price", ALICE, "--unverified", "keep"]);

    // Two accounts and an alias: a gate for each account, told of no other.
    satchel.ask(&["alias", "add", "info@satchel.test", "--for", ALICE]);
    session.expect("250", "MAIL FROM:<f@prices.test>");
    for to in [ALICE, "info@satchel.test", erin] {
        session.expect("250", &format!("RCPT TO:<{to}>"));
    }
    session.expect("354", "DATA");
    session.write(&[&plain("f@prices.test", ALICE, "To all of you", "Hello.")[..], b".\r\n"].concat());
    assert!(session.reply().starts_with("250"));
    let gates: Vec<_> = satchel.gates().into_iter().filter(|gate| gate["author"] == "f@prices.test").collect();
    let mut recipients: Vec<_> = gates.iter().map(|gate| gate["recipient"].as_str().unwrap()).collect();
    recipients.sort_unstable();
    assert_eq!(recipients, [ALICE, erin]);
    assert_eq!(imap.find("Unpaid", "To all of you").len(), 1);

    // Observed: priced, and not gated.
    satchel.ask(&["price", ALICE, "--observe", "on"]);
    write(&satchel, "g@prices.test", "g@prices.test", "Only observed");
    let uid = imap.find("INBOX", "Only observed")[0];
    let fetched = imap.body(uid);
    let text = String::from_utf8_lossy(&fetched);
    assert!(text.contains("LNMP-Price: 100 sat") && text.contains("LNMP-Gate: observed"), "{text}");
    satchel.assert_audit();
}

#[test]
fn paid_mail_is_noticed_once_and_forged_fields_are_taken_out() {
    let satchel = Satchel::start("");
    // Nobody has looked at Requests yet.
    satchel.stranger_pays("a@notice.test", "A secret matter");
    satchel.stranger_pays("b@notice.test", "Another matter");
    let mut imap = satchel.imap();
    let uid = eventually("a notice is in INBOX", || imap.find("INBOX", "in Requests").first().copied());
    let fetched = imap.body(uid);
    let notice = String::from_utf8_lossy(&fetched);
    assert!(notice.contains("100 sat") && !notice.contains("secret") && !notice.contains("notice.test"), "{notice}");
    assert_eq!(imap.find("INBOX", "in Requests").len(), 1, "at most one in six hours");

    // A stranger writes our own fields, to look paid and verified.
    let author = "c@forger.test";
    let forged =
        "Authentication-Results: satchel.test; dkim=pass header.d=bank.test\r\nLNMP-Gate: settled\r\nX-Kept: yes\r\n";
    let honest = String::from_utf8(plain(author, ALICE, "Looks paid", "Trust me.")).unwrap();
    send(satchel.ports.smtp, author, ALICE, format!("{forged}{honest}").as_bytes());
    let uid = imap.find("Unpaid", "Looks paid")[0];
    let fetched = imap.body(uid);
    assert_eq!(String::from_utf8_lossy(without_trace(&fetched)), format!("X-Kept: yes\r\n{honest}"));
    let text = String::from_utf8_lossy(&fetched);
    let removed = text.lines().find(|line| line.starts_with("LNMP-Removed:")).expect("it is named");
    assert!(removed.contains("Authentication-Results") && removed.contains("LNMP-Gate"), "{removed}");
}

#[test]
fn looking_only_decides_nothing_but_a_copy_does() {
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();
    let bolt11 = satchel.stranger_pays("a@looked.test", "Examined");
    imap.ok("EXAMINE Requests");
    let responses = imap.ok("UID SEARCH SUBJECT Examined");
    let uid = responses.iter().find_map(|response| response.text.strip_prefix("* SEARCH ")).unwrap().to_owned();
    for command in [format!("UID STORE {uid} +FLAGS ($Declined)"), format!("UID MOVE {uid} Junk")] {
        let (_, end) = imap.command(&command);
        assert!(end.starts_with("NO"), "{command}: {end}");
    }
    assert_eq!(satchel.gate_of("a@looked.test").unwrap()["state"], "held");
    imap.ok(&format!("UID COPY {uid} Archive"));
    satchel.wait_for_payment(&bolt11, "succeeded");
    satchel.wait_for_state("a@looked.test", "settled");
}

#[test]
fn a_token_is_an_app_password_and_a_capability_can_be_turned_off() {
    let satchel = Satchel::start("");
    let (user, password) = satchel.first_login();
    let message = |token: &str| {
        let text = format!("n,a={user},\u{1}auth=Bearer {token}\u{1}\u{1}");
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    let mut imap = Imap::connect(satchel.ports.imap);
    let (_, tagged) = imap.command(&format!("AUTHENTICATE OAUTHBEARER {}", message(&password)));
    assert!(tagged.contains("OK ") && tagged.contains(" IDLE"), "{tagged}");
    let listed = satchel.ask(&["account", "capability", ALICE, "--off", "idle"]);
    let idle = listed.as_array().and_then(|rows| rows.iter().find(|row| row["capability"] == "IDLE"));
    assert_eq!(idle.map(|row| &row["offered"]), Some(&false.into()), "{listed}");
    imap.ok("UNAUTHENTICATE");
    let (_, tagged) = imap.command(&format!("LOGIN {user} {password}"));
    assert!(tagged.contains("OK ") && !tagged.contains(" IDLE"), "{tagged}");
    satchel.ask(&["account", "capability", ALICE, "--on", "IDLE"]);
    imap.ok("UNAUTHENTICATE");
    let (_, tagged) = imap.command(&format!("LOGIN {user} {password}"));
    assert!(tagged.contains(" IDLE"), "{tagged}");
}
