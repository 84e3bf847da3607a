//! A new block is looked at when it is known, not when LDK looks next.
//!
//! LDK asks Esplora and Electrum servers at intervals of its own, and no claim is made before it has seen the newest
//! block. Our own look at the source is cheaper and comes more often: when the source is ahead, LDK is sent there.

use std::sync::Weak;

use ldk_node::Node;
use tokio::time::sleep;

use super::{Inner, LdkNode};
use crate::WalletError;
use crate::limits::{FOLLOW_AGAIN, FOLLOW_LOOK_EVERY};

/// Sends the node after its source until it stops, and asks for a look at the source when the node is ahead of it.
pub(super) async fn watch(inner: Weak<Inner>) {
    loop {
        sleep(FOLLOW_LOOK_EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        let node = LdkNode { inner };
        let heights =
            |node: &Node, inner: &Inner| Ok((node.status().current_best_block.height, inner.source_tip.tip().height));
        let followed = match node.call(heights).await {
            Ok((ours, theirs)) if ours < theirs => node.poll_chain().await,
            Ok((ours, theirs)) => {
                if ours > theirs {
                    node.inner.source_tip.look();
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        drop(node);
        match followed {
            Ok(()) => {}
            Err(WalletError::NotRunning) => return,
            Err(_) => sleep(FOLLOW_AGAIN).await,
        }
    }
}
