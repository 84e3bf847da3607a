//! Commands: one file each, holding its grammar, its checks and its effect.

mod acl;
mod append;
mod carry;
mod compress;
mod context;
mod copy_move;
mod enable;
mod envelope;
mod esearch;
mod expunge;
mod fetch;
mod idle;
mod list;
mod login;
mod mailbox;
mod metadata;
mod misc;
mod notify;
mod quota;
mod replace;
mod sasl;
mod search;
mod select;
mod sort;
mod special_use;
mod starttls;
mod status;
mod store_flags;
mod thread;
mod unauthenticate;

pub(crate) use append::{Destination, destination};
pub(crate) use context::{Contexts, after_step, before_step};
pub(crate) use notify::{Act, Interests, Made, tell_others, wait_and_tell};
pub use search::trigrams;

use crate::enabled::Enabled;
use crate::reply::{Run, Tagged};
use crate::selected::By;
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed};

/// A parsed command.
#[derive(Debug)]
pub(crate) enum Command {
    Capability,
    Noop,
    Check,
    Logout,
    Id,
    Namespace,
    Enable(enable::Enable),
    Starttls,
    Login(login::Login),
    Authenticate(login::Authenticate),
    Select(select::Select),
    Close,
    Unselect,
    Create(mailbox::Create),
    Delete(mailbox::Delete),
    Rename(mailbox::Rename),
    Subscribe(mailbox::Subscribe),
    List(list::List),
    Lsub(list::Lsub),
    Status(status::Status),
    GetMetadata(metadata::GetMetadata),
    SetMetadata(metadata::SetMetadata),
    GetQuota(quota::GetQuota),
    GetQuotaRoot(quota::GetQuotaRoot),
    SetQuota,
    Acl(acl::Acl),
    Append(append::Append),
    Replace(replace::Replace),
    Idle,
    Expunge(expunge::Expunge),
    Search(search::Search),
    Sort(sort::Sort),
    CancelUpdate(context::CancelUpdate),
    Esearch(esearch::Esearch),
    Thread(thread::Thread),
    Fetch(fetch::Fetch),
    Store(store_flags::StoreFlags),
    CopyMove(copy_move::CopyMove),
    Notify(notify::Notify),
    Compress(compress::Compress),
    Unauthenticate,
}

/// In which state a command is allowed (RFC 3501 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Needs {
    /// Any.
    Nothing,
    /// Before login only.
    NoLogin,
    /// After login.
    Login,
    /// With a mailbox.
    Mailbox,
}

/// How the client is brought in step before a command's tagged answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Not at all.
    None,
    /// Without EXPUNGE.
    Held,
    /// Without EXPUNGE, with everything else the store knows.
    HeldAsked,
    /// With everything that was signalled.
    Told,
    /// With everything the store knows.
    Asked,
    /// The same, because the command itself may have changed the mailbox.
    Acted,
}

/// The tag a line begins with; `None` when there is none.
pub(crate) fn tag_of(line: &[u8]) -> Option<&str> {
    let mut cursor = Cursor::new(line);
    let tag = cursor.take_while(|octet| crate::wire::cursor::is_astring_char(octet) && octet != b'+');
    let tag = std::str::from_utf8(tag).ok()?;
    (!tag.is_empty() && tag.len() <= 256).then_some(tag)
}

