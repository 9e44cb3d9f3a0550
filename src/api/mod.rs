//! HTTP: the public listener (health and metrics) and the administrator's routes, which the
//! command line speaks through a Unix socket, or in process when no server runs.

pub mod admin;
pub mod health;
pub mod monitor;
mod refuse;
pub mod report_shape;
mod serve;
pub mod shape;
mod sound;
mod stream;
mod time;

pub use admin::State;
pub use monitor::{Calls, Metric, MetricKind, Monitor, Offline};
pub use refuse::{ErrorBody, refusal};
pub use serve::{serve_tcp, serve_unix};
pub use sound::check_file as check_sound;
pub use stream::{PieceReader, PieceWriter, reader as piece_reader, writer as piece_writer};
pub use time::{NotATime, Time};
