//! The examples of BOLT 11, as far as the invoice library reads them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::str::FromStr;

use lightning_invoice::Bolt11Invoice;

#[test]
fn the_examples_of_bolt_11_parse_or_fail_as_the_text_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/bolt11-examples.md");
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
        println!("SKIPPED: {} is missing", path.display());
        return;
    };
    // The valid ones come first; "Examples of Invalid Invoices" is the second heading.
    let (valid, invalid) = text.split_once("Invalid Invoices").unwrap();
    let invoices = |part: &str| -> Vec<String> {
        let lines = part.lines().filter_map(|line| line.strip_prefix("> "));
        lines.filter(|line| line.to_ascii_lowercase().starts_with("ln")).map(str::to_owned).collect()
    };
    let (valid, invalid) = (invoices(valid), invoices(invalid));
    assert!(valid.len() >= 10 && invalid.len() >= 7, "{} and {}", valid.len(), invalid.len());
    let node = "03e7156ae33b0a208d0744199163177e909e80176e55d97a2f221ede0f934dd9ad";
    for text in &valid {
        let invoice = Bolt11Invoice::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        // One example has a high S, from which another key is recovered: the text only asks that it parses.
        let recovered = invoice.recover_payee_pub_key().to_string();
        assert!(recovered == node || text.ends_with("qprc90gx"), "{text}");
    }
    for text in &invalid {
        assert!(Bolt11Invoice::from_str(text).is_err(), "{text} is not valid");
    }
}
