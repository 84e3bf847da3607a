//! LIST (RFC 3501 §6.3.8), extended (RFC 5258, SPECIAL-USE: RFC 6154, STATUS: RFC 5819), XLIST, LSUB.
//!
//! `tree` is what there is, `told` what IMAP4rev2 tells unasked.

pub(super) mod told;
mod tree;

pub(super) use tree::Tree;

use std::collections::{BTreeMap, HashMap};

use store::MailboxId;

use crate::command::list::tree::Node;
use crate::command::metadata::{self, Wanted};
use crate::command::status::{Item, parse_items, write_status};
use crate::limits::LIST_PATTERNS_MAX;
use crate::name::{Pattern, Spelling, ancestors, write_name};
use crate::reply::{Run, Tagged};
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
        let patterns = compile(&self.reference, &self.patterns, spelling);
        let account = session.account()?;
        let store = session.shared.store.clone();
        let tree = Tree::read(session).await?;
        let listed: Vec<(&String, &Node)> =
            tree.0.iter().filter(|(name, node)| self.lists(&tree, &patterns, name, node)).collect();
        let counts = if self.returns.status.is_empty() {
            HashMap::new()
        } else {
            let ids: Vec<MailboxId> =
                listed.iter().filter_map(|(_, node)| node.found.as_ref().map(|found| found.mailbox.id)).collect();
            store.status(account, &ids).await?.into_iter().map(|status| (status.id, status)).collect()
        };
        let mut longest = None;
        for (name, node) in inbox_first(listed) {
            let attributes = self.attributes(&tree, name, node);
            let recursive = self.selection.recursive && self.hides(&tree, &patterns, name);
            let extended = if recursive { self.selection.child_info() } else { String::new() };
            write_line(&mut session.io.out, word, &attributes, name, &extended, spelling);
            if let Some(found) = &node.found {
                // RFC 5819 §2: not of what is named only for something below it.
                if let Some(status) = counts.get(&found.mailbox.id).filter(|_| self.selection.selected(node)) {
                    write_status(session, found.owner, &found.mailbox.name, &self.returns.status, status);
                }
                if let Some(wanted) = &self.returns.metadata
                    && let Some(all) = metadata::of_listed(session, found).await?
                {
                    wanted.write(&mut session.io.out, &found.mailbox.name, spelling, &all, &mut longest);
                }
            }
            session.io.relieve().await?;
        }
        if patterns.len() < self.patterns.len() {
            return Ok(Tagged::ok(format!("{done}; patterns too long or with too many wildcards are passed over")));
        }
        Ok(metadata::done(done, longest))
    }

    fn lists(&self, tree: &Tree, patterns: &[Pattern], name: &str, node: &Node) -> bool {
        if !patterns.iter().any(|pattern| pattern.matches(name)) {
            return false;
        }
        if self.selection.selects() {
            return self.selection.selected(node) || self.selection.recursive && self.hides(tree, patterns, name);
        }
        // A name that only a subscription remembers is no mailbox.
        node.found.is_some() || tree.has_children(name)
    }

    /// RFC 5258 §3.5: whether something below is selected that the patterns do not show by itself.
    fn hides(&self, tree: &Tree, patterns: &[Pattern], name: &str) -> bool {
        let shown = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
        tree.below(name).any(|(below, node)| self.selection.selected(node) && !shown(below))
    }

    fn attributes(&self, tree: &Tree, name: &str, node: &Node) -> Vec<&'static str> {
        // RFC 5258 §3: \NonExistent implies \Noselect; a client of RFC 3501 knows only the latter.
        let absent = if self.selection.extended { "\\NonExistent" } else { "\\Noselect" };
        let mut attributes = tree.attributes(name, absent, self.selection.subscribed || self.returns.subscribed);
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

    /// Whether only some are listed.
    fn selects(&self) -> bool {
        self.subscribed || self.special_use
    }

    /// RFC 5258 §3: options are cumulative.
    fn selected(&self, node: &Node) -> bool {
        (!self.subscribed || node.subscribed) && (!self.special_use || !node.special_use().is_empty())
    }

    /// RFC 5258 §3.5: which criteria something below meets.
    fn child_info(&self) -> String {
        let met = [(self.subscribed, "\"SUBSCRIBED\""), (self.special_use, "\"SPECIAL-USE\"")];
        let met: Vec<&str> = met.into_iter().filter(|(is_met, _)| *is_met).map(|(_, name)| name).collect();
        format!(" (\"CHILDINFO\" ({}))", met.join(" "))
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
        let Some(pattern) = Pattern::new(&self.reference, &self.pattern, spelling) else {
            return Ok(Tagged::ok("LSUB completed; the pattern is too long or has too many wildcards"));
        };
        let tree = Tree::read(session).await?;
        let mut lines: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
        for (name, node) in tree.0.iter().filter(|(_, node)| node.subscribed) {
            if pattern.matches(name) {
                let selectable = node.found.is_some();
                let mut attributes: Vec<&str> = if selectable { Vec::new() } else { vec!["\\Noselect"] };
                attributes.extend(node.special_use());
                lines.insert(name, attributes);
            } else if ends_at_level {
                // RFC 3501 §6.3.9: `%` names the parent of a subscribed mailbox it does not reach.
                for above in ancestors(name).filter(|above| pattern.matches(above)) {
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

/// RFC 5258 §3: a pattern that is not accepted names nothing, and the command succeeds.
fn compile(reference: &[u8], patterns: &[Vec<u8>], spelling: Spelling) -> Vec<Pattern> {
    patterns.iter().filter_map(|pattern| Pattern::new(reference, pattern, spelling)).collect()
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
