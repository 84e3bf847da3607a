//! Keywords: the user's own are stored sealed, the server's are read off the gate.

use lnmp::payment::SERVER_KEYWORDS;
use lnmp::{GateState, Refund};

use super::db::Db;
use super::vault::Of;
use crate::limits::{KEYWORD_BYTES_MAX, KEYWORDS_MAX};
use crate::{FlagMode, Result, StoreError};

/// How a gate's refund stands: of `CASE WHEN refunding THEN 2 ELSE refunded END`.
pub(super) fn refund_of(code: i64) -> Refund {
    match code {
        0 => Refund::No,
        2 => Refund::UnderWay,
        _ => Refund::Done,
    }
}

/// What the server shows on every copy of a priced mail.
pub(super) fn of_gate(state: GateState, refund: Refund, priority: bool) -> Vec<String> {
    let mut shown: Vec<String> = state.keywords(refund).iter().map(|&word| word.to_owned()).collect();
    if priority {
        shown.push("$Priority".to_owned());
    }
    shown
}

/// What a client asks of keywords.
pub(super) struct Wanted {
    /// Its own.
    pub(super) own: Vec<String>,
    /// `$Accepted` was among them.
    pub(super) accepted: bool,
    /// `$Declined` was among them.
    pub(super) declined: bool,
}

/// Takes the server's keywords out: of them only the two that decide are heard.
pub(super) fn split(words: &[String]) -> Result<Wanted> {
    let has = |name: &str| words.iter().any(|word| word.eq_ignore_ascii_case(name));
    let mut own: Vec<String> = Vec::new();
    for word in words {
        if word.is_empty() || word.len() > KEYWORD_BYTES_MAX {
            return Err(StoreError::Limit("a keyword has 1 to 255 octets"));
        }
        if word.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(StoreError::Cannot("a keyword has neither spaces nor controls"));
        }
        let server = SERVER_KEYWORDS.iter().any(|name| word.eq_ignore_ascii_case(name));
        if !server && !own.iter().any(|known| known.eq_ignore_ascii_case(word)) {
            own.push(word.clone());
        }
    }
    if own.len() > KEYWORDS_MAX {
        return Err(StoreError::Limit("keywords of one mail"));
    }
    Ok(Wanted { own, accepted: has("$Accepted"), declined: has("$Declined") })
}

/// STORE's arithmetic. A word keeps the case it was first written in.
pub(super) fn combine(had: &[String], wanted: &[String], mode: FlagMode) -> Result<Vec<String>> {
    let within = |list: &[String], word: &str| list.iter().any(|known| known.eq_ignore_ascii_case(word));
    let mut out: Vec<String> = match mode {
        FlagMode::Add => had.to_vec(),
        FlagMode::Remove => had.iter().filter(|word| !within(wanted, word)).cloned().collect(),
        FlagMode::Replace => had.iter().filter(|word| within(wanted, word)).cloned().collect(),
    };
    if mode != FlagMode::Remove {
        for word in wanted {
            if !within(&out, word) {
                out.push(word.clone());
            }
        }
    }
    if out.len() > KEYWORDS_MAX {
        return Err(StoreError::Limit("keywords of one mail"));
    }
    Ok(out)
}

/// As stored; `None` for none.
pub(super) fn seal(db: &Db<'_>, words: &[String]) -> Option<Vec<u8>> {
    (!words.is_empty()).then(|| db.vault.seal(Of::Keywords, words.join(" ").as_bytes()))
}

/// The inverse of [`seal`].
pub(super) fn open(db: &Db<'_>, sealed: &[u8]) -> Result<Vec<String>> {
    Ok(db.vault.open_text(Of::Keywords, sealed)?.split(' ').map(str::to_owned).collect())
}
