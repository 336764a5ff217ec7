//! Approvals as the control plane keeps them.

pub mod effect;