/// Reads a command behind its tag.
pub(crate) fn parse(line: &[u8]) -> Parsed<Command> {
    let mut cursor = Cursor::new(line);
    cursor.take_while(|octet| crate::wire::cursor::is_astring_char(octet) && octet != b'+');
    cursor.expect(b' ', "Missing command")?;
    let cursor = &mut cursor;
    let name = cursor.atom("Missing command")?.to_ascii_uppercase();
    let (by, name) = if name == "UID" {
        cursor.space()?;
        (By::Uid, cursor.atom("Missing UID command")?.to_ascii_uppercase())
    } else {
        (By::Number, name)
    };
    let command = match (by, name.as_str()) {
        (_, "SEARCH") => Command::Search(search::Search::parse(cursor, by)?),
        (_, "SORT") => Command::Sort(sort::Sort::parse(cursor, by)?),
        (_, "THREAD") => Command::Thread(thread::Thread::parse(cursor, by)?),
        (_, "FETCH") => Command::Fetch(fetch::Fetch::parse(cursor, by)?),
        (_, "STORE") => Command::Store(store_flags::StoreFlags::parse(cursor, by)?),
        (_, "COPY") => Command::CopyMove(copy_move::CopyMove::parse(cursor, by, copy_move::Kind::Copy)?),
        (_, "MOVE") => Command::CopyMove(copy_move::CopyMove::parse(cursor, by, copy_move::Kind::Move)?),
        (_, "REPLACE") => Command::Replace(replace::Replace::parse(cursor, by)?),
        (_, "EXPUNGE") => Command::Expunge(expunge::Expunge::parse(cursor, by)?),
        (By::Uid, _) => return Err(Bad(format!("Unknown command UID {}", shown(&name)).into())),
        (By::Number, "CAPABILITY") => Command::Capability,
        (By::Number, "NOOP") => Command::Noop,
        (By::Number, "CHECK") => Command::Check,
        (By::Number, "LOGOUT") => Command::Logout,
        (By::Number, "ID") => misc::parse_id(cursor)?,
        (By::Number, "NAMESPACE") => Command::Namespace,
        (By::Number, "ENABLE") => Command::Enable(enable::Enable::parse(cursor)?),
        (By::Number, "STARTTLS") => Command::Starttls,
        (By::Number, "LOGIN") => Command::Login(login::Login::parse(cursor)?),
        (By::Number, "AUTHENTICATE") => Command::Authenticate(login::Authenticate::parse(cursor)?),
        (By::Number, "SELECT") => Command::Select(select::Select::parse(cursor, false)?),
        (By::Number, "EXAMINE") => Command::Select(select::Select::parse(cursor, true)?),
        (By::Number, "CLOSE") => Command::Close,
        (By::Number, "UNSELECT") => Command::Unselect,
        (By::Number, "CREATE") => Command::Create(mailbox::Create::parse(cursor)?),
        (By::Number, "DELETE") => Command::Delete(mailbox::Delete::parse(cursor)?),
        (By::Number, "RENAME") => Command::Rename(mailbox::Rename::parse(cursor)?),
        (By::Number, "SUBSCRIBE") => Command::Subscribe(mailbox::Subscribe::parse(cursor, true)?),
        (By::Number, "UNSUBSCRIBE") => Command::Subscribe(mailbox::Subscribe::parse(cursor, false)?),
        (By::Number, "LIST") => Command::List(list::List::parse(cursor, list::Answer::List)?),
        (By::Number, "XLIST") => Command::List(list::List::parse(cursor, list::Answer::Xlist)?),
        (By::Number, "LSUB") => Command::Lsub(list::Lsub::parse(cursor)?),
        (By::Number, "SETACL") => Command::Acl(acl::Acl::parse_set(cursor)?),
        (By::Number, "DELETEACL") => Command::Acl(acl::Acl::parse_delete(cursor)?),
        (By::Number, "GETACL") => Command::Acl(acl::Acl::parse_get(cursor)?),
        (By::Number, "LISTRIGHTS") => Command::Acl(acl::Acl::parse_list(cursor)?),
        (By::Number, "MYRIGHTS") => Command::Acl(acl::Acl::parse_mine(cursor)?),
        (By::Number, "STATUS") => Command::Status(status::Status::parse(cursor)?),
        (By::Number, "GETMETADATA") => Command::GetMetadata(metadata::GetMetadata::parse(cursor)?),
        (By::Number, "SETMETADATA") => Command::SetMetadata(metadata::SetMetadata::parse(cursor)?),
        (By::Number, "GETQUOTA") => Command::GetQuota(quota::GetQuota::parse(cursor)?),
        (By::Number, "GETQUOTAROOT") => Command::GetQuotaRoot(quota::GetQuotaRoot::parse(cursor)?),
        (By::Number, "SETQUOTA") => {
            quota::parse_set(cursor)?;
            Command::SetQuota
        }
        (By::Number, "APPEND") => Command::Append(append::Append::parse(cursor)?),
        (By::Number, "ESEARCH") => Command::Esearch(esearch::Esearch::parse(cursor)?),
        (By::Number, "CANCELUPDATE") => Command::CancelUpdate(context::CancelUpdate::parse(cursor)?),
        (By::Number, "IDLE") => Command::Idle,
        (By::Number, "NOTIFY") => Command::Notify(notify::Notify::parse(cursor)?),
        (By::Number, "COMPRESS") => Command::Compress(compress::Compress::parse(cursor)?),
        (By::Number, "UNAUTHENTICATE") => Command::Unauthenticate,
        (By::Number, _) => return Err(Bad(format!("Unknown command {}", shown(&name)).into())),
    };
    cursor.end()?;
    Ok(command)
}

