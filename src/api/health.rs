//! The public listener: `/healthz`, `/readyz` and `/metrics`, nothing else. None of the three
//! tells a number, an id or a name of an account.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::monitor::{Metric, MetricKind, Monitor};

/// The routes of the public listener.
pub fn router(monitor: Arc<dyn Monitor>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(monitor)
}

/// 503 while new calls are refused, so that a load balancer sends them elsewhere.
async fn ready(State(monitor): State<Arc<dyn Monitor>>) -> Response {
    if monitor.ready() {
        "ready\n".into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "new calls are refused: see the log\n",
        )
            .into_response()
    }
}

async fn metrics(State(monitor): State<Arc<dyn Monitor>>) -> Response {
    let kind = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (kind, exposition(&monitor.metrics())).into_response()
}

/// Prometheus text exposition format 0.0.4.
fn exposition(metrics: &[Metric]) -> String {
    let mut text = String::new();
    let mut family = "";
    for metric in metrics {
        if metric.name != family {
            family = metric.name;
            let kind = match metric.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
            };
            let _ = writeln!(text, "# HELP {family} {}", escape(metric.help, false));
            let _ = writeln!(text, "# TYPE {family} {kind}");
        }
        text.push_str(metric.name);
        for (i, (name, value)) in metric.labels.iter().enumerate() {
            let open = if i == 0 { '{' } else { ',' };
            let _ = write!(text, "{open}{name}=\"{}\"", escape(value, true));
        }
        if !metric.labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {}", metric.value);
    }
    text
}

/// Backslash and line feed are escaped in help texts, the quote in label values as well.
fn escape(text: &str, label: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if label => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposition_groups_families_and_escapes() {
        let metrics = [
            Metric::counter("a_total", "As \\ seen.", 3).label("trunk", "one\"\n"),
            Metric::counter("a_total", "As \\ seen.", 4)
                .label("trunk", "two")
                .label("way", "in"),
            Metric::gauge("b", "Bs.", 5_000_000_000),
        ];
        let want = "# HELP a_total As \\\\ seen.\n# TYPE a_total counter\n\
                    a_total{trunk=\"one\\\"\\n\"} 3\na_total{trunk=\"two\",way=\"in\"} 4\n\
                    # HELP b Bs.\n# TYPE b gauge\nb 5000000000\n";
        assert_eq!(exposition(&metrics), want);
    }
}
