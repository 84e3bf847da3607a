//! Design section 3: what a user does to a mail in any client, and what it means for money and relation.

use crate::support::eventually;
use crate::support::imap::Imap;
use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain, send};
use crate::support::stranger::ALICE;

/// Short, so that what happens after the grace can be waited for.
const GRACE: &str = "[money]\nexpunge_grace = \"3s\"\n";

/// Waits until a mail with this subject lies in a mailbox (which it selects), and returns its UID.
fn wait_in(imap: &mut Imap, mailbox: &str, subject: &str) -> u32 {
    eventually(&format!("{subject} is in {mailbox}"), || imap.find(mailbox, subject).first().copied())
}

/// Waits until a message of the selected mailbox has a flag.
fn wait_for_flag(imap: &mut Imap, uid: u32, flag: &str) -> String {
    eventually(&format!("the message has {flag}"), || {
        imap.ok("NOOP");
        Some(imap.flags(uid)).filter(|flags| flags.split(' ').any(|one| one == flag))
    })
}

/// Money came: both ends say so.
fn assert_settles(satchel: &Satchel, author: &str, bolt11: &str) {
    satchel.wait_for_payment(bolt11, "succeeded");
    satchel.wait_for_state(author, "settled");
}

/// Money went home: both ends say so.
fn assert_declines(satchel: &Satchel, author: &str, bolt11: &str) {
    satchel.wait_for_payment(bolt11, "failed");
    satchel.wait_for_state(author, "declined");
}

/// The next mail of a friend is in INBOX, free.
fn assert_friend(satchel: &Satchel, imap: &mut Imap, author: &str) {
    assert_eq!(satchel.relation(author).as_deref(), Some("friend"));
    let (gates, subject) = (satchel.gates().len(), format!("A friend writes, {author}"));
    send(satchel.ports.smtp, author, ALICE, &plain(author, ALICE, &subject, "As friends do."));
    assert_eq!(imap.find("INBOX", &subject).len(), 1, "a friend's mail is in INBOX at its 250");
    assert_eq!(satchel.gates().len(), gates, "a friend's mail has no gate");
}