/// A client's word, short enough to be repeated to it.
fn shown(word: &str) -> &str {
    // Atoms are ASCII: any cut falls between characters.
    &word[..word.len().min(40)]
}

impl Command {
    pub(crate) fn needs(&self) -> Needs {
        match self {
            Self::Capability | Self::Noop | Self::Logout | Self::Id => Needs::Nothing,
            Self::Starttls | Self::Login(_) | Self::Authenticate(_) => Needs::NoLogin,
            Self::Namespace
            | Self::Enable(_)
            | Self::Select(_)
            | Self::Create(_)
            | Self::Delete(_)
            | Self::Rename(_)
            | Self::Subscribe(_)
            | Self::List(_)
            | Self::Lsub(_)
            | Self::Status(_)
            | Self::GetMetadata(_)
            | Self::SetMetadata(_)
            | Self::GetQuota(_)
            | Self::GetQuotaRoot(_)
            | Self::SetQuota
            | Self::Acl(_)
            | Self::Esearch(_)
            | Self::Append(_)
            | Self::Compress(_)
            | Self::Unauthenticate
            | Self::Notify(_)
            | Self::Idle => Needs::Login,
            Self::Check
            | Self::Close
            | Self::Unselect
            | Self::Expunge(_)
            | Self::Replace(_)
            | Self::Search(_)
            | Self::Sort(_)
            | Self::CancelUpdate(_)
            | Self::Thread(_)
            | Self::Fetch(_)
            | Self::Store(_)
            | Self::CopyMove(_) => Needs::Mailbox,
        }
    }

    /// RFC 3501 §7.4.1 and §5.2.
    pub(crate) fn step(&self, enabled: Enabled) -> Step {
        match self {
            // A client that counts on modification sequences is told all that is older than what its own change got,
            // and by a conditional STORE what failed it (RFC 7162 §3.1.3).
            Self::Fetch(fetch) if enabled.condstore && fetch.sets_seen() => asked(fetch.by),
            Self::Store(store_flags::StoreFlags { by, .. }) if enabled.condstore => asked(*by),
            Self::Fetch(fetch::Fetch { by, .. })
            | Self::Store(store_flags::StoreFlags { by, .. })
            | Self::Search(search::Search { by, .. })
            | Self::Sort(sort::Sort { by, .. })
            | Self::Thread(thread::Thread { by, .. }) => match by {
                By::Number => Step::Held,
                By::Uid => Step::Told,
            },
            Self::Noop | Self::Check => Step::Asked,
            Self::Append(_) | Self::Replace(_) | Self::CopyMove(_) | Self::Expunge(_) => Step::Acted,
            Self::Capability
            | Self::Id
            | Self::Namespace
            | Self::Enable(_)
            | Self::Create(_)
            | Self::Delete(_)
            | Self::Rename(_)
            | Self::Subscribe(_)
            | Self::List(_)
            | Self::Lsub(_)
            | Self::Status(_)
            | Self::GetMetadata(_)
            | Self::SetMetadata(_)
            | Self::GetQuota(_)
            | Self::GetQuotaRoot(_)
            | Self::SetQuota
            | Self::CancelUpdate(_)
            | Self::Esearch(_)
            | Self::Acl(_) => Step::Told,
            Self::Idle
            | Self::Notify(_)
            | Self::Compress(_)
            | Self::Unauthenticate
            | Self::Logout
            | Self::Starttls
            | Self::Login(_)
            | Self::Authenticate(_)
            | Self::Select(_)
            | Self::Close
            | Self::Unselect => Step::None,
        }
    }

