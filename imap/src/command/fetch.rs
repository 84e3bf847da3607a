//! FETCH (RFC 3501 §6.4.5): what is asked for, and how it is gathered and shown.

mod attributes;
mod binary;
mod decode;
mod global;
mod item;
mod modifiers;

pub(crate) use attributes::Attributes;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use converter::{Pick, SectionKind, Summary, header_fields};
use store::{FlagChange, FlagMode, Flags, FlagsSet, MessageId, ModSeq, StoreError, Uid};

use crate::command::fetch::binary::{Prepared, Unreadable};
use crate::command::fetch::item::{Item, Need, Section, SectionText};
use crate::command::fetch::modifiers::Modifiers;
use crate::limits::SUMMARY_BATCH;
use crate::mail::{Feed, Mail, MailError, read_one};
use crate::message_limit::{self, Partial};
use crate::object_id;
use crate::reply::{End, Run, Stop, Tagged};
use crate::selected::{By, write_modseq_item};
use crate::session::Session;
use crate::snapshot::Row;
use crate::wire::date::DateTimeZone;
use crate::wire::{Bad, Cursor, Parsed, SequenceSet, date, write};

/// FETCH.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(super) by: By,
    set: SequenceSet,
    items: Vec<Item>,
    modifiers: Modifiers,
    /// The UID is shown because the command is UID FETCH, not because it was asked for.
    implied_uid: bool,
}

/// What has been found out while answering.
#[derive(Debug, Default)]
struct Outcome {
    /// A message's content is not there any more.
    gone: bool,
    /// A message's attachment cannot be read.
    unreadable: bool,
    /// A part has a transfer encoding nobody knows here.
    unknown_encoding: bool,
}

impl Fetch {
    pub(super) fn parse(cursor: &mut Cursor<'_>, by: By) -> Parsed<Self> {
        cursor.space()?;
        let set = SequenceSet::parse(cursor)?;
        cursor.space()?;
        let mut items = item::parse_items(cursor)?;
        // RFC 3501 §6.4.8: UID FETCH always answers with the UID.
        let implied_uid = by == By::Uid && !items.contains(&Item::Uid);
        if implied_uid {
            items.insert(0, Item::Uid);
        }
        let modifiers = Modifiers::parse(cursor, by)?;
        // RFC 7162 §3.1.4.1
        if modifiers.changed_since.is_some() && !items.contains(&Item::ModSeq) {
            items.push(Item::ModSeq);
        }
        Ok(Self { by, set, items, modifiers, implied_uid })
    }

    /// Whether modification sequences are asked for (RFC 7162 §3.1).
    pub(super) fn asks_modseq(&self) -> bool {
        self.items.contains(&Item::ModSeq)
    }

    /// Whether it may set `\Seen`.
    pub(super) fn sets_seen(&self) -> bool {
        self.items.iter().any(Item::sets_seen)
    }

