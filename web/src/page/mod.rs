//! The pages, one file each: a function from what the house says to HTML.

pub(crate) mod landing;
pub(crate) mod oops;
pub(crate) mod pay;
pub(crate) mod refund;
pub(crate) mod sandbox;
pub(crate) mod voucher;
