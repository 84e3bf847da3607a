//! The start of a node on a real network.
//!
//! The first one.
//!
//! Over a bitcoind, ldk-node's wallet begins to read at the block that is the best when its state is made. Should the
//! source not answer in that moment, it would begin at the first block of all and read the whole chain; and a kill between
//! making the state and writing where it begins would come to the same. So a state is kept only when it is known to begin
//! where it should, and made anew until then: nobody has been told anything of it yet.
//!
//! And every later start: a state that was opened less often than the caller knows is an old copy, and a node that speaks
//! for it would lose its channels to their peers.

use std::path::Path;
use std::sync::Arc;

use super::{LdkNode, NodeConfig, NodeRuntime, private_dir, store};
use crate::WalletError;
use crate::records::write_atomic;

/// Says that the state beside it begins where it should.
const BORN: &str = "born";

pub(super) async fn open(config: NodeConfig, runtime: &Arc<NodeRuntime>) -> Result<LdkNode, WalletError> {
    let disk = |error: std::io::Error| WalletError::Disk(error.to_string());
    let (dir, by_block) = (config.dir.clone(), !config.chain.is_by_transaction());
    let born = dir.join(BORN);
    let is_new = !born.exists();
    private_dir(&dir).map_err(disk)?;
    let state = store::look(&dir).map_err(|error| WalletError::Disk(error.to_string()))?;
    if config.epoch.is_some_and(|ours| state.epoch < ours) {
        return Err(WalletError::OldState { dir: dir.display().to_string() });
    }
    if is_new && !state.has_run {
        clear(&dir)?;
    }
    let source = config.source_tip.tip().height;
    // One more than either side knows: a kill before the caller has noted it leaves this side ahead, which is harmless.
    let config = NodeConfig { epoch: config.epoch.map(|ours| ours.max(state.epoch) + 1), ..config };
    let node = LdkNode::build(config, runtime).await?;
    if is_new {
        let begins = node.call(|node, _| Ok(node.status().current_best_block.height)).await?;
        if by_block && begins == 0 && source > 0 {
            return Err(WalletError::Busy);
        }
        // ldk-node writes where its wallet begins together with its first address.
        node.new_address().await?;
        write_atomic(&born, begins.to_string().as_bytes()).map_err(disk)?;
    }
    node.inner.is_born();
    node.start().await?;
    Ok(node)
}

/// Removes a state that was made and never started.
fn clear(dir: &Path) -> Result<(), WalletError> {
    for name in store::files() {
        match std::fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(WalletError::Disk(error.to_string()));
            }
            _ => {}
        }
    }
    Ok(())
}
