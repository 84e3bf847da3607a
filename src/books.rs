//! `satchel wallet statement` and `payout`: the ledger's history for people, and a user's share of it leaving.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use store::{AccountId, LedgerLine, Side};

use crate::command::{account_of, paid, rfc3339};
use crate::flow::payout;
use crate::house::House;

/// Columns of a statement.
const COLUMNS: [&str; 6] = ["at", "account", "change_msat", "balance_msat", "gate", "posting"];

/// Pays from what an account is owed.
pub async fn payout(house: &House, address: &str, bolt11: &str) -> anyhow::Result<Value> {
    let account = account_of(house, address).await?;
    Ok(paid(&payout::pay_user(house, account.id, bolt11).await?))
}

/// Every movement, oldest first, with what each left on its account.
pub async fn statement(house: &House, address: Option<&str>) -> anyhow::Result<Value> {
    let only = match address {
        Some(address) => Some(account_of(house, address).await?.id),
        None => None,
    };
    let accounts = house.store.accounts().await?;
    let addresses: HashMap<AccountId, String> = accounts.iter().map(|one| (one.id, one.address())).collect();
    let mut balances: HashMap<Side, i64> = HashMap::new();
    let lines = house.store.ledger(only).await?;
    Ok(lines.iter().map(|line| row(line, &addresses, balances.entry(line.side).or_default())).collect())
}

fn row(line: &LedgerLine, addresses: &HashMap<AccountId, String>, balance: &mut i64) -> Value {
    let (name, grows_by_debit) = match line.side {
        Side::Node => ("node".to_owned(), true),
        Side::Operator => ("operator".to_owned(), false),
        Side::Fees => ("fees".to_owned(), false),
        // An account that was removed keeps its history under its number.
        Side::User(id) => (addresses.get(&id).cloned().unwrap_or_else(|| format!("account {}", id.0)), false),
        Side::Escrow => ("escrow".to_owned(), false),
        Side::Routing => ("routing".to_owned(), true),
        Side::Chain => ("chain".to_owned(), true),
        Side::Loss => ("loss".to_owned(), true),
    };
    let change = if grows_by_debit { line.amount_msat } else { -line.amount_msat };
    *balance += change;
    json!({
        "at": rfc3339(line.at),
        "account": name,
        "change_msat": change,
        "balance_msat": *balance,
        "gate": line.gate.map(|gate| gate.0),
        "posting": line.key,
    })
}

/// A statement as comma-separated values (RFC 4180).
pub fn csv(statement: &Value) -> String {
    let mut out = COLUMNS.join(",") + "\r\n";
    for row in statement.as_array().into_iter().flatten() {
        let cells: Vec<String> = COLUMNS.iter().map(|column| cell(&row[*column])).collect();
        let _ = write!(out, "{}\r\n", cells.join(","));
    }
    out
}

/// RFC 4180 §2: what holds a comma, a quote or a line end stands in quotes. Ours never do; an address may.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// A statement as a table's columns.
pub fn columns() -> &'static [&'static str] {
    &COLUMNS
}

#[cfg(test)]
mod tests {
    use lnmp::GateId;

    use super::*;

    #[test]
    fn each_account_grows_in_its_own_sense_and_csv_quotes_what_needs_it() {
        let line =
            |side, amount_msat| LedgerLine { at: 0, key: "settle:ab".into(), gate: Some(GateId(7)), side, amount_msat };
        let addresses = HashMap::from([(AccountId(1), "\"a,b\"@satchel.test".to_owned())]);
        let (mut node, mut user) = (500, 10);
        let rows = Value::Array(vec![
            row(&line(Side::Node, 100), &addresses, &mut node),
            row(&line(Side::User(AccountId(1)), -90), &addresses, &mut user),
            row(&line(Side::User(AccountId(2)), 90), &addresses, &mut 0),
        ]);
        assert_eq!((node, user), (600, 100));
        assert_eq!(
            csv(&rows),
            "at,account,change_msat,balance_msat,gate,posting\r\n\
             1970-01-01T00:00:00.000Z,node,100,600,7,settle:ab\r\n\
             1970-01-01T00:00:00.000Z,\"\"\"a,b\"\"@satchel.test\",90,100,7,settle:ab\r\n\
             1970-01-01T00:00:00.000Z,account 2,-90,-90,7,settle:ab\r\n"
        );
    }
}
