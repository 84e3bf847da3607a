//! Threads by References (RFC 5256 §3, REFERENCES), as a tree over all messages. Pure.

use std::collections::HashMap;

use crate::limits::THREAD_ANCESTORS_MAX;

/// What threading knows of one message; Message-IDs are numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Item {
    /// The sent date, in seconds.
    pub(super) sent: i64,
    /// The base subject as it compares.
    pub(super) subject: String,
    /// Whether the subject was a reply's or forward's.
    pub(super) is_reply: bool,
    /// Its own Message-ID.
    pub(super) id: Option<usize>,
    /// The Message-IDs it refers to, oldest first.
    pub(super) references: Vec<usize>,
}

/// How threads become a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// REFERENCES: threads of one subject are one, in the order of their first messages.
    Subjects,
    /// REFS: threads stay as they are, in the order of their latest messages.
    Latest,
}

/// Trees over the items. Nodes below the number of items are those items; the others are dummies.
#[derive(Debug)]
pub(super) struct Forest {
    pub(super) roots: Vec<usize>,
    pub(super) children: Vec<Vec<usize>>,
    items: usize,
}

impl Forest {
    /// Trees of `count` messages, none of them placed yet.
    pub(super) fn of_items(count: usize) -> Self {
        Self { roots: Vec::new(), children: vec![Vec::new(); count], items: count }
    }

    /// Whether a node stands for a message that is not there.
    pub(super) fn is_dummy(&self, node: usize) -> bool {
        node >= self.items
    }
}

/// Threads `items`, which stand in the order of the mailbox and use Message-IDs below `ids`.
pub(super) fn thread(items: &[Item], ids: usize, finish: Finish) -> Forest {
    let parents = link(items, ids);
    let mut children = vec![Vec::new(); parents.len()];
    // Step 2: what has no parent is at the root.
    let mut roots = Vec::new();
    for (node, parent) in parents.iter().enumerate() {
        match parent {
            Some(parent) => children[*parent].push(node),
            None => roots.push(node),
        }
    }
    let mut forest = Forest { roots, children, items: items.len() };
    forest.prune();
    match finish {
        Finish::Subjects => {
            forest.sort(items);
            forest.merge_subjects(items);
            forest.sort(items);
        }
        Finish::Latest => forest.sort_by_latest(items),
    }
    forest
}

/// Step 1: the parent of each node. Nodes behind the items are the Message-IDs that no message has.
fn link(items: &[Item], ids: usize) -> Vec<Option<usize>> {
    let mut owner: Vec<Option<usize>> = vec![None; ids];
    for (index, item) in items.iter().enumerate() {
        // Of messages with one Message-ID the first has it; the others get unique ones, which nobody refers to.
        if let Some(id) = item.id {
            owner[id].get_or_insert(index);
        }
    }
    let node_of = |id: usize| owner[id].unwrap_or(items.len() + id);
    let mut links = Links { parents: vec![None; items.len() + ids], has_children: vec![false; items.len() + ids] };
    for (index, item) in items.iter().enumerate() {
        // (A) Each reference is the parent of the next, unless that has one.
        for pair in item.references.windows(2) {
            let (parent, child) = (node_of(pair[0]), node_of(pair[1]));
            if links.parents[child].is_none() {
                links.connect(parent, child);
            }
        }
        // (B) The last reference is the parent of the message, whatever others said.
        links.parents[index] = None;
        if let Some(&last) = item.references.last() {
            links.connect(node_of(last), index);
        }
    }
    links.parents
}

struct Links {
    parents: Vec<Option<usize>>,
    /// Whether a node ever had a child: one that never had closes no ring.
    has_children: Vec<bool>,
}

impl Links {
    /// Makes `parent` the parent of `child`, unless that would close a ring.
    fn connect(&mut self, parent: usize, child: usize) {
        if parent == child || self.has_children[child] && self.may_descend_from(parent, child) {
            return;
        }
        self.parents[child] = Some(parent);
        self.has_children[parent] = true;
    }

    fn may_descend_from(&self, node: usize, ancestor: usize) -> bool {
        let mut at = node;
        for _ in 0..THREAD_ANCESTORS_MAX {
            match self.parents[at] {
                Some(parent) if parent == ancestor => return true,
                Some(parent) => at = parent,
                None => return false,
            }
        }
        true
    }
}