#[test]
fn keywords_copies_and_moves_out_of_requests_decide() {
    let satchel = Satchel::start(GRACE);
    let mut imap = satchel.imap();
    imap.ok("CREATE Projects");

    // $Accepted, by a client that writes keywords in its own case.
    let author = "a@accepted.test";
    let bolt11 = satchel.stranger_pays(author, "Set accepted");
    let uid = wait_in(&mut imap, "Requests", "Set accepted");
    imap.ok(&format!("UID STORE {uid} +FLAGS ($accepted)"));
    assert_settles(&satchel, author, &bolt11);
    let flags = wait_for_flag(&mut imap, uid, "$Settled");
    assert!(flags.contains("$Accepted") && !flags.contains("$Paid"), "{flags}");
    assert_eq!(satchel.relation(author).as_deref(), Some("acquaintance"));

    // $Declined: refunded at once, and the mail stays where it is.
    let author = "b@declined.test";
    let bolt11 = satchel.stranger_pays(author, "Set declined");
    let uid = wait_in(&mut imap, "Requests", "Set declined");
    imap.ok(&format!("UID STORE {uid} +FLAGS ($Declined)"));
    assert_declines(&satchel, author, &bolt11);
    wait_for_flag(&mut imap, uid, "$Refunded");

    // COPY into an own folder; the copy bears the gate's keywords too. The decision is final: Junk afterwards says
    // nothing about the money.
    let author = "c@copied.test";
    let bolt11 = satchel.stranger_pays(author, "Copy to own");
    let uid = wait_in(&mut imap, "Requests", "Copy to own");
    imap.ok(&format!("UID COPY {uid} Projects"));
    assert_settles(&satchel, author, &bolt11);
    wait_for_flag(&mut imap, uid, "$Settled");
    imap.ok(&format!("UID MOVE {uid} Junk"));
    let copy = wait_in(&mut imap, "Projects", "Copy to own");
    wait_for_flag(&mut imap, copy, "$Settled");
    assert_eq!(satchel.gate_of(author).unwrap()["state"], "settled");

    // Trash declines; taken out again it is let in for nothing, and its author is one we know.
    let author = "d@trashed.test";
    let bolt11 = satchel.stranger_pays(author, "Throw away");
    let uid = wait_in(&mut imap, "Requests", "Throw away");
    imap.ok(&format!("UID MOVE {uid} Trash"));
    assert_declines(&satchel, author, &bolt11);
    let uid = wait_in(&mut imap, "Trash", "Throw away");
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    let uid = wait_in(&mut imap, "INBOX", "Throw away");
    assert!(imap.flags(uid).contains("$Refunded"), "the gate's end stands: {}", imap.flags(uid));
    assert_eq!(satchel.payment(&bolt11), "failed");
    assert_friend(&satchel, &mut imap, author);

    // What is no decision: reading, $Junk, a keyword of one's own.
    let author = "e@nothing.test";
    satchel.stranger_pays(author, "Only looked at");
    let uid = wait_in(&mut imap, "Requests", "Only looked at");
    imap.ok(&format!("UID STORE {uid} +FLAGS (\\Seen \\Flagged $Junk Junk later)"));
    imap.ok(&format!("UID FETCH {uid} (BODY[])"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(satchel.gate_of(author).unwrap()["state"], "held");
    satchel.assert_audit();
}

#[test]
fn an_expunge_in_requests_declines_only_after_a_grace_in_which_an_append_or_copy_accepts() {
    let satchel = Satchel::start(GRACE);
    let mut imap = satchel.imap();
    let expunge = |imap: &mut Imap, uid: u32| {
        imap.ok(&format!("UID STORE {uid} +FLAGS (\\Deleted)"));
        imap.ok(&format!("UID EXPUNGE {uid}"));
    };

    // A client without MOVE that uploads what it has: first gone, then there again.
    let author = "a@uploads.test";
    let bolt11 = satchel.stranger_pays(author, "Expunge then append");
    let uid = wait_in(&mut imap, "Requests", "Expunge then append");
    let octets = imap.body(uid);
    expunge(&mut imap, uid);
    imap.append("Archive", "\\Seen", &octets);
    assert_settles(&satchel, author, &bolt11);

    // The other order.
    let author = "b@uploads.test";
    let bolt11 = satchel.stranger_pays(author, "Append then expunge");
    let uid = wait_in(&mut imap, "Requests", "Append then expunge");
    let octets = imap.body(uid);
    imap.append("INBOX", "\\Seen", &octets);
    expunge(&mut imap, uid);
    assert_settles(&satchel, author, &bolt11);

    // COPY and expunge, as clients without MOVE do on one server.
    let author = "c@copies.test";
    let bolt11 = satchel.stranger_pays(author, "Copy then expunge");
    let uid = wait_in(&mut imap, "Requests", "Copy then expunge");
    imap.ok(&format!("UID COPY {uid} INBOX"));
    expunge(&mut imap, uid);
    assert_settles(&satchel, author, &bolt11);
    assert_eq!(imap.find("INBOX", "Copy then expunge").len(), 1);

    // An upload into Junk is no yes; and CLOSE expunges too.
    let author = "d@gone.test";
    let bolt11 = satchel.stranger_pays(author, "Close");
    let uid = wait_in(&mut imap, "Requests", "Close");
    let octets = imap.body(uid);
    imap.ok(&format!("UID STORE {uid} +FLAGS (\\Deleted)"));
    imap.ok("CLOSE");
    assert_eq!(satchel.gate_of(author).unwrap()["state"], "held", "the grace has only begun");
    assert_declines(&satchel, author, &bolt11);

    // Uploaded after that: let in for nothing.
    imap.append("INBOX", "\\Seen", &octets);
    assert_eq!(satchel.payment(&bolt11), "failed");
    assert_friend(&satchel, &mut imap, author);
    satchel.assert_audit();
}

#[test]
fn an_unpaid_mail_is_let_in_free_and_makes_a_friend() {
    let satchel = Satchel::start(GRACE);
    let mut imap = satchel.imap();
    let author = "bank@credit.test";
    let gate = satchel.stranger_writes(author, "Your statement");
    let bolt11 = satchel.invoice(&gate);
    let uid = wait_in(&mut imap, "Unpaid", "Your statement");
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    satchel.wait_for_state(author, "waived");
    let uid = wait_in(&mut imap, "INBOX", "Your statement");
    let flags = imap.flags(uid);
    assert!(!flags.contains('$'), "a mail let in bears none of the server's keywords: {flags}");
    assert_friend(&satchel, &mut imap, author);

    // The open invoice is void: whoever pays it now has the money back.
    let before = satchel.customer_msat();
    let paid = satchel.command(&["sandbox", "pay", &bolt11]).output().unwrap();
    println!("paying a void invoice: {}", String::from_utf8_lossy(&paid.stdout));
    satchel.wait_for_payment(&bolt11, "failed");
    satchel.wait_for_customer(before);
    assert_eq!(satchel.gate_of(author).unwrap()["state"], "waived");

    // Trash and Junk let nobody in; the invoice stays good, and paid, the mail comes to Requests.
    let author = "later@shop.test";
    let gate = satchel.stranger_writes(author, "Thrown away unpaid");
    let uid = wait_in(&mut imap, "Unpaid", "Thrown away unpaid");
    imap.ok(&format!("UID MOVE {uid} Trash"));
    assert_eq!(satchel.gate_of(author).unwrap()["state"], "waiting");
    assert_eq!(satchel.relation(author), None);
    // From there, back: a let-in.
    let uid = wait_in(&mut imap, "Trash", "Thrown away unpaid");
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    satchel.wait_for_state(author, "waived");
    assert!(satchel.command(&["gate", "invoice", &gate["id"].to_string()]).output().unwrap().status.code() == Some(1));

    // An unverified author (nothing aligns) is kept, asked nothing, and let in by what evidence there is.
    let author = "ceo@real-bank.test";
    send(satchel.ports.smtp, "x@other.test", ALICE, &plain(author, ALICE, "Forged", "Send money."));
    let gate = satchel.wait_for_state(author, "waiting");
    assert_eq!(gate["relation"], "unverified", "{gate}");
    assert_eq!(imap.find("Unpaid", "Forged").len(), 1);
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert!(satchel.gate_of(author).unwrap()["bolt11"].is_null(), "nobody is asked");
    let mails = satchel.ask(&["sandbox", "mail"]);
    assert!(mails.as_array().unwrap().iter().all(|mail| mail["to"] != author), "{mails}");
}

#[test]
fn a_reply_settles_and_makes_a_friend_but_an_automatic_one_does_neither() {
    let satchel = Satchel::start(GRACE);
    let mut imap = satchel.imap();
    let (user, password) = satchel.first_login();
    let author = "asks@questions.test";
    let bolt11 = satchel.stranger_pays(author, "A question");
    wait_in(&mut imap, "Requests", "A question");
    let reply = |extra: &str| {
        let head = format!("From: <{ALICE}>\r\nTo: <{author}>\r\nSubject: Re: A question\r\n{extra}");
        format!("{head}In-Reply-To: <A.question@questions.test>\r\n\r\nAn answer.\r\n").into_bytes()
    };
    let submit = |message: &[u8]| {
        let answer = Smtp::login(satchel.ports.submission, &user, &password).mail(ALICE, author, message);
        assert!(answer.starts_with("250"), "{answer}");
    };

    submit(&reply("Auto-Submitted: auto-replied\r\n"));
    assert_eq!(satchel.gate_of(author).unwrap()["state"], "held", "an automatic reply decides nothing");
    assert_eq!(satchel.relation(author), None, "an automatic reply befriends nobody");

    submit(&reply(""));
    assert_settles(&satchel, author, &bolt11);
    assert_friend(&satchel, &mut imap, author);
    let uid = wait_in(&mut imap, "Requests", "A question");
    wait_for_flag(&mut imap, uid, "$Settled");
    satchel.assert_audit();
}

#[test]
fn a_decision_made_offline_reaches_the_mail_where_it_is_now() {
    let satchel = Satchel::start(GRACE);
    let mut imap = satchel.imap();

    // The client still believes it in Unpaid, and copies it to INBOX from there: a let-in that is now an accept.
    let author = "a@offline.test";
    let gate = satchel.stranger_writes(author, "Copied by its old UID");
    let old = wait_in(&mut imap, "Unpaid", "Copied by its old UID");
    let bolt11 = satchel.invoice(&gate);
    satchel.pay(&bolt11);
    satchel.wait_for_state(author, "held");
    imap.ok("SELECT Unpaid");
    let (_, end) = imap.command(&format!("UID COPY {old} INBOX"));
    assert!(end.starts_with("OK [COPYUID"), "{end}");
    assert_settles(&satchel, author, &bolt11);
    wait_in(&mut imap, "INBOX", "Copied by its old UID");

    // MOVE.
    let author = "b@offline.test";
    let gate = satchel.stranger_writes(author, "Moved by its old UID");
    let old = wait_in(&mut imap, "Unpaid", "Moved by its old UID");
    let bolt11 = satchel.invoice(&gate);
    satchel.pay(&bolt11);
    satchel.wait_for_state(author, "held");
    imap.ok("SELECT Unpaid");
    let (responses, end) = imap.command(&format!("UID MOVE {old} INBOX"));
    let copyuid = end.contains("COPYUID") || responses.iter().any(|response| response.text.contains("COPYUID"));
    assert!(end.starts_with("OK") && copyuid, "{responses:?} {end}");
    assert_settles(&satchel, author, &bolt11);
    wait_in(&mut imap, "INBOX", "Moved by its old UID");
    assert!(imap.find("Requests", "Moved by its old UID").is_empty());

    // A decision keyword.
    let author = "c@offline.test";
    let gate = satchel.stranger_writes(author, "Declined by its old UID");
    let old = wait_in(&mut imap, "Unpaid", "Declined by its old UID");
    let bolt11 = satchel.invoice(&gate);
    satchel.pay(&bolt11);
    satchel.wait_for_state(author, "held");
    imap.ok("SELECT Unpaid");
    imap.ok(&format!("UID STORE {old} +FLAGS ($Declined)"));
    assert_declines(&satchel, author, &bolt11);
}

#[test]
fn a_priority_mail_comes_to_inbox_and_is_decided_there() {
    let satchel = Satchel::start(GRACE);
    let mut imap = satchel.imap();
    let pays_priority = |author: &str, subject: &str| {
        let gate = satchel.stranger_writes(author, subject);
        let invoice = satchel.ask(&["gate", "invoice", &gate["id"].to_string(), "--priority"]);
        assert_eq!(invoice["amount_msat"], 1_000_000, "{invoice}");
        let bolt11 = invoice["bolt11"].as_str().unwrap().to_owned();
        satchel.pay(&bolt11);
        satchel.wait_for_state(author, "held");
        bolt11
    };

    // It is there, flagged, and archiving it accepts.
    let bolt11 = pays_priority("a@urgent.test", "Archive it");
    let uid = wait_in(&mut imap, "INBOX", "Archive it");
    let flags = imap.flags(uid);
    for flag in ["\\Flagged", "$Priority", "$Paid"] {
        assert!(flags.contains(flag), "{flag}: {flags}");
    }
    imap.ok(&format!("UID MOVE {uid} Archive"));
    assert_settles(&satchel, "a@urgent.test", &bolt11);
    let balance = satchel.ask(&["wallet", "balance"]);
    assert_eq!((&balance["users_msat"], &balance["fees_msat"]), (&900_000.into(), &100_000.into()), "{balance}");

    // Junk declines.
    let bolt11 = pays_priority("b@urgent.test", "Junk it");
    let uid = wait_in(&mut imap, "INBOX", "Junk it");
    imap.ok(&format!("UID MOVE {uid} Junk"));
    assert_declines(&satchel, "b@urgent.test", &bolt11);

    // Into Trash unread: declined, after the grace. Read: accepted.
    let unread = pays_priority("c@urgent.test", "Trash it unread");
    let read = pays_priority("d@urgent.test", "Trash it read");
    let uid = wait_in(&mut imap, "INBOX", "Trash it unread");
    imap.ok(&format!("UID MOVE {uid} Trash"));
    assert_eq!(satchel.gate_of("c@urgent.test").unwrap()["state"], "held", "the grace has only begun");
    let uid = wait_in(&mut imap, "INBOX", "Trash it read");
    imap.ok(&format!("UID FETCH {uid} (BODY[])"));
    imap.ok(&format!("UID MOVE {uid} Trash"));
    assert_settles(&satchel, "d@urgent.test", &read);
    assert_declines(&satchel, "c@urgent.test", &unread);

    // The hold ends, here by blocks: unread it is refunded, read it is accepted; both stay in INBOX.
    let unread = pays_priority("e@urgent.test", "Left alone unread");
    let read = pays_priority("f@urgent.test", "Left alone read");
    let read_uid = wait_in(&mut imap, "INBOX", "Left alone read");
    imap.ok(&format!("UID STORE {read_uid} +FLAGS (\\Seen)"));
    // A block may have come between the two.
    let mut deadlines = ["e", "f"].map(|name| {
        let gate = satchel.gate_of(&format!("{name}@urgent.test")).unwrap();
        gate["deadline_height"].as_u64().unwrap() - u64::from(policy::MARGIN_BLOCKS)
    });
    deadlines.sort_unstable();
    for end in deadlines {
        let height = satchel.ask(&["sandbox", "mine", "1"])["height"].as_u64().unwrap();
        if height < end {
            satchel.ask(&["sandbox", "mine", &(end - height).to_string()]);
        }
        // A claim must reach the node before the next blocks pass its deadline.
        eventually("accepted money is claimed", || {
            satchel.gates().iter().all(|gate| gate["state"] != "settling").then_some(())
        });
    }
    assert_settles(&satchel, "f@urgent.test", &read);
    satchel.wait_for_payment(&unread, "failed");
    satchel.wait_for_state("e@urgent.test", "waiting");
    let uid = wait_in(&mut imap, "INBOX", "Left alone unread");
    wait_for_flag(&mut imap, uid, "$Refunded");
    let uid = wait_in(&mut imap, "INBOX", "Left alone read");
    wait_for_flag(&mut imap, uid, "$Settled");
    satchel.assert_audit();
}

#[test]
fn what_belongs_to_the_server_stays_as_it_is() {
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();
    satchel.stranger_writes("x@shop.test", "Not paid");
    let uid = wait_in(&mut imap, "Unpaid", "Not paid");

    // STORE of our keywords answers OK and tells the truth.
    for store in ["+FLAGS ($Paid $Settled)", "-FLAGS ($Unpaid)", "+FLAGS ($Priority)", "FLAGS (\\Seen $PAID)"] {
        let responses = imap.ok(&format!("UID STORE {uid} {store}"));
        let text = responses.iter().map(|r| r.text.as_str()).find(|text| text.contains("FLAGS")).unwrap_or("nothing");
        assert!(text.contains("$Unpaid") && !text.to_lowercase().contains("$paid"), "{store}: {text}");
        let flags = imap.flags(uid);
        assert!(flags.contains("$Unpaid"), "{store}: {flags}");
        assert!(!["$Paid", "$Settled", "$Priority"].iter().any(|one| flags.contains(one)), "{store}: {flags}");
    }
    assert!(imap.flags(uid).contains("\\Seen"));
    assert_eq!(satchel.gate_of("x@shop.test").unwrap()["state"], "waiting");

    // APPEND drops them.
    let mail = plain("me@satchel.test", ALICE, "Appended", "With forged keywords.");
    imap.append("INBOX", "\\Seen $Paid $Settled $Accepted $Priority mine", &mail);
    let uid = wait_in(&mut imap, "INBOX", "Appended");
    let flags = imap.flags(uid);
    assert!(flags.contains("mine") && !flags.contains("$Paid") && !flags.contains("$Settled"), "{flags}");
    assert!(!flags.contains("$Priority"), "{flags}");

    // Requests and Unpaid can neither go nor be renamed.
    for command in ["RENAME Requests Pleas", "DELETE Requests", "RENAME Unpaid Later", "DELETE Unpaid", "DELETE INBOX"]
    {
        let (_, end) = imap.command(command);
        assert!(end.starts_with("NO [CANNOT]"), "{command}: {end}");
    }
    // They are announced as what they are, and subscribed.
    let list = imap.ok("LSUB \"\" *");
    for name in ["INBOX", "Requests", "Unpaid", "Sent", "Drafts", "Archive", "Junk", "Trash"] {
        assert!(list.iter().any(|line| line.text.contains(name)), "{name} is not subscribed: {list:?}");
    }
    let list = imap.ok("LIST \"\" *");
    for use_ in ["\\Sent", "\\Drafts", "\\Archive", "\\Junk", "\\Trash"] {
        assert!(list.iter().any(|line| line.text.contains(use_)), "{use_}: {list:?}");
    }
}
