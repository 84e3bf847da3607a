//! Double entry, integers in msat, append only.

use lnmp::{GateId, Msat};
use serde::{Deserialize, Serialize};

use crate::{AccountId, UnixMs};

/// A ledger account. Assets and expenses grow by debit, the others by credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Asset: what the node holds, in channels and on chain.
    Node,
    /// Equity: what the operator put in.
    Operator,
    /// Income: the relay's share.
    Fees,
    /// Liability: what a user may draw.
    User(AccountId),
    /// Liability: received in escrow, undecided.
    Escrow,
    /// Expense: routing.
    Routing,
    /// Expense: channels and chain.
    Chain,
    /// Expense: losses.
    Loss,
}

/// One balanced transaction: the debits' sum equals the credits'.
#[derive(Debug, Clone)]
pub struct Posting {
    /// Unique: posting the same key again changes nothing.
    pub key: String,
    /// For which gate.
    pub gate: Option<GateId>,
    /// Debits.
    pub debits: Vec<(Side, Msat)>,
    /// Credits.
    pub credits: Vec<(Side, Msat)>,
}

/// One line of history. Debits are positive, credits negative.
#[derive(Debug, Clone)]
pub struct LedgerLine {
    /// When.
    pub at: UnixMs,
    /// The posting's key.
    pub key: String,
    /// For which gate.
    pub gate: Option<GateId>,
    /// Which ledger account.
    pub side: Side,
    /// Debit positive, credit negative.
    pub amount_msat: i64,
}

/// What the ledger says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerAudit {
    /// Postings that were looked at.
    pub postings: u64,
    /// What is wrong, in words for the operator; empty when all is well.
    pub findings: Vec<String>,
}

impl LedgerAudit {
    /// Notes a finding, unless there are `max`.
    pub(crate) fn find(&mut self, max: usize, finding: impl FnOnce() -> String) {
        if self.findings.len() < max {
            self.findings.push(finding());
        }
    }
}

/// Sums. Each in its account's own sense: an asset's debit less credit, a liability's credit less debit.
#[derive(Debug, Clone, Default)]
pub struct Balances {
    /// Assets.
    pub node: i64,
    /// Equity.
    pub operator: i64,
    /// Income.
    pub fees: i64,
    /// All users' liabilities.
    pub users: i64,
    /// One by one.
    pub by_user: Vec<(AccountId, i64)>,
    /// Escrow liability.
    pub escrow: i64,
    /// Expense.
    pub routing: i64,
    /// Expense.
    pub chain: i64,
    /// Expense.
    pub loss: i64,
    /// Received amounts of held quotes: not in the ledger.
    pub held: u64,
}
