//! Threads for nodes.

use std::sync::Arc;

use crate::limits::NODE_THREADS;

/// Threads for nodes, apart from the caller's. Several nodes may share them.
#[derive(Debug)]
pub struct NodeRuntime(Option<tokio::runtime::Runtime>);

impl NodeRuntime {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system's, when it has no thread to give.
    pub fn start() -> std::io::Result<Arc<Self>> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(NODE_THREADS).thread_name("lightning").enable_all().build()?;
        Ok(Arc::new(Self(Some(runtime))))
    }

    pub(super) fn handle(&self) -> &tokio::runtime::Handle {
        self.0.as_ref().expect("taken only in drop").handle()
    }
}

impl Drop for NodeRuntime {
    fn drop(&mut self) {
        // A plain drop would block, and panic when the last owner is an async task.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