    /// Whether news of other mailboxes may stand among its responses (RFC 5465): not where they would be taken for the
    /// answer. They follow it.
    pub(crate) fn may_be_told_others(&self) -> bool {
        match self {
            Self::List(_) | Self::Lsub(_) | Self::Status(_) | Self::GetMetadata(_) => false,
            command => command.step(Enabled::default()) != Step::None,
        }
    }

    /// Whether it is one of the CONDSTORE enabling commands of RFC 7162 §3.1. SELECT does it itself, when the mailbox
    /// before is left; ENABLE too.
    pub(crate) fn enables_condstore(&self) -> bool {
        match self {
            Self::Fetch(fetch) => fetch.asks_modseq(),
            Self::Store(store) => store.unchanged_since.is_some(),
            Self::Search(search::Search { program, .. })
            | Self::Sort(sort::Sort { program, .. })
            | Self::Esearch(esearch::Esearch { program, .. })
            | Self::Thread(thread::Thread { program, .. }) => program.asks_modseq(),
            Self::Status(status) => status.asks_modseq(),
            _ => false,
        }
    }

    /// Whether it takes messages out of the selected mailbox and says so.
    pub(crate) fn removes(&self) -> bool {
        match self {
            Self::Expunge(_) | Self::Replace(_) => true,
            Self::CopyMove(copy_move) => copy_move.kind == copy_move::Kind::Move,
            _ => false,
        }
    }

    /// Whether it names messages by their numbers, or would be answered with some.
    pub(crate) fn speaks_of_numbers(&self) -> bool {
        match self {
            Self::Search(search::Search { by, program, .. })
            | Self::Sort(sort::Sort { by, program, .. })
            | Self::Thread(thread::Thread { by, program, .. }) => *by == By::Number || program.names_numbers(),
            Self::Esearch(esearch) => esearch.program.names_numbers(),
            Self::Select(select) => select.names_numbers(),
            Self::Fetch(_) | Self::Store(_) | Self::Replace(_) | Self::CopyMove(_) => self.by() == By::Number,
            _ => false,
        }
    }

    /// How UIDs are to be shown in what follows.
    pub(crate) fn by(&self) -> By {
        match self {
            Self::Fetch(fetch::Fetch { by, .. })
            | Self::Store(store_flags::StoreFlags { by, .. })
            | Self::Search(search::Search { by, .. })
            | Self::Sort(sort::Sort { by, .. })
            | Self::Thread(thread::Thread { by, .. })
            | Self::Replace(replace::Replace { by, .. })
            | Self::CopyMove(copy_move::CopyMove { by, .. }) => *by,
            _ => By::Number,
        }
    }

