//! The switch: calls, legs, dialogs and transactions as one pure state machine.

pub mod admission;
pub mod event;
pub mod media;
pub mod plan;
pub mod record;
pub mod settings;
