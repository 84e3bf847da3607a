//! Tests that need several modules at once.

mod corpus;
mod hostile;
mod random;
mod render;
mod sections;
pub(crate) mod support;