    /// Does it. Each future is boxed by itself, so that a session that waits is as small as its wait.
    pub(crate) async fn run(self, session: &mut Session, tag: &str) -> Run {
        match self {
            Self::Capability => misc::capability(session),
            Self::Noop => Ok(Tagged::ok("NOOP completed")),
            Self::Check => Ok(Tagged::ok("CHECK completed")),
            Self::Logout => misc::logout(session, tag),
            Self::Id => misc::id(session),
            Self::Namespace => misc::namespace(session),
            Self::Enable(command) => command.run(session),
            Self::Starttls => Box::pin(starttls::run(session, tag)).await,
            Self::Login(command) => Box::pin(command.run(session)).await,
            Self::Authenticate(command) => Box::pin(command.run(session)).await,
            Self::Select(command) => Box::pin(command.run(session)).await,
            Self::Close => Box::pin(select::close(session)).await,
            Self::Unselect => Box::pin(select::unselect(session)).await,
            Self::Create(command) => Box::pin(command.run(session)).await,
            Self::Delete(command) => Box::pin(command.run(session)).await,
            Self::Rename(command) => Box::pin(command.run(session)).await,
            Self::Subscribe(command) => Box::pin(command.run(session)).await,
            Self::List(command) => Box::pin(command.run(session)).await,
            Self::Lsub(command) => Box::pin(command.run(session)).await,
            Self::Status(command) => Box::pin(command.run(session)).await,
            Self::GetMetadata(command) => Box::pin(command.run(session)).await,
            Self::SetMetadata(command) => Box::pin(command.run(session)).await,
            Self::GetQuota(command) => Box::pin(command.run(session)).await,
            Self::GetQuotaRoot(command) => Box::pin(command.run(session)).await,
            Self::SetQuota => quota::set(),
            Self::Acl(command) => Box::pin(command.run(session)).await,
            Self::Append(command) => Box::pin(command.run(session)).await,
            Self::Replace(command) => Box::pin(command.run(session)).await,
            Self::Idle => Box::pin(idle::run(session)).await,
            Self::Notify(command) => Box::pin(command.run(session)).await,
            Self::Expunge(command) => Box::pin(command.run(session, tag)).await,
            Self::Search(command) => Box::pin(command.run(session, tag)).await,
            Self::Esearch(command) => Box::pin(command.run(session, tag)).await,
            Self::CancelUpdate(command) => command.run(session),
            Self::Sort(command) => Box::pin(command.run(session, tag)).await,
            Self::Thread(command) => Box::pin(command.run(session, tag)).await,
            Self::Fetch(command) => Box::pin(command.run(session)).await,
            Self::Store(command) => Box::pin(command.run(session, tag)).await,
            Self::CopyMove(command) => Box::pin(command.run(session, tag)).await,
            Self::Compress(command) => Box::pin(command.run(session, tag)).await,
            Self::Unauthenticate => Box::pin(unauthenticate::run(session, tag)).await,
        }
    }
}

