//! From what went wrong to an HTTP answer: `{"error":{code,message,remedy,blocking_id}}`.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::time::Time;
use crate::number::Number;
use crate::sid::Sid;
use crate::store::{self, Refusal, call_log};

/// The body of every answer that is not 2xx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What was wrong and what to do.
    pub error: Refusal,
}

/// A request that was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    status: StatusCode,
    refusal: Box<Refusal>,
}

/// What a route answers.
pub(super) type Answer<T> = Result<Json<T>, Refused>;

/// A refusal with these words.
pub fn refusal(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Refusal {
    Refusal {
        code: code.to_owned(),
        message: message.into(),
        remedy: remedy.into(),
        blocking_id: None,
    }
}

impl Refused {
    fn new(status: StatusCode, refusal: Refusal) -> Refused {
        let refusal = Box::new(refusal);
        Refused { status, refusal }
    }

    /// There is no such thing.
    pub(super) fn not_found(what: &str, name: &str) -> Refused {
        Refused::from(refusal(
            &format!("unknown_{what}"),
            format!("there is no {what} {name}"),
            format!("check it; list the {what}s to see which there are"),
        ))
    }

    /// The refusal itself.
    pub(super) fn into_refusal(self) -> Refusal {
        *self.refusal
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let status = status_of(&refusal.code);
        Refused::new(status, refusal)
    }
}

/// What does not exist is 404, what stands in the way of something else is 409, the rest is a
/// wrong request.
fn status_of(code: &str) -> StatusCode {
    let conflict = [
        "_taken",
        "_exists",
        "_in_use",
        "_mismatch",
        "_ended",
        "_is_party",
    ];
    if code.starts_with("unknown_") {
        StatusCode::NOT_FOUND
    } else if conflict.iter().any(|end| code.ends_with(end)) {
        StatusCode::CONFLICT
    } else {
        StatusCode::BAD_REQUEST
    }
}

impl From<store::Error> for Refused {
    fn from(error: store::Error) -> Self {
        let message = error.to_string();
        let (status, code, remedy) = match error {
            store::Error::Refused(refusal) => return refusal.into(),
            store::Error::Disk(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "store_failed",
                // What a failed write left on the disk shows only when it is read again.
                "look at the disk and at the server's log, start the server again, then look \
                 whether the change was made before repeating it",
            ),
            store::Error::Busy(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store_busy",
                "nothing was changed; repeat it in a moment",
            ),
            store::Error::Closed => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store_closed",
                "nothing was changed; the server is stopping, repeat it when it runs again",
            ),
        };
        Refused::new(status, refusal(code, message, remedy))
    }
}

impl From<call_log::Error> for Refused {
    fn from(error: call_log::Error) -> Self {
        trouble(
            "call_log_failed",
            error.to_string(),
            "look at the disk and at the server's log",
        )
    }
}

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        let words = refusal(
            "bad_request",
            rejection.body_text(),
            "correct the request's body",
        );
        Refused::new(rejection.status(), words)
    }
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Self {
        let words = refusal(
            "bad_request",
            rejection.body_text(),
            "correct the request's query",
        );
        Refused::new(rejection.status(), words)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: *self.refusal,
        };
        (self.status, Json(body)).into_response()
    }
}

/// Something else than a refusal failed on our side.
pub(super) fn trouble(code: &str, message: impl Into<String>, remedy: &str) -> Refused {
    Refused::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        refusal(code, message, remedy),
    )
}

/// Reads a number that a person typed; `what` names it, as in `customer`. The text itself is
/// repeated: the answer goes to the one who typed it, not into a log.
pub(super) fn number(what: &str, text: &str) -> Result<Number, Refused> {
    Number::parse_e164(text).map_err(|why| {
        let (problem, remedy) = match why.to_string().split_once(": ") {
            Some((problem, remedy)) => (problem.to_owned(), remedy.to_owned()),
            None => (why.to_string(), "write it in E.164 form".to_owned()),
        };
        let shown: String = text.chars().take(40).collect();
        Refused::from(refusal(
            "malformed_number",
            format!("{what} \"{shown}\" is not usable: {problem}"),
            remedy,
        ))
    })
}

/// Reads an id that a person typed.
pub(super) fn sid(what: &str, text: &str) -> Result<Sid, Refused> {
    text.parse().map_err(|why: crate::sid::NotASid| {
        let shown: String = text.chars().take(40).collect();
        Refused::from(refusal(
            "malformed_id",
            format!("\"{shown}\" is not the id of {what}"),
            why.to_string(),
        ))
    })
}

/// Reads a time that a person typed.
pub(super) fn time(what: &str, text: &str) -> Result<Time, Refused> {
    Time::parse(text).map_err(|why| {
        let shown: String = text.chars().take(40).collect();
        let why = why.to_string();
        let remedy = why.strip_prefix("not a time: ").unwrap_or(&why);
        Refused::from(refusal(
            "malformed_time",
            format!("{what} \"{shown}\" is not a time"),
            remedy,
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_choose_the_status() {
        for (code, status) in [
            ("unknown_exophone", 404),
            ("exophone_taken", 409),
            ("version_mismatch", 409),
            ("allocation_ended", 409),
            ("same_number", 400),
            ("malformed_number", 400),
        ] {
            assert_eq!(status_of(code).as_u16(), status, "{code}");
        }
    }

    #[test]
    fn a_failed_write_promises_nothing() {
        let failed = Refused::from(store::Error::Disk("no space left".to_owned()));
        assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR);
        let remedy = failed.into_refusal().remedy;
        assert!(remedy.contains("whether the change was made"), "{remedy}");
        let busy = Refused::from(store::Error::Busy(8)).into_refusal();
        assert!(busy.remedy.contains("nothing was changed"), "{busy}");
    }

    #[test]
    fn typed_things_are_named_when_wrong() {
        let e = number("customer", "0987").unwrap_err().into_refusal();
        assert_eq!(e.code, "malformed_number");
        assert!(e.message.contains("customer \"0987\""), "{e}");
        assert!(e.remedy.contains("+914412345678"), "{e}");
        assert_eq!(
            sid("a call", "xyz").unwrap_err().into_refusal().code,
            "malformed_id"
        );
        let e = time("expires", "soon").unwrap_err().into_refusal();
        assert!(e.remedy.starts_with("write RFC 3339"), "{e}");
    }
}
