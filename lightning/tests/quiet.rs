//! What the log says, and what it does not.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::{held, hold, preimage, sandbox};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_log_line_holds_an_invoice_an_address_or_a_preimage() {
    let page = Page::default();
    let writer = page.clone();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    log.init();
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sandbox = sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        let invoice = wallet.create(hold(77, 100)).await.unwrap();
        sandbox.customer().pay(&invoice).await.unwrap();
        let (amount, _) = held(&*wallet, preimage(77).hash()).await;
        wallet.settle(preimage(77).hash(), amount, &preimage(77)).await.unwrap();
        common::settled(&*wallet, preimage(77).hash()).await;
        assert!(wallet.pay(&invoice).await.is_err());
        let address = sandbox.bridge().new_address().await.unwrap().to_string();
        sandbox.stop().await.unwrap();
        let text = String::from_utf8_lossy(&page.0.lock().unwrap()).to_ascii_lowercase();
        assert!(text.contains("ldk"), "LDK's log arrives");
        assert!(!text.contains(&invoice[..40]) && !text.contains("lnbcrt1"), "an invoice");
        assert!(!text.contains(&address) && !text.contains("bcrt1q"), "an address");
        assert!(!text.contains(&hex::encode(preimage(77).reveal())), "a preimage");
        assert!(!text.contains("mail 0000004d"), "a description");
    });
}
