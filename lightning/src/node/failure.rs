//! ldk-node's errors, by whose fault they are.

use ldk_node::NodeError;

use crate::WalletError;

impl From<NodeError> for WalletError {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::NotRunning => Self::NotRunning,
            NodeError::PersistenceFailed => Self::Disk(error.to_string()),
            NodeError::DuplicatePayment => Self::AlreadyPaid,
            NodeError::InvalidInvoice => Self::BadInvoice("the node refuses it"),
            NodeError::InvalidPaymentHash => Self::UnknownHash,
            NodeError::InvalidPaymentPreimage => Self::WrongPreimage,
            NodeError::InvalidAmount => Self::BadRequest("the amount is below what was asked"),
            NodeError::PaymentSendingFailed | NodeError::InsufficientFunds | NodeError::ConnectionFailed => {
                Self::NoCapacity
            }
            NodeError::TxSyncFailed
            | NodeError::TxSyncTimeout
            | NodeError::WalletOperationTimeout
            | NodeError::FeerateEstimationUpdateFailed
            | NodeError::FeerateEstimationUpdateTimeout => Self::Busy,
            other => Self::Bug(other.to_string()),
        }
    }
}