    pub(super) async fn run(mut self, session: &mut Session) -> Run {
        if self.modifiers.vanished && !session.enabled.qresync {
            // RFC 7162 §3.2.6
            return Err(Bad::new("VANISHED needs ENABLE QRESYNC first").into());
        }
        if session.enabled.uid_only && self.implied_uid {
            // RFC 9586 §3: UIDFETCH begins with it.
            self.items.remove(0);
        }
        let selected = session.selected()?;
        let limit = session.shared.message_limit;
        let mut indexes = selected.resolve(&self.set, self.by).ok_or(Bad::new("Message number does not exist"))?;
        // RFC 9394 §3.4: first the part, then what of it changed.
        if let Some(partial) = self.modifiers.partial {
            indexes = indexes[partial.of(indexes.len())].to_vec();
            // RFC 9738 §3.1: a client that names its window knows what to change.
            if indexes.len() > limit {
                return Ok(message_limit::too_many(limit));
            }
        }
        if let Some(since) = self.modifiers.changed_since {
            indexes.retain(|&index| selected.snapshot.rows[index].modseq.0 > since);
            if self.modifiers.vanished {
                self.tell_vanished(session, since).await?;
            }
        }
        let rows = &session.selected()?.snapshot.rows;
        let left = Partial::of(limit, &mut indexes, |&index| rows[index].uid);
        let newly_seen = self.set_seen(session, &indexes).await?;
        if left.is_some() {
            // RFC 9738 §3.1: from the highest UID to the lowest.
            indexes.reverse();
        }
        let done = match self.show(session, &indexes, &newly_seen).await? {
            // RFC 3516 §4.3: the command fails; what could be decoded was shown.
            Outcome { unknown_encoding: true, .. } => {
                Tagged::no("[UNKNOWN-CTE] Some parts have a transfer encoding that is not known here")
            }
            Outcome { unreadable: true, .. } => Tagged::no("[UNAVAILABLE] Some attachments cannot be read now"),
            // RFC 2180 §4.1.2
            Outcome { gone: true, .. } => Tagged::no("[EXPUNGEISSUED] Some messages are gone"),
            Outcome { .. } => Tagged::ok("FETCH completed"),
        };
        Ok(match left {
            Some(left) => left.told(session, done),
            None => done,
        })
    }

    /// Writes a response for each message.
    async fn show(&self, session: &mut Session, indexes: &[usize], newly_seen: &[u32]) -> Result<Outcome, Stop> {
        let need = self.items.iter().map(Item::need).max().unwrap_or(Need::Row);
        let mut outcome = Outcome::default();
        match need {
            Need::Row => self.answer_from_rows(session, indexes, newly_seen).await?,
            Need::Summary => self.answer_from_summaries(session, indexes, newly_seen, &mut outcome).await?,
            Need::Content => self.answer_from_contents(session, indexes, newly_seen, &mut outcome).await?,
        }
        Ok(outcome)
    }

    /// RFC 7162 §3.2.6: before any FETCH response.
    async fn tell_vanished(&self, session: &mut Session, since: u64) -> Result<(), Stop> {
        let account = session.account()?;
        let mailbox = session.selected()?.mailbox;
        let changes = session.shared.store.clone().changes(account, mailbox, ModSeq(since)).await?;
        let Session { io, selected: Some(selected), .. } = session else { return Ok(()) };
        // `*` reaches what was the last message when it vanished.
        let ranges = if self.set.is_saved() {
            selected.saved.clone()
        } else {
            self.set.resolve(changes.uid_next.get().max(selected.snapshot.uid_next) - 1)
        };
        selected.write_vanished_earlier(&changes.vanished, &ranges, 0, &mut io.out);
        Ok(())
    }