fn asked(by: By) -> Step {
    match by {
        By::Number => Step::HeldAsked,
        By::Uid => Step::Asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Frame, Framer};

    /// One well-formed line of each command, and more of those with much grammar.
    const LINES: &[&str] = &[
        "a CAPABILITY",
        "a ID (\"name\" \"x\" \"os\" NIL)",
        "a ENABLE CONDSTORE UTF8=ACCEPT",
        "a LOGIN {5+}\r\nalice \"sec\\\"ret\"",
        "a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==",
        "a SELECT \"My &- Box\"",
        "a SELECT INBOX (CONDSTORE QRESYNC (67890007 90060115194045000 1:29997 (5000,7500 15000,22500)))",
        "a UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345 VANISHED PARTIAL -1:-30)",
        "a UID STORE 6,4 (UNCHANGEDSINCE 12121230045) +FLAGS.SILENT (\\Deleted)",
        "a RENAME a/b c",
        "a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (% *x) RETURN (CHILDREN STATUS (MESSAGES UNSEEN))",
        "a LSUB \"\" %",
        "a STATUS INBOX (MESSAGES UIDNEXT DELETED DELETED-STORAGE SIZE HIGHESTMODSEQ MAILBOXID APPENDLIMIT)",
        "a CREATE Old (USE (\\Archive \\Sent))",
        "a GETMETADATA (MAXSIZE 1024 DEPTH infinity) INBOX (/shared/comment /private/vendor/x)",
        "a SETMETADATA INBOX (/private/comment {3+}\r\nabc /shared/x ~{1+}\r\n\0 /private/y NIL)",
        "a LIST \"\" % RETURN (METADATA (/private/color \"/shared/x\") SPECIAL-USE)",
        "a GETQUOTA \"\"",
        "a GETQUOTAROOT INBOX",
        "a SETQUOTA \"\" (STORAGE 512)",
        "a UID SEARCH OR EMAILID M1 THREADID T-_2",
        "a SETACL INBOX bob@satchel.test +lrs",
        "a LISTRIGHTS {5+}\r\nINBOX \"bob\"",
        "a APPEND INBOX (\\Seen $x) \"17-Jul-1996 02:44:25 -0700\" {3+}\r\nabc",
        "a APPEND INBOX {1+}\r\na (\\Draft) ~{2+}\r\nbc",
        "a FETCH 1 (BINARY.PEEK[1.2]<0.9> BINARY.SIZE[3] BINARY[])",
        "a APPEND x CATENATE (TEXT {1+}\r\na URL /x/;UID=1/;SECTION=1) (\\Seen) {1+}\r\nb",
        "a UID REPLACE 4 Drafts (\\Draft) {3+}\r\nabc",
        "a UID FETCH 1:*,7,9:3 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (From {2+}\r\nTo)]<0.100> ENVELOPE)",
        "a FETCH 1 FULL",
        "a STORE 1:4,* +FLAGS.SILENT (\\Deleted $Junk)",
        "a UID SEARCH CHARSET UTF-8 OR (FROM \"x\" NOT SEEN) HEADER Message-ID {3+}\r\n<a> SENTSINCE 1-Feb-1994 1:*",
        "a UID SEARCH RETURN (MIN MAX COUNT SAVE PARTIAL -1:-9) OLDER 60 MODSEQ \"/flags/\\\\seen\" all 7 $",
        "a UID SORT RETURN (ALL) (REVERSE DATE SUBJECT DISPLAYFROM) UTF-8 UNSEEN",
        "a ESEARCH IN (mailboxes (a \"b c\") subtree-one x personal) RETURN (COUNT) CHARSET UTF-8 SUBJECT x",
        "a CANCELUPDATE \"b\" \"c\"",
        "a THREAD REFERENCES UTF-8 UNDELETED",
        "a UID MOVE 1:3 Trash",
        "a UID EXPUNGE 5:9",
        "a IDLE",
        "a NOTIFY NONE",
        "a NOTIFY SET STATUS (selected-delayed (MessageNew (UID BODY.PEEK[HEADER]) MessageExpunge FlagChange)) (subtree \
         (a {1+}\r\nb) (MailboxName SubscriptionChange)) (personal NONE)",
        "a COMPRESS DEFLATE",
        "a UNAUTHENTICATE",
    ];

    /// SplitMix64: the same octets in every run.
    struct Chance(u64);

    impl Chance {
        fn next(&mut self) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) as usize
        }
    }

    #[test]
    fn every_sample_is_understood() {
        for line in LINES {
            assert!(parse(line.as_bytes()).is_ok(), "{line}: {:?}", parse(line.as_bytes()));
        }
    }

    /// Octets that mean something to the grammar.
    const ODD: &[u8] = b" (){}[]<>\"\\*%,:.-+\r\n\0\xff0aA";

    #[test]
    fn changed_lines_never_panic() {
        let mut chance = Chance(1);
        for round in 0..40_000 {
            let mut line = LINES[round % LINES.len()].as_bytes().to_vec();
            for _ in 0..=chance.next() % 4 {
                let at = chance.next() % (line.len() + 1);
                match chance.next() % 5 {
                    0 => line.truncate(at),
                    1 => line.insert(at, (chance.next() % 256) as u8),
                    2 if at < line.len() => line[at] = ODD[chance.next() % ODD.len()],
                    3 if at < line.len() => drop(line.remove(at)),
                    _ => {
                        let other = LINES[chance.next() % LINES.len()].as_bytes();
                        line.extend_from_slice(&other[chance.next() % other.len()..]);
                    }
                }
            }
            let _ = (tag_of(&line), parse(&line), destination(&line, crate::name::Spelling::ModifiedUtf7));
        }
    }

    #[test]
    fn random_octets_never_panic_the_framer_and_never_grow_it() {
        let mut chance = Chance(2);
        for _ in 0..300 {
            let mut framer = Framer::new();
            for _ in 0..50 {
                let pieces: [&[u8]; 8] =
                    [b"a ", b"{", b"17", b"+}", b"}", b"\r\n", b"xyz\"(", b"{99999999999999999999+}\r\n"];
                for _ in 0..chance.next() % 9 {
                    framer.input().extend_from_slice(pieces[chance.next() % pieces.len()]);
                }
                for _ in 0..1000 {
                    match framer.poll() {
                        Frame::More | Frame::Lost => break,
                        Frame::Literal(literal) if literal.size > 1000 && literal.synchronising => {
                            framer.refuse_literal()
                        }
                        Frame::Literal(literal) if literal.size > 1000 => framer.skip_literal(),
                        Frame::Literal(_) => framer.accept_literal(),
                        Frame::Command | Frame::Refused => {
                            let _ = (tag_of(framer.command()), parse(framer.command()));
                            framer.next();
                        }
                    }
                }
            }
        }
    }
}
