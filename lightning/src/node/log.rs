//! LDK's log, through ours: without invoices and addresses.

use ldk_node::logger::{LogLevel, LogRecord, LogWriter};

/// Passes LDK's errors and warnings on, and its information at debug level.
pub(super) struct ToTracing;

impl LogWriter for ToTracing {
    fn log(&self, record: LogRecord<'_>) {
        let (module, line) = (record.module_path, record.line);
        match record.level {
            LogLevel::Error => tracing::warn!(module, line, "ldk: {}", redact(&record.args.to_string())),
            LogLevel::Warn => tracing::info!(module, line, "ldk: {}", redact(&record.args.to_string())),
            LogLevel::Info if tracing::enabled!(tracing::Level::DEBUG) => {
                tracing::debug!(module, line, "ldk: {}", redact(&record.args.to_string()));
            }
            // Debug and below print onions, preimages and whole transactions.
            LogLevel::Info | LogLevel::Debug | LogLevel::Trace | LogLevel::Gossip => {}
        }
    }
}

/// The text without BOLT 11 invoices, BOLT 12 offers and bitcoin addresses.
fn redact(text: &str) -> String {
    const STARTS: [&str; 8] = ["lnbc", "lntb", "lni1", "lno1", "lnr1", "bcrt1", "bc1", "tb1"];
    let hidden = |word: &str| {
        let word = word.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).to_ascii_lowercase();
        word.len() > 20 && STARTS.iter().any(|start| word.starts_with(start))
    };
    text.split(' ').map(|word| if hidden(word) { "[hidden]" } else { word }).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn invoices_and_addresses_do_not_reach_the_log() {
        let text = redact("Invoice created: lnbcrt100n1p5qqqqqqqqqqqqqqqq for (bcrt1qqqqqqqqqqqqqqqqqqqqqqqqq) of 100");
        assert_eq!(text, "Invoice created: [hidden] for [hidden] of 100");
    }
}
