//! HTTP: the public listener (health and metrics) and the administrator's routes, which the
//! command line speaks through a Unix socket, or in process when no server runs.

pub mod health;
pub mod monitor;
mod serve;

pub use monitor::{Calls, Metric, MetricKind, Monitor, Offline};
pub use serve::{serve_tcp, serve_unix};