impl Forest {
    /// Step 3: takes dummies out, their children rising into their place. At the root only a single child rises.
    fn prune(&mut self) {
        for node in self.bottom_up() {
            let children = std::mem::take(&mut self.children[node]);
            let mut kept = Vec::with_capacity(children.len());
            for child in children {
                if self.is_dummy(child) {
                    // Dummies without children vanish with this.
                    kept.append(&mut self.children[child]);
                } else {
                    kept.push(child);
                }
            }
            self.children[node] = kept;
        }
        let roots = std::mem::take(&mut self.roots);
        for root in roots {
            match self.children[root].len() {
                0 if self.is_dummy(root) => {}
                1 if self.is_dummy(root) => self.roots.append(&mut self.children[root]),
                _ => self.roots.push(root),
            }
        }
    }

    /// All nodes, children before their parents.
    fn bottom_up(&self) -> Vec<usize> {
        let mut order = self.roots.clone();
        let mut at = 0;
        while let Some(&node) = order.get(at) {
            order.extend_from_slice(&self.children[node]);
            at += 1;
        }
        order.reverse();
        order
    }

    /// What a node is sorted by: its date, a dummy's being that of its first child; then its place in the mailbox.
    fn date(&self, node: usize, items: &[Item]) -> (i64, usize) {
        let shown = self.shown(node);
        items.get(shown).map_or((i64::MAX, shown), |item| (item.sent, shown))
    }

    /// The node itself, or the first child of a dummy.
    fn shown(&self, node: usize) -> usize {
        if self.is_dummy(node) { self.children[node].first().copied().unwrap_or(node) } else { node }
    }

    /// Steps 4 and 6: sorts siblings by date, children before their parents.
    fn sort(&mut self, items: &[Item]) {
        for node in self.bottom_up() {
            let mut children = std::mem::take(&mut self.children[node]);
            children.sort_by_cached_key(|&child| self.date(child, items));
            self.children[node] = children;
        }
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_by_cached_key(|&root| self.date(root, items));
        self.roots = roots;
    }

    /// Step 5: threads of one subject become one.
    fn merge_subjects(&mut self, items: &[Item]) {
        let is_reply = |node: usize| items.get(node).is_some_and(|item| item.is_reply);
        let subject_of =
            |forest: &Self, node: usize| items.get(forest.shown(node)).map_or("", |item| item.subject.as_str());
        // (B) The table: a dummy rather than a message, an original rather than a reply, the earlier rather than the later.
        let mut table: HashMap<&str, usize> = HashMap::new();
        for &root in &self.roots {
            let subject = subject_of(self, root);
            if subject.is_empty() {
                continue;
            }
            let entry = table.entry(subject).or_insert(root);
            let replaces = self.is_dummy(root) || is_reply(*entry) && !is_reply(root);
            if !self.is_dummy(*entry) && replaces {
                *entry = root;
            }
        }
        // (C) Each thread joins the one in the table.
        let roots = std::mem::take(&mut self.roots);
        let mut gone = vec![false; self.children.len()];
        let mut made = Vec::new();
        for &root in &roots {
            let subject = subject_of(self, root);
            let Some(entry) = table.get_mut(subject).filter(|entry| **entry != root) else { continue };
            gone[root] = true;
            match (self.is_dummy(*entry), self.is_dummy(root)) {
                (true, true) => {
                    let mut children = std::mem::take(&mut self.children[root]);
                    self.children[*entry].append(&mut children);
                }
                (true, false) => self.children[*entry].push(root),
                (false, _) if is_reply(root) && !is_reply(*entry) => self.children[*entry].push(root),
                (false, _) => {
                    let dummy = self.children.len();
                    self.children.push(vec![*entry, root]);
                    gone[*entry] = true;
                    made.push(dummy);
                    *entry = dummy;
                }
            }
        }
        self.roots = roots.into_iter().filter(|&root| !gone[root]).chain(made).collect();
    }

    /// Sorts siblings by date, and the roots by the latest message below them.
    fn sort_by_latest(&mut self, items: &[Item]) {
        self.sort(items);
        let mut latest: Vec<i64> = vec![i64::MIN; self.children.len()];
        for node in self.bottom_up() {
            let below = self.children[node].iter().map(|&child| latest[child]).max().unwrap_or(i64::MIN);
            latest[node] = items.get(node).map_or(below, |item| below.max(item.sent));
        }
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_by_cached_key(|&root| (latest[root], self.shown(root)));
        self.roots = roots;
    }
}
