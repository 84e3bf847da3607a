//! What unsolicited FETCH responses tell of new messages (RFC 5465 §5.2, §7).

use super::Fetch;
use super::item::{Item, parse_item};
use super::modifiers::Modifiers;
use crate::limits::FETCH_ITEMS_MAX;
use crate::reply::Stop;
use crate::selected::By;
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed, SequenceSet};

/// `"(" fetch-att *(SP fetch-att) ")"`, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes(Vec<Item>);

impl Attributes {
    /// ` (…)` if that comes next.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut ahead = cursor.clone();
        if !(ahead.take(b' ') && ahead.peek() == Some(b'(')) {
            return Ok(Self::default());
        }
        *cursor = ahead;
        let items = cursor.list(FETCH_ITEMS_MAX, "Too many FETCH items", parse_item)?;
        if items.is_empty() { Err(Bad::new("Empty list of FETCH items")) } else { Ok(Self(items)) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over what is not among them yet.
    pub(crate) fn extend(&mut self, other: &Self) {
        for item in &other.0 {
            if !self.0.contains(item) {
                self.0.push(item.clone());
            }
        }
    }

    /// Writes a FETCH response for each of these messages. Nobody opened them: `\Seen` is not set, whatever is shown.
    pub(crate) async fn show(&self, session: &mut Session, indexes: &[usize]) -> Result<(), Stop> {
        if self.is_empty() || indexes.is_empty() {
            return Ok(());
        }
        let mut items = self.0.clone();
        // RFC 7162 §3.2.4
        if session.enabled.condstore {
            if !session.enabled.uid_only && !items.contains(&Item::Uid) {
                items.insert(0, Item::Uid);
            }
            if !items.contains(&Item::ModSeq) {
                items.push(Item::ModSeq);
            }
        }
        let fetch = Fetch {
            by: By::Uid,
            set: SequenceSet::saved(),
            items,
            modifiers: Modifiers::default(),
            implied_uid: false,
        };
        // What is gone meanwhile, or cannot be read now, is not told: there is no command to fail.
        fetch.show(session, indexes, &[]).await.map(drop)
    }
}
