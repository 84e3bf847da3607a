//! LIST (RFC 3501 §6.3.8), extended (RFC 5258, SPECIAL-USE: RFC 6154, STATUS: RFC 5819), XLIST, LSUB.

use std::collections::{BTreeMap, HashMap};

use lnmp::Place;
use store::{Mailbox, MailboxId, MailboxStatus, Rights, SpecialUse};

use crate::command::metadata::{self, Wanted};
use crate::command::special_use;
use crate::command::status::{Item, parse_items, write_status};
use crate::limits::LIST_PATTERNS_MAX;
use crate::name::{Pattern, SEPARATOR, Spelling, ancestors, write_name};
use crate::reply::{Run, Stop, Tagged};
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed};

/// Which word the lines begin with. XLIST (of Google, for Outlook 2013) has `\Inbox` more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    List,
    Xlist,
}

/// LIST.
#[derive(Debug)]
pub(crate) struct List {
    answer: Answer,
    reference: Vec<u8>,
    patterns: Vec<Vec<u8>>,
    selection: Selection,
    returns: Returns,
}

/// Which mailboxes are listed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Selection {
    /// Whether any option, or more than one pattern, was given.
    extended: bool,
    subscribed: bool,
    special_use: bool,
    recursive: bool,
}

/// What is told of them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Returns {
    subscribed: bool,
    status: Vec<Item>,
    /// RFC 9590
    metadata: Option<Wanted>,
}

/// LSUB.
#[derive(Debug)]
pub(crate) struct Lsub {
    reference: Vec<u8>,
    pattern: Vec<u8>,
}

const UNKNOWN_OPTION: Bad = Bad::new("Unknown LIST option");

/// Options in one list, each once at most.
const OPTIONS_MAX: usize = 20;

impl List {
    pub(super) fn parse(cursor: &mut Cursor<'_>, answer: Answer) -> Parsed<Self> {
        cursor.space()?;
        let mut selection = Selection::default();
        if cursor.peek() == Some(b'(') {
            selection.parse(cursor)?;
            cursor.space()?;
        }
        let reference = cursor.astring()?.into_owned();
        cursor.space()?;
        let patterns = if cursor.peek() == Some(b'(') {
            selection.extended = true;
            cursor.list(LIST_PATTERNS_MAX, "Too many patterns", |cursor| Ok(cursor.list_mailbox()?.into_owned()))?
        } else {
            vec![cursor.list_mailbox()?.into_owned()]
        };
        let mut returns = Returns::default();
        if !cursor.is_at_end() {
            cursor.space()?;
            if !cursor.is_at_end() {
                if !cursor.take_word("RETURN ") {
                    return Err(Bad::new("Expected RETURN"));
                }
                selection.extended = true;
                returns.parse(cursor)?;
            }
        }
        Ok(Self { answer, reference, patterns, selection, returns })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let word = match self.answer {
            Answer::List => "LIST",
            Answer::Xlist => "XLIST",
        };
        let done = match self.answer {
            Answer::List => "LIST completed",
            Answer::Xlist => "XLIST completed",
        };
        if !self.selection.extended && self.patterns == [b""] {
            // RFC 3501 §6.3.8: an empty pattern asks for the separator and the root of the reference.
            session.io.out.extend_from_slice(format!("* {word} (\\Noselect) \"/\" \"\"\r\n").as_bytes());
            return Ok(Tagged::ok(done));
        }
        let spelling = session.spelling();
        let patterns = compile(&self.reference, &self.patterns, spelling)?;
        let account = session.account()?;
        let store = session.shared.store.clone();
        let tree = Tree::read(session).await?;
        let listed: Vec<(&String, &Node)> =
            tree.0.iter().filter(|(name, node)| self.lists(&tree, &patterns, name, node)).collect();
        let counts = if self.returns.status.is_empty() {
            HashMap::new()
        } else {
            let ids: Vec<MailboxId> =
                listed.iter().filter_map(|(_, node)| node.mailbox.as_ref().map(|m| m.id)).collect();
            store.status(account, &ids).await?.into_iter().map(|status| (status.id, status)).collect()
        };
        let mut longest = None;
        for (name, node) in inbox_first(listed) {
            let attributes = self.attributes(&tree, name, node);
            let recursive = self.selection.recursive && tree.has_hidden_subscription(name, &patterns);
            let extended = if recursive { " (\"CHILDINFO\" (\"SUBSCRIBED\"))" } else { "" };
            write_line(&mut session.io.out, word, &attributes, name, extended, spelling);
            if let Some(mailbox) = &node.mailbox {
                self.write_status(session, account, mailbox, &counts);
                if let Some(wanted) = &self.returns.metadata {
                    let all = metadata::of_mailbox(session, mailbox).await?;
                    wanted.write(&mut session.io.out, &mailbox.name, spelling, &all, &mut longest);
                }
            }
            session.io.relieve().await?;
        }
        Ok(metadata::done(done, longest))
    }