    /// Sets `\Seen` where a body is read; returns the UIDs it was set on.
    async fn set_seen(&self, session: &mut Session, indexes: &[usize]) -> Result<Vec<u32>, Stop> {
        if !self.sets_seen() {
            return Ok(Vec::new());
        }
        let selected = session.selected()?;
        // RFC 4314 §4: without the right `s` reading leaves no trace.
        if selected.read_only || !selected.may_change(Flags::SEEN) {
            return Ok(Vec::new());
        }
        let rows = &selected.snapshot.rows;
        let unseen =
            indexes.iter().map(|&index| &rows[index]).filter(|row| !row.flags.contains(Flags::SEEN) && !row.gone);
        let uids: Vec<Uid> = unseen.filter_map(|row| Uid::new(row.uid)).collect();
        if uids.is_empty() {
            return Ok(Vec::new());
        }
        let change = FlagChange {
            mailbox: selected.mailbox,
            uids,
            mode: FlagMode::Add,
            flags: Flags::SEEN,
            keywords: Vec::new(),
            unchanged_since: None,
        };
        let (account, now) = (session.account()?, (session.shared.now)());
        match session.shared.store.clone().set_flags(account, change, now).await {
            Ok(FlagsSet { entries, .. }) => {
                let Session { io, selected: Some(selected), .. } = session else { return Ok(Vec::new()) };
                selected.update(&entries, &mut io.out);
                Ok(entries.iter().map(|entry| entry.uid.get()).collect())
            }
            // Reading goes on when the disk is full.
            Err(error) if error.is_temporary() => Ok(Vec::new()),
            // The right was taken back since SELECT.
            Err(StoreError::Denied(_)) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    async fn answer_from_rows(&self, session: &mut Session, indexes: &[usize], newly_seen: &[u32]) -> Result<(), Stop> {
        for &index in indexes {
            let Some(row) = self.begin(session, index)? else { continue };
            for (at, item) in self.items.iter().enumerate() {
                separate(session, at);
                self.write_row_item(session, item, &row)?;
            }
            self.end(session, index, newly_seen)?;
            session.io.relieve().await?;
        }
        Ok(())
    }

    async fn answer_from_summaries(
        &self,
        session: &mut Session,
        indexes: &[usize],
        newly_seen: &[u32],
        outcome: &mut Outcome,
    ) -> Result<(), Stop> {
        for chunk in indexes.chunks(4 * SUMMARY_BATCH) {
            let summaries = summaries(session, chunk).await?;
            for (&index, summary) in chunk.iter().zip(summaries) {
                let Some(summary) = summary else {
                    outcome.gone = true;
                    continue;
                };
                if summary.header_truncated && self.items.iter().any(Item::reads_header) {
                    // The summary does not have all of a huge header.
                    self.answer_from_contents(session, &[index], newly_seen, outcome).await?;
                    continue;
                }
                let Some(row) = self.begin(session, index)? else { continue };
                for (at, item) in self.items.iter().enumerate() {
                    separate(session, at);
                    if !self.write_summary_item(session, item, &row, &summary) {
                        self.write_row_item(session, item, &row)?;
                    }
                }
                self.end(session, index, newly_seen)?;
                session.io.relieve().await?;
            }
        }
        Ok(())
    }

    async fn answer_from_contents(
        &self,
        session: &mut Session,
        indexes: &[usize],
        newly_seen: &[u32],
        outcome: &mut Outcome,
    ) -> Result<(), Stop> {
        let rows = &session.selected()?.snapshot.rows;
        let messages: Vec<(MessageId, u64)> =
            indexes.iter().map(|&index| (rows[index].message, rows[index].size)).collect();
        if let [(id, _)] = messages[..] {
            // One mail, perhaps the next piece of the one before.
            let mail = match &session.kept {
                Some((kept, mail)) if *kept == id => Some(mail.clone()),
                _ => {
                    let owner = session.reader()?;
                    let mail = read_one(&*session.shared.store, owner.account, &owner.opener, id).await?;
                    if let Some(mail) = &mail {
                        session.keep(id, mail);
                    }
                    mail
                }
            };
            let mails = mail.map(|mail| (id, mail)).into_iter().collect();
            return self.answer_from_batch(session, indexes, &mails, newly_seen, outcome).await;
        }
        let mut feed = {
            let owner = session.reader()?;
            Feed::start(session.shared.store.clone(), owner.clone(), &messages)
        };
        while let Some(batch) = feed.next().await {
            let (range, mails) = batch?;
            self.answer_from_batch(session, &indexes[range], &mails, newly_seen, outcome).await?;
        }
        Ok(())
    }

    async fn answer_from_batch(
        &self,
        session: &mut Session,
        indexes: &[usize],
        mails: &HashMap<MessageId, Arc<Mail>>,
        newly_seen: &[u32],
        outcome: &mut Outcome,
    ) -> Result<(), Stop> {
        let summaries = if self.items.iter().any(Item::wants_summary) {
            summaries(session, indexes).await?
        } else {
            vec![None; indexes.len()]
        };
        for (&index, summary) in indexes.iter().zip(summaries) {
            let message = session.selected()?.snapshot.rows.get(index).map(|row| row.message);
            let mail = message.and_then(|message| mails.get(&message));
            let missing = summary.is_none() && self.items.iter().any(Item::wants_summary);
            let Some(mail) = mail.filter(|_| !missing) else {
                outcome.gone = true;
                continue;
            };
            self.answer_from_content(session, index, mail, summary.as_deref(), newly_seen, outcome).await?;
            session.io.relieve().await?;
        }
        Ok(())
    }

    async fn answer_from_content(
        &self,
        session: &mut Session,
        index: usize,
        mail: &Mail,
        summary: Option<&Summary>,
        newly_seen: &[u32],
        outcome: &mut Outcome,
    ) -> Result<(), Stop> {
        let shelf = session.shared.shelf.clone();
        let sections = match self.gather(&*shelf, mail, summary).await {
            Ok(sections) => sections,
            Err(Unreadable::Encoding) => {
                outcome.unknown_encoding = true;
                return Ok(());
            }
            Err(Unreadable::Mail(error)) => {
                tracing::warn!(%error, "a section cannot be read");
                outcome.unreadable = true;
                return Ok(());
            }
        };
        let Some(row) = self.begin(session, index)? else { return Ok(()) };
        let mut sections = sections.into_iter();
        for (at, item) in self.items.iter().enumerate() {
            separate(session, at);
            let found = match item {
                Item::Section(section) => {
                    section.write_label(&mut session.io.out);
                    sections.next()
                }
                Item::Binary(binary) => {
                    binary.write_label(&mut session.io.out);
                    sections.next()
                }
                item => {
                    if !summary.is_some_and(|summary| self.write_summary_item(session, item, &row, summary)) {
                        self.write_row_item(session, item, &row)?;
                    }
                    continue;
                }
            };
            let written = match found {
                Some(Found::Range(range)) => {
                    write::literal_header(&mut session.io.out, range.end - range.start);
                    mail.write(&*shelf, range, &mut session.io).await
                }
                Some(Found::Binary(prepared)) => prepared.write(&*shelf, mail, &mut session.io).await,
                Some(Found::Octets(octets)) => {
                    write::literal(&mut session.io.out, &octets);
                    Ok(())
                }
                Some(Found::Nothing) | None => {
                    session.io.out.extend_from_slice(b"NIL");
                    Ok(())
                }
            };
            if let Err(error) = written {
                // Fewer octets than the literal announces: only closing tells the client so.
                tracing::error!(%error, "a literal was broken off");
                return Err(End::Io(std::io::Error::other(error)).into());
            }
        }
        self.end(session, index, newly_seen)
    }

    /// What each section and part asked for comes to, in the order of the items.
    async fn gather(
        &self,
        shelf: &dyn attachments::Shelf,
        mail: &Mail,
        summary: Option<&Summary>,
    ) -> Result<Vec<Found>, Unreadable> {
        let mut found = Vec::new();
        for item in &self.items {
            match (item, summary) {
                (Item::Section(section), _) => found.push(Self::section(shelf, mail, summary, section).await?),
                (Item::Binary(binary), Some(summary)) => {
                    found.push(Found::Binary(binary.prepare(shelf, mail, summary).await?));
                }
                (Item::Binary(_), None) => found.push(Found::Nothing),
                _ => {}
            }
        }
        Ok(found)
    }

    /// Where a section's octets are, partial applied.
    async fn section(
        shelf: &dyn attachments::Shelf,
        mail: &Mail,
        summary: Option<&Summary>,
        section: &Section,
    ) -> Result<Found, MailError> {
        let kind = match &section.text {
            SectionText::Whole => SectionKind::Whole,
            SectionText::Header | SectionText::Fields { .. } => SectionKind::Header,
            SectionText::Text => SectionKind::Text,
            SectionText::Mime => SectionKind::Mime,
        };
        let range = match summary {
            None if section.is_whole_mail() => Some(0..mail.layout.size()),
            None => None,
            Some(summary) => summary.section(&section.path, kind),
        };
        // A summary of another mail would be our bug; its ranges must not break the framing.
        let Some(range) = range.filter(|range| range.start <= range.end && range.end <= mail.layout.size()) else {
            return Ok(Found::Nothing);
        };
        if let SectionText::Fields { names, pick } = &section.text {
            let end = range.end.min(range.start + item::HEADER_READ_BYTES_MAX);
            let header = mail.read(shelf, range.start..end).await?;
            let fields = header_fields(&header, names, *pick);
            return Ok(Found::Octets(section.cut(&fields).to_vec()));
        }
        let range = section.cut_range(range);
        mail.check(shelf, range.clone()).await?;
        Ok(Found::Range(range))
    }

    /// `* n FETCH (`
    fn begin(&self, session: &mut Session, index: usize) -> Result<Option<Row>, Stop> {
        let Some(row) = session.selected()?.snapshot.rows.get(index).copied() else { return Ok(None) };
        let Session { io, selected: Some(selected), .. } = session else { return Ok(None) };
        selected.begin_fetch(index, &mut io.out);
        Ok(Some(row))
    }

    /// The flags where reading changed them (RFC 3501 §6.4.5), and the end.
    fn end(&self, session: &mut Session, index: usize, newly_seen: &[u32]) -> Result<(), Stop> {
        let Session { io, selected: Some(selected), .. } = session else { return Ok(()) };
        let row = &selected.snapshot.rows[index];
        if newly_seen.binary_search(&row.uid).is_ok() {
            if !self.items.contains(&Item::Flags) {
                io.out.push(b' ');
                selected.write_flags_item(row, &mut io.out);
            }
            // RFC 7162 §3.2.4
            let (condstore, uid_only) = (selected.enabled.condstore, selected.enabled.uid_only);
            if condstore && !uid_only && !self.items.contains(&Item::Uid) {
                io.out.extend_from_slice(b" UID ");
                write::number(&mut io.out, u64::from(row.uid));
            }
            if condstore && !self.asks_modseq() {
                io.out.push(b' ');
                write_modseq_item(row, &mut io.out);
            }
        }
        io.out.extend_from_slice(b")\r\n");
        Ok(())
    }

    fn write_row_item(&self, session: &mut Session, item: &Item, row: &Row) -> Result<(), Stop> {
        let Session { io, shared, selected: Some(selected), .. } = session else { return Ok(()) };
        let out = &mut io.out;
        match item {
            Item::Uid => {
                out.extend_from_slice(b"UID ");
                write::number(out, u64::from(row.uid));
            }
            Item::Flags => selected.write_flags_item(row, out),
            Item::InternalDate => {
                out.extend_from_slice(b"INTERNALDATE ");
                date::write_date_time(out, row.internal_date_time());
            }
            Item::SaveDate if row.saved_at == 0 => out.extend_from_slice(b"SAVEDATE NIL"),
            Item::SaveDate => {
                out.extend_from_slice(b"SAVEDATE ");
                date::write_date_time(out, DateTimeZone { ms: i64::from(row.saved_at) * 1000, zone: 0 });
            }
            Item::EmailId => {
                // RFC 8474 §5.1: the same for all who read it.
                let id = object_id::of_email(&*shared.store, selected.owner.account, row.message);
                out.extend_from_slice(format!("EMAILID ({id})").as_bytes());
            }
            Item::Size => {
                out.extend_from_slice(b"RFC822.SIZE ");
                write::number(out, row.size);
            }
            Item::ModSeq => write_modseq_item(row, out),
            Item::Envelope
            | Item::Body
            | Item::BodyStructure
            | Item::Preview
            | Item::ThreadId
            | Item::Section(_)
            | Item::Binary(_) => {
                // Written from summary or content, by whoever has it.
                return Err(Tagged::no("[SERVERBUG] Item was not prepared").into());
            }
        }
        Ok(())
    }

    /// Whether it was one that the summary answers.
    fn write_summary_item(&self, session: &mut Session, item: &Item, row: &Row, summary: &Summary) -> bool {
        let Session { io, shared, selected: Some(selected), .. } = session else { return false };
        let out = &mut io.out;
        let (name, octets) = match item {
            Item::Envelope => (&b"ENVELOPE "[..], &summary.envelope),
            Item::Body => (&b"BODY "[..], &summary.body),
            Item::BodyStructure => (&b"BODYSTRUCTURE "[..], &summary.bodystructure),
            Item::Preview => {
                out.extend_from_slice(b"PREVIEW ");
                match &summary.preview {
                    Some(preview) => write::string(out, preview.as_bytes()),
                    // Summarised before there were previews.
                    None => out.extend_from_slice(b"NIL"),
                }
                return true;
            }
            Item::ThreadId => {
                let id = object_id::of_thread(&*shared.store, selected.owner.account, row.message, summary);
                out.extend_from_slice(format!("THREADID ({id})").as_bytes());
                return true;
            }
            Item::Section(section) if section.is_top_header() => {
                section.write_label(out);
                match &section.text {
                    SectionText::Fields { names, pick } => {
                        write::literal(out, section.cut(&header_fields(&summary.header, names, *pick)));
                    }
                    _ => write::literal(out, section.cut(&summary.header)),
                }
                return true;
            }
            Item::Uid
            | Item::Flags
            | Item::InternalDate
            | Item::SaveDate
            | Item::Size
            | Item::ModSeq
            | Item::EmailId
            | Item::Section(_)
            | Item::Binary(_) => return false,
        };
        out.extend_from_slice(name);
        if selected.enabled.imap4rev2 || *item == Item::Envelope {
            out.extend_from_slice(octets);
        } else {
            out.extend_from_slice(&global::as_basic(octets));
        }
        true
    }
}

/// A section's octets.
enum Found {
    /// Of the mail.
    Range(Range<u64>),
    /// Decoded.
    Binary(Prepared),
    /// Made for the purpose.
    Octets(Vec<u8>),
    /// There is no such part.
    Nothing,
}

/// A part of a mail as a URL's `section` names it (RFC 5092 §3).
pub(super) struct Named(Found);

/// Finds a part; `section` is what would stand in `BODY[…]`. `None` when there is no such part.
pub(super) async fn named_part(
    shelf: &dyn attachments::Shelf,
    mail: &Mail,
    summary: &Summary,
    section: &[u8],
) -> Result<Option<Named>, MailError> {
    let Some(section) = item::section_of(section) else { return Ok(None) };
    Ok(match Fetch::section(shelf, mail, Some(summary), &section).await? {
        Found::Nothing | Found::Binary(_) => None,
        found => Some(Named(found)),
    })
}

impl Named {
    pub(super) fn size(&self) -> u64 {
        match &self.0 {
            Found::Range(range) => range.end - range.start,
            Found::Octets(octets) => octets.len() as u64,
            Found::Binary(_) | Found::Nothing => 0,
        }
    }

    /// `range` of it, which is within its size.
    pub(super) async fn read(
        self,
        shelf: &dyn attachments::Shelf,
        mail: &Mail,
        range: Range<u64>,
    ) -> Result<Vec<u8>, MailError> {
        match self.0 {
            Found::Range(whole) => mail.read(shelf, whole.start + range.start..whole.start + range.end).await,
            Found::Octets(octets) => Ok(octets[range.start as usize..range.end as usize].to_vec()),
            Found::Binary(_) | Found::Nothing => Ok(Vec::new()),
        }
    }
}

fn separate(session: &mut Session, at: usize) {
    if at > 0 {
        session.io.out.push(b' ');
    }
}

/// Summaries of messages by index.
pub(super) async fn summaries(session: &Session, indexes: &[usize]) -> Result<Vec<Option<Arc<Summary>>>, Stop> {
    let rows = &session.selected()?.snapshot.rows;
    let ids: Vec<MessageId> = indexes.iter().map(|&index| rows[index].message).collect();
    let owner = session.reader()?;
    owner.room.summaries.get(&session.shared.store, owner, &ids).await
}

/// Named for [`item`], which reads them.
type Fields = (Vec<Vec<u8>>, Pick);
