//! What a command prints for people. `--json` prints the value as it is.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::books;
use crate::cli::Request;

/// What `channel list` shows of each.
const CHANNEL_COLUMNS: [&str; 10] = [
    "id",
    "state",
    "capacity_msat",
    "ours_msat",
    "theirs_msat",
    "held_msat",
    "hold_slots",
    "hold_value_free_msat",
    "fee_base_msat",
    "fee_ppm",
];

/// Whether the answer says that something is wrong (exit code 1).
pub fn says_failure(request: &Request, value: &Value) -> bool {
    match request {
        Request::WalletAudit => value["ok"] != Value::Bool(true),
        // Where nothing could be asked, nothing is wrong yet.
        Request::Dns { .. } => value["checked"] == Value::Bool(true) && value["ok"] != Value::Bool(true),
        Request::ChannelBuy { .. } => value["paid"]["state"] == "failed",
        Request::WalletPay { .. }
        | Request::WalletPayout { .. }
        | Request::SandboxPay { .. }
        | Request::SandboxPayAs { .. } => value["state"] == "failed",
        _ => false,
    }
}

/// The answer in words and tables.
pub fn text(request: &Request, value: &Value) -> String {
    match request {
        Request::AccountAdd { .. } => format!(
            "{} is ready (LNMP: {}).\n\nRecovery phrase, shown this once:\n\n    {}\n\n\
             Write it down. Losing the password without it loses the mail: nobody can help then.\n",
            word(&value["address"]),
            word(&value["lnmp_address"]),
            word(&value["recovery_phrase"])
        ),
        Request::AccountAppPassword { .. } => format!(
            "App password for {}, shown this once:\n\n    {}\n",
            word(&value["address"]),
            word(&value["app_password"])
        ),
        Request::AccountList => accounts(value),
        Request::FilterList { .. } => filters(value),
        Request::AllowList { .. } => table(value, &["kind", "name", "by", "for"]),
        Request::AccountCapability(_) => table(value, &["capability", "source", "offered"]),
        Request::AccountShares { .. } => table(value, &["mailbox", "with", "rights"]),
        Request::GroupList => table(value, &["address", "members"]),
        Request::AliasList => table(value, &["address", "for", "expires_at", "uses", "max_uses"]),
        Request::ContactList { .. } => table(value, &["author", "relation", "since"]),
        Request::GateList => {
            table(value, &["id", "state", "voucher", "price_msat", "author", "recipient", "hold_until"])
        }
        Request::QueueList => {
            table(value, &["id", "state", "from", "to", "attempts", "due_at", "expires_at", "last_error"])
        }
        Request::Reports { send: false } => table(value, &["day", "domain", "pass", "fail", "tls", "tls_failures"]),
        Request::DkimList => table(value, &["selector", "algorithm", "stage", "active_from", "retired_at"]),
        Request::ChannelList => table(value, &CHANNEL_COLUMNS),
        Request::ChannelPlan => plan(value),
        Request::ChannelReceive { .. } => format!(
            "{}\n\nThe provider keeps {} msat of {}: {} arrive.\n",
            word(&value["bolt11"]),
            word(&value["provider_fee_msat"]),
            word(&value["amount_msat"]),
            word(&value["arrives_msat"])
        ),
        Request::SandboxMail => mails(value),
        Request::GateInvoice { .. } | Request::GateRefundTo { .. } if value["bolt11"].is_string() => {
            format!("{}\n", word(&value["bolt11"]))
        }
        Request::Dns { .. } => records(value),
        Request::WalletStatement { csv: true, .. } => books::csv(value),
        Request::WalletStatement { csv: false, .. } => table(value, books::columns()),
        Request::Backup { .. } => format!(
            "{} is whole: the database, {} attachment blocks, the sealed keys, the config.\n\
             Not in it, and to be kept apart: the bridge key ({}), without which nobody can read this.\n\
             Not in it on purpose: the node's channels ({}). docs/backup.md says how to restore.\n",
            word(&value["to"]),
            word(&value["attachment_blocks"]),
            word(&value["left_out"][0]),
            word(&value["left_out"][1])
        ),
        Request::WalletSeed => format!(
            "The embedded node's words on {}:\n\n    {}\n\n\
             Write them down and keep them apart from this machine. They bring back what the node has on the chain, not its \
             channels.\n",
            word(&value["network"]),
            word(&value["words"])
        ),
        Request::WalletAddress => format!("{}\n", word(&value["address"])),
        Request::WalletInvoice { .. } => format!("{}\n", word(&value["bolt11"])),
        _ => fields(value, 0),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The accounts, with where they are paid out to in a few words.
fn accounts(value: &Value) -> String {
    let row = |row: &Value| {
        let mut row = row.clone();
        let payout = &row["payout"];
        if let (Some(to), Some(above)) = (payout["to"].as_str(), payout["above_sat"].as_u64()) {
            let failing = if payout["failing"].is_string() { ", failing" } else { "" };
            row["payout"] = json!(format!("{to} above {above} sat{failing}"));
        }
        row
    };
    let rows: Value = value.as_array().into_iter().flatten().map(row).collect();
    table(&rows, &["address", "identity", "created_at", "expecting_until", "payout", "wallet"])
}

/// Rows of an array of objects under their column names.
fn table(value: &Value, columns: &[&str]) -> String {
    let empty = Vec::new();
    let rows: Vec<Vec<String>> = value
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .map(|row| columns.iter().map(|column| word(&row[*column])).collect())
        .collect();
    if rows.is_empty() {
        return "none\n".to_owned();
    }
    let widths: Vec<usize> = (0..columns.len())
        .map(|i| rows.iter().map(|row| row[i].chars().count()).chain([columns[i].len()]).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    let header: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
    for row in std::iter::once(&header).chain(&rows) {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(out, "{}", line.join("  ").trim_end());
    }
    out
}

/// `key: value` lines, nested ones indented.
fn fields(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => map.iter().fold(String::new(), |mut out, (key, value)| {
            let _ = match value {
                Value::Object(_) | Value::Array(_) => write!(out, "{indent}{key}:\n{}", fields(value, depth + 1)),
                _ => writeln!(out, "{indent}{key}: {}", word(value)),
            };
            out
        }),
        Value::Array(items) if items.is_empty() => format!("{indent}none\n"),
        Value::Array(items) => items.iter().fold(String::new(), |out, item| out + &fields(item, depth)),
        other => format!("{indent}{}\n", word(other)),
    }
}

/// One line for each filter, as it was written.
fn filters(value: &Value) -> String {
    let said = |part: &Value| -> Vec<String> {
        let wanted = |value: &Value| !(value.is_null() || *value == json!(false) || *value == json!([]));
        let part = part.as_object().into_iter().flatten().filter(|(_, value)| wanted(value));
        part.map(|(key, value)| if *value == json!(true) { key.clone() } else { format!("{key} {}", word(value)) })
            .collect()
    };
    let rows = value.as_array().into_iter().flatten();
    let text = rows.fold(String::new(), |mut out, row| {
        let (when, then) = (said(&row["when"]).join(", "), said(&row["then"]).join(", "));
        let _ = writeln!(out, "{}. {}: {when} -> {then}", word(&row["position"]), word(&row["name"]));
        out
    });
    if text.is_empty() { "none\n".to_owned() } else { text }
}

/// How many mails can be held, in sentences.
fn plan(value: &Value) -> String {
    let mut out = String::new();
    for price in value["prices"].as_array().into_iter().flatten() {
        let sat = price["price_msat"].as_u64().unwrap_or(0) / 1000;
        let (mails, limit) = (word(&price["mails"]), word(&price["limit"]));
        let _ = writeln!(
            out,
            "You can hold {mails} mails of {sat} sat now ({}); {limit} set this.",
            word(&price["asked_of"])
        );
    }
    let _ = writeln!(out, "What {} live invoices reserve is taken off.", word(&value["live_quotes"]));
    for channel in value["channels"].as_array().into_iter().flatten() {
        let fits = channel["prices"].as_array().into_iter().flatten();
        let fits = fits
            .map(|fit| format!("{} of {} sat", word(&fit["mails"]), fit["price_msat"].as_u64().unwrap_or(0) / 1000));
        let fits: Vec<String> = fits.collect();
        let id = word(&channel["id"]);
        let _ = writeln!(out, "  {} ({}): {}", id.get(..8).unwrap_or(&id), word(&channel["state"]), fits.join(", "));
    }
    for line in value["advice"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "{}", word(line));
    }
    out
}

fn mails(value: &Value) -> String {
    let empty = Vec::new();
    let mails = value.as_array().unwrap_or(&empty);
    if mails.is_empty() {
        return "none\n".to_owned();
    }
    mails.iter().fold(String::new(), |mut out, mail| {
        let _ = writeln!(out, "From <{}> to <{}> at {}\n", word(&mail["from"]), word(&mail["to"]), word(&mail["at"]));
        let _ = writeln!(out, "{}\n", word(&mail["message"]).replace("\r\n", "\n"));
        out
    })
}

/// As a zone file: what is known of each record stands in a comment above it.
fn records(value: &Value) -> String {
    let rows = || value["records"].as_array().into_iter().flatten();
    let mut out = String::new();
    for (title, needed) in [("Mail needs these.", true), ("These are useful.", false)] {
        let _ = writeln!(out, "; {title}");
        for record in rows().filter(|record| record["needed"] == needed) {
            let _ = writeln!(out, "; {}: {}", word(&record["status"]), word(&record["why"]));
            if let Some(found) = record["found"].as_str() {
                let is_there = if record["status"] == "differs" { "there is" } else { "because" };
                let _ = writeln!(out, ";   {is_there}: {}", found.replace(['\r', '\n'], " "));
            }
            let _ = writeln!(out, "{}", word(&record["zone"]));
        }
        out.push('\n');
    }
    for other in value["not_served"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "; {} is not served by this version: nothing to publish for {}",
            word(&other["address"]),
            word(&other["why"])
        );
    }
    if value["sandbox"] == true {
        out.push_str("; Looked up in the sandbox's own zone; for the real DNS set [dns] resolver = \"system\".\n");
    }
    let wrong = rows().filter(|record| record["needed"] == true && record["status"] != "ok").count();
    let _ = match (value["checked"].as_bool(), wrong) {
        (Some(true), 0) => writeln!(out, "; Every record that mail needs is there."),
        (Some(true), _) => writeln!(out, "; {wrong} that mail needs are not as they should be."),
        _ => writeln!(out, "; Nothing was looked up: start the server, or configure a [dns] resolver."),
    };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_printed_as_a_zone_file_with_comments() {
        let row = |needed, status, found, zone| json!({ "needed": needed, "status": status, "why": "w", "found": found, "zone": zone });
        let rows = [row(true, "differs", Some("10 b."), "a. IN MX 10 c."), row(false, "ok", None, "a. IN TXT \"t\"")];
        let value = json!({ "checked": true, "ok": false, "records": rows, "not_served": [] });
        let request = Request::Dns { domain: "a".into() };
        let text = text(&request, &value);
        let plain: Vec<&str> = text.lines().filter(|line| !line.starts_with(';') && !line.is_empty()).collect();
        assert_eq!(plain, ["a. IN MX 10 c.", "a. IN TXT \"t\""]);
        assert!(text.contains("; differs: w\n;   there is: 10 b.\na. IN MX"), "{text}");
        assert!(text.contains("1 that mail needs"), "{text}");
        assert!(says_failure(&request, &value));
        assert!(!says_failure(&request, &json!({ "checked": false, "ok": false })));
    }
}