    fn write_status(
        &self,
        session: &mut Session,
        account: store::AccountId,
        mailbox: &Mailbox,
        counts: &HashMap<MailboxId, MailboxStatus>,
    ) {
        if let Some(status) = counts.get(&mailbox.id) {
            write_status(session, account, &mailbox.name, &self.returns.status, status);
        }
    }

    fn lists(&self, tree: &Tree, patterns: &[Pattern], name: &str, node: &Node) -> bool {
        if !patterns.iter().any(|pattern| pattern.matches(name)) {
            return false;
        }
        let Selection { subscribed, special_use, recursive, .. } = self.selection;
        if special_use && node.special_use().is_empty() {
            return false;
        }
        if subscribed {
            return node.subscribed || recursive && tree.has_hidden_subscription(name, patterns);
        }
        // A name that only a subscription remembers is no mailbox.
        node.mailbox.is_some() || tree.has_children(name)
    }

    fn attributes(&self, tree: &Tree, name: &str, node: &Node) -> Vec<&'static str> {
        let mut attributes = Vec::new();
        if node.mailbox.is_none() {
            // RFC 5258 §3: \NonExistent implies \Noselect; a client of RFC 3501 knows only the latter.
            attributes.push(if self.selection.extended { "\\NonExistent" } else { "\\Noselect" });
        }
        if node.subscribed && (self.selection.subscribed || self.returns.subscribed) {
            attributes.push("\\Subscribed");
        }
        attributes.push(if tree.has_children(name) { "\\HasChildren" } else { "\\HasNoChildren" });
        if self.answer == Answer::Xlist && name == "INBOX" {
            attributes.push("\\Inbox");
        }
        // Also in a plain LIST (mail.md quirk 1).
        attributes.extend(node.special_use());
        attributes
    }
}

impl Selection {
    fn parse(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        self.extended = true;
        let mut base = false;
        cursor.list(OPTIONS_MAX, "Too many LIST options", |cursor| {
            match cursor.atom("Invalid LIST option")?.to_ascii_uppercase().as_str() {
                "SUBSCRIBED" => (self.subscribed, base) = (true, true),
                "SPECIAL-USE" => (self.special_use, base) = (true, true),
                "RECURSIVEMATCH" => self.recursive = true,
                // Everything here is on this server.
                "REMOTE" => {}
                _ => return Err(UNKNOWN_OPTION),
            }
            Ok(())
        })?;
        // RFC 5258 §3.1: RECURSIVEMATCH alone, or with REMOTE alone, is a syntax error.
        if self.recursive && !base { Err(Bad::new("RECURSIVEMATCH needs another option")) } else { Ok(()) }
    }
}

impl Returns {
    fn parse(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        cursor
            .list(OPTIONS_MAX, "Too many LIST options", |cursor| {
                match cursor.atom("Invalid LIST option")?.to_ascii_uppercase().as_str() {
                    "SUBSCRIBED" => self.subscribed = true,
                    // Always told.
                    "CHILDREN" | "SPECIAL-USE" => {}
                    "STATUS" => {
                        cursor.space()?;
                        self.status = parse_items(cursor)?;
                    }
                    "METADATA" => {
                        cursor.space()?;
                        self.metadata = Some(Wanted::parse_in_list(cursor)?);
                    }
                    _ => return Err(UNKNOWN_OPTION),
                }
                Ok(())
            })
            .map(drop)
    }
}

impl Lsub {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let reference = cursor.astring()?.into_owned();
        cursor.space()?;
        Ok(Self { reference, pattern: cursor.list_mailbox()?.into_owned() })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        if self.pattern.is_empty() {
            session.io.out.extend_from_slice(b"* LSUB (\\Noselect) \"/\" \"\"\r\n");
            return Ok(Tagged::ok("LSUB completed"));
        }
        let ends_at_level = self.pattern.ends_with(b"%");
        let spelling = session.spelling();
        let patterns = compile(&self.reference, &[self.pattern], spelling)?;
        let tree = Tree::read(session).await?;
        let mut lines: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
        for (name, node) in tree.0.iter().filter(|(_, node)| node.subscribed) {
            if patterns[0].matches(name) {
                let selectable = node.mailbox.is_some();
                let mut attributes: Vec<&str> = if selectable { Vec::new() } else { vec!["\\Noselect"] };
                attributes.extend(node.special_use());
                lines.insert(name, attributes);
            } else if ends_at_level {
                // RFC 3501 §6.3.9: `%` names the parent of a subscribed mailbox it does not reach.
                for above in ancestors(name).filter(|above| patterns[0].matches(above)) {
                    if !tree.0.get(above).is_some_and(|node| node.subscribed) {
                        lines.entry(above).or_insert_with(|| vec!["\\Noselect"]);
                    }
                }
            }
        }
        for (name, attributes) in inbox_first(lines.iter().collect()) {
            write_line(&mut session.io.out, "LSUB", attributes, name, "", spelling);
            session.io.relieve().await?;
        }
        Ok(Tagged::ok("LSUB completed"))
    }
}

