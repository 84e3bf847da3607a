//! A running node, shared.

use std::ops::Deref;
use std::sync::Arc;

use ldk_node::Node;

/// The node behind a trait object, which crosses threads by its word.
///
/// Whether a type may cross threads is asked of every future that holds it, and LDK's types refer to each other in
/// circles, so that the compiler cannot remember the answer: asked for each future of the house, it took minutes.
#[derive(Clone)]
pub(super) struct SharedNode(Arc<dyn HasNode>);

trait HasNode: Send + Sync {
    fn node(&self) -> &Node;
}

impl HasNode for Node {
    fn node(&self) -> &Node {
        self
    }
}

impl SharedNode {
    pub(super) fn new(node: Node) -> Self {
        Self(Arc::new(node))
    }

    /// How many share it.
    pub(super) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

impl Deref for SharedNode {
    type Target = Node;

    fn deref(&self) -> &Node {
        self.0.node()
    }
}
