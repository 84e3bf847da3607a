//! What known clients ask, in their own words, and what they break on (mail.md section 8; docs/compatibility.md has
//! the whole table). No such client was run here: these are their commands as others recorded them.

use crate::support::{Client, World};
use lnmp::Place;

const MAIL: &[u8] = b"From: Bob <bob@shop.test>\r\nTo: alice@satchel.test\r\nSubject: hello\r\nThread-Topic: hello\r\n\
Message-ID: <1@shop.test>\r\nReferences: <0@shop.test>\r\nX-Mailer: m\r\n\r\nHi Alice!\r\n";

async fn inbox_of(world: &World, messages: usize) -> Client {
    world.deliver_many("alice", Place::Inbox, &vec![MAIL; messages]).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    client
}

/// The octets of the last literal or quoted string in a response.
fn last_string(line: &str) -> &str {
    match line.rfind("}\r\n") {
        Some(at) => {
            let size: usize = line[line[..at].rfind('{').unwrap() + 1..at].parse().unwrap();
            &line[at + 3..at + 3 + size]
        }
        None => line.rsplit('"').nth(1).unwrap(),
    }
}

#[tokio::test]
async fn outlook_lists_a_mailbox_by_its_own_header_fields() {
    let world = World::start().await;
    let mut client = inbox_of(&world, 2).await;
    let fields = "DATE FROM SUBJECT CONTENT-TYPE X-MS-TNEF-Correlator CONTENT-CLASS IMPORTANCE PRIORITY X-PRIORITY \
                  THREAD-TOPIC REPLY-TO";
    let items = format!("(INTERNALDATE UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS ({fields})] BODYSTRUCTURE)");
    let lines = client.ok(&format!("FETCH 1:2 {items}")).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    let wanted = "From: Bob <bob@shop.test>\r\nSubject: hello\r\nThread-Topic: hello\r\n\r\n";
    assert!(lines[1].contains(&format!("{{{}}}\r\n{wanted}", wanted.len())), "{lines:?}");
    for part in
        ["* 2 FETCH (INTERNALDATE \"", " UID 2 FLAGS (\\Recent) RFC822.SIZE ", " BODYSTRUCTURE (\"TEXT\" \"PLAIN\""]
    {
        assert!(lines[1].to_uppercase().contains(&part.to_uppercase()), "{part} in {lines:?}");
    }
    assert_eq!(client.ok("SEARCH SEEN").await, ["* SEARCH"], "PEEK");
}

#[tokio::test]
async fn outlook_strikes_mails_through_and_purges_those_it_names() {
    let world = World::start().await;
    let mut client = inbox_of(&world, 3).await;
    client.ok("UID STORE 1:2 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(client.ok("UID EXPUNGE 1,3").await, ["* 1 EXPUNGE"]);
    assert_eq!(client.ok("UID SEARCH ALL").await, ["* SEARCH 2 3"]);
    assert_eq!(client.ok("UID SEARCH DELETED").await, ["* SEARCH 2"]);
}

#[tokio::test]
async fn outlook_for_mac_hears_exists_only_when_there_is_more() {
    let world = World::start().await;
    let mut client = inbox_of(&world, 2).await;
    let mut other = world.login("alice").await;
    other.ok("SELECT INBOX").await;
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    assert_eq!(client.ok("NOOP").await, ["* 1 EXPUNGE"]);
    assert_eq!(client.ok("NOOP").await, Vec::<String>::new());
    let lines =
        client.ok("UID FETCH 2 (ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (REFERENCES THREAD-TOPIC)])").await;
    assert!(lines[0].contains("Thread-Topic: hello\r\nReferences: <0@shop.test>\r\n\r\n"), "{lines:?}");
}

#[tokio::test]
async fn thunderbird_fetches_in_pieces_and_the_last_one_is_exact() {
    let world = World::start().await;
    let mut client = inbox_of(&world, 1).await;
    let mut read = String::new();
    for round in 0.. {
        let lines = client.ok(&format!("UID FETCH 1 (UID BODY.PEEK[]<{}.50>)", read.len())).await;
        assert!(lines[0].contains(&format!("BODY[]<{}> ", read.len())), "{lines:?}");
        let piece = last_string(&lines[0]);
        assert_eq!(piece.len(), 50.min(MAIL.len() - read.len()), "piece {round}");
        read.push_str(piece);
        if piece.len() < 50 {
            break;
        }
    }
    assert_eq!(read.as_bytes(), MAIL);
    let beyond = client.ok(&format!("UID FETCH 1 (BODY.PEEK[]<{}.50>)", MAIL.len())).await;
    assert_eq!(last_string(&beyond[0]), "");
}

#[tokio::test]
async fn thunderbird_ends_a_name_to_be_made_with_a_separator() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    client.ok("CREATE tree/").await;
    client.ok("CREATE tree/leaf/").await;
    assert!(client.ok("LIST \"\" tree*").await.iter().any(|line| line.ends_with("\"/\" tree/leaf")));
    client.ok("SUBSCRIBE tree/leaf").await;
    // RFC 3501 §6.3.9: what is not subscribed itself but holds something that is.
    client.ok("UNSUBSCRIBE tree").await;
    assert_eq!(client.ok("LSUB \"\" tree/%").await.len(), 1);
    let above = client.ok("LSUB \"\" %").await;
    assert!(above.iter().any(|line| line.contains("\\Noselect") && line.ends_with(" tree")), "{above:?}");
}