fn compile(reference: &[u8], patterns: &[Vec<u8>], spelling: Spelling) -> Result<Vec<Pattern>, Stop> {
    let compiled: Option<Vec<_>> = patterns.iter().map(|pattern| Pattern::new(reference, pattern, spelling)).collect();
    compiled.ok_or_else(|| Tagged::no("[LIMIT] Pattern is too long or has too many wildcards").into())
}

/// Names in order, INBOX before all others.
fn inbox_first<N: AsRef<str>, T>(mut lines: Vec<(N, T)>) -> Vec<(N, T)> {
    lines.sort_by_key(|(name, _)| name.as_ref() != "INBOX");
    lines
}

pub(super) fn write_line(
    out: &mut Vec<u8>,
    word: &str,
    attributes: &[&str],
    name: &str,
    extended: &str,
    spelling: Spelling,
) {
    out.extend_from_slice(format!("* {word} ({}) \"/\" ", attributes.join(" ")).as_bytes());
    write_name(out, name, spelling);
    out.extend_from_slice(extended.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What there is under a name.
#[derive(Debug, Default)]
struct Node {
    mailbox: Option<Mailbox>,
    subscribed: bool,
}

impl Node {
    /// RFC 6154 §2.
    fn special_use(&self) -> Vec<&'static str> {
        self.mailbox.as_ref().map(special_use::names).unwrap_or_default()
    }
}

/// Every name: mailboxes, subscriptions, and what lies above them.
#[derive(Debug)]
struct Tree(BTreeMap<String, Node>);

impl Tree {
    async fn read(session: &Session) -> Result<Self, Stop> {
        let account = session.account()?;
        let store = &session.shared.store;
        let mailboxes = store.mailboxes(account).await?;
        let subscriptions = store.subscriptions(account).await?;
        // RFC 4314 §4: LIST needs the right `l`, and is silent without it. Another's Trash is no Trash of ours.
        let shared =
            session.shared_mailboxes().await?.into_iter().filter(|found| found.rights.contains(Rights::LOOKUP));
        let shared = shared.map(|found| Mailbox { place: Place::Own, special_use: SpecialUse::NONE, ..found.mailbox });
        Ok(Self::new(mailboxes.into_iter().chain(shared).collect(), subscriptions))
    }

    fn new(mailboxes: Vec<Mailbox>, subscriptions: Vec<String>) -> Self {
        let mut names: BTreeMap<String, Node> = BTreeMap::new();
        for mailbox in mailboxes {
            for above in ancestors(&mailbox.name) {
                names.entry(above.to_owned()).or_default();
            }
            let name = mailbox.name.clone();
            names.entry(name).or_default().mailbox = Some(mailbox);
        }
        for name in subscriptions {
            // RFC 5258 §3.5: RECURSIVEMATCH names what is above a subscription, mailbox or not.
            for above in ancestors(&name) {
                names.entry(above.to_owned()).or_default();
            }
            names.entry(name).or_default().subscribed = true;
        }
        Self(names)
    }

    fn below<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a String, &'a Node)> {
        let prefix = format!("{name}{SEPARATOR}");
        let start = prefix.clone();
        self.0.range(start..).take_while(move |(below, _)| below.starts_with(&prefix))
    }

    fn has_children(&self, name: &str) -> bool {
        self.below(name).any(|(_, node)| node.mailbox.is_some())
    }

    /// RFC 5258 §3.5: whether something below is subscribed that the patterns do not show by itself.
    fn has_hidden_subscription(&self, name: &str, patterns: &[Pattern]) -> bool {
        let shown = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
        self.below(name).any(|(below, node)| node.subscribed && !shown(below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Parsed<List> {
        let mut cursor = Cursor::new(text.as_bytes());
        let list = List::parse(&mut cursor, Answer::List)?;
        cursor.end()?;
        Ok(list)
    }

    #[test]
    fn the_list_of_thunderbird_and_k9_is_understood() {
        let text = " (SUBSCRIBED) \"\" \"*\" RETURN (CHILDREN SPECIAL-USE STATUS (MESSAGES UNSEEN))";
        let list = list(text).unwrap();
        assert!(list.selection.subscribed && list.selection.extended);
        assert_eq!(list.returns.status, [Item::Messages, Item::Unseen]);
        assert_eq!(list.patterns, [b"*"]);
    }

    #[test]
    fn options_that_make_no_sense_are_bad() {
        for text in [
            " (imaptest) \"\" \"\"",
            " (recursivematch) \"\" \"\"",
            " (recursivematch remote) \"\" \"\"",
            " \"\" \"\" return (imaptest)",
            " \"\"",
            " \"\" * foo",
            " (subscribed \"\" *",
        ] {
            assert!(list(text).is_err(), "{text}");
        }
        assert!(list(" (remote) \"\" %").is_ok() && list(" (subscribed recursivematch) \"\" *").is_ok());
    }
}