#[tokio::test]
async fn apple_mail_asks_what_changed_since_nothing() {
    let world = World::start().await;
    let mut client = inbox_of(&world, 2).await;
    let lines = client.ok("FETCH 1:* (FLAGS) (CHANGEDSINCE 0)").await;
    assert_eq!(lines.iter().filter(|line| line.contains(" FETCH (")).count(), 2, "{lines:?}");
}

#[tokio::test]
async fn apple_mail_finds_every_folder_below_no_prefix() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    assert_eq!(client.ok("NAMESPACE").await, ["* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL"]);
    client.ok("CREATE INBOX/below").await;
    let list = client.ok("LIST \"\" \"*\"").await;
    assert!(!list.iter().any(|line| line.to_uppercase().contains("NOINFERIORS")), "{list:?}");
    // Apple's push needs certificates that only Apple gives: it is not offered.
    assert!(!client.ok("CAPABILITY").await[0].contains("XAPPLE"));
}

#[tokio::test]
async fn k9_finds_what_it_copied_and_writes_long_lines() {
    let world = World::start().await;
    let mut client = inbox_of(&world, 3).await;
    let capabilities = client.ok("CAPABILITY").await.remove(0);
    for name in ["SPECIAL-USE", "LIST-EXTENDED", "UIDPLUS"] {
        assert!(capabilities.split(' ').any(|word| word == name), "{name} in {capabilities}");
    }
    assert_eq!(client.ok("UID SEARCH HEADER MESSAGE-ID <1@shop.test>").await, ["* SEARCH 1 2 3"]);
    let uids: Vec<String> = (1..1650).map(|uid| uid.to_string()).collect();
    let command = format!("UID FETCH {} (UID)", uids.join(","));
    assert!((7000..8172).contains(&command.len()), "{}", command.len());
    assert_eq!(client.ok(&command).await.len(), 3);
}

#[tokio::test]
async fn mailbird_fairemail_and_mailspring_find_their_way() {
    let world = World::start().await;
    let mut client = inbox_of(&world, 1).await;
    assert_eq!(client.ok("UID SEARCH HEADER Message-ID \"<1@shop.test>\" UNDELETED").await, ["* SEARCH 1"]);
    for name in ["inbox", "Inbox", "\"iNBOX\""] {
        assert!(client.ok(&format!("STATUS {name} (MESSAGES)")).await[0].ends_with("(MESSAGES 1)"), "{name}");
    }
    client.ok("CREATE Mailspring/Snoozed").await;
    let list = client.ok("LIST \"\" \"*\" RETURN (STATUS (UNSEEN))").await;
    assert!(list.contains(&"* STATUS INBOX (UNSEEN 1)".to_owned()), "{list:?}");
    assert!(list.contains(&"* STATUS Mailspring/Snoozed (UNSEEN 0)".to_owned()), "{list:?}");
}

#[tokio::test]
async fn a_migration_keeps_folders_dates_and_flags() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    client.ok("CREATE old/2019/work").await;
    let rest = "(\\Seen \\Flagged $Label1) \" 7-Mar-2019 08:09:10 +0100\" ";
    assert!(client.append("old/2019/work", rest, MAIL).await.starts_with("OK [APPENDUID "));
    client.ok("SELECT old/2019/work").await;
    let lines = client.ok("FETCH 1 (FLAGS INTERNALDATE)").await;
    for part in ["\\Seen", "\\Flagged", "$Label1", "INTERNALDATE \" 7-Mar-2019 08:09:10 +0100\""] {
        let found = lines[0].contains(part) || lines[0].contains(&part.replace("\" 7-", "\"07-"));
        assert!(found, "{part} in {lines:?}");
    }
}

#[tokio::test]
async fn every_folder_has_a_uidvalidity_of_its_own() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    client.ok("CREATE own").await;
    let list = client.ok("LIST \"\" \"*\" RETURN (STATUS (UIDVALIDITY))").await;
    let mut values: Vec<&str> =
        list.iter().filter_map(|line| line.split_once("(UIDVALIDITY ")).map(|it| it.1).collect();
    let folders = values.len();
    values.sort_unstable();
    values.dedup();
    assert_eq!((folders >= 9, values.len()), (true, folders), "{list:?}");
}

#[tokio::test]
async fn delta_chat_leaves_a_token_and_asks_the_quota() {
    let world = World::start().await;
    let mut client = inbox_of(&world, 1).await;
    let capabilities = client.ok("CAPABILITY").await.remove(0);
    for name in ["IDLE", "CONDSTORE", "METADATA", "QUOTA", "MOVE"] {
        assert!(capabilities.split(' ').any(|word| word == name), "{name} in {capabilities}");
    }
    client.ok("SETMETADATA INBOX (/private/devicetoken \"fcm:1\")").await;
    let told = client.ok("GETMETADATA INBOX /private/devicetoken").await;
    assert_eq!(told, ["* METADATA INBOX (/private/devicetoken \"fcm:1\")"]);
    assert_eq!(client.ok("GETQUOTAROOT INBOX").await[0], "* QUOTAROOT INBOX \"\"");
}
