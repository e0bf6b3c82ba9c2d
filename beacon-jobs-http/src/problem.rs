use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use beacon_jobs::job::JobStatus;
use beacon_jobs::{Error, ErrorKind, JobId};
use serde::Serialize;

/// How many seconds a client is asked to wait before it tries again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// A refusal, or a failure, as the client is told it.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: String,
    job_id: Option<JobId>,
    job_status: Option<JobStatus>,
    field: Option<String>,
    /// In seconds.
    retry_after: Option<u64>,
}

/// What sort of problem it is, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    TooManyRequests,
    RequestTimeout,
    Unauthenticated,
    #[cfg(feature = "wallet")]
    SignInRefused,
    BodyTooLarge,
    UnsupportedMediaType,
    MalformedBody,
    InvalidRequest,
    RouteNotFound,
    MethodNotAllowed,
    JobNotFound,
    Forbidden,
    ExecutorForbidden,
    AlreadyFinished,
    Conflict,
    StoreUnavailable,
    OutcomeUnknown,
    AuthenticationUnavailable,
    Internal,
}

impl Code {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::TooManyRequests => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "Too many requests")
            }
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout", "Request too slow"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "Not signed in"),
            #[cfg(feature = "wallet")]
            Self::SignInRefused => (StatusCode::UNAUTHORIZED, "sign_in_refused", "Sign-in refused"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Body too large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type")
            }
            Self::MalformedBody => (StatusCode::BAD_REQUEST, "malformed_body", "Malformed body"),
            Self::InvalidRequest => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "Invalid request"),
            Self::RouteNotFound => (StatusCode::NOT_FOUND, "route_not_found", "No such route"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
            }
            Self::JobNotFound => (StatusCode::NOT_FOUND, "job_not_found", "No such job"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Forbidden"),
            Self::ExecutorForbidden => (StatusCode::FORBIDDEN, "executor_forbidden", "Executor forbidden"),
            Self::AlreadyFinished => (StatusCode::CONFLICT, "already_finished", "Job already finished"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict"),
            Self::StoreUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "Store unavailable")
            }
            Self::OutcomeUnknown => (StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown", "Outcome unknown"),
            Self::AuthenticationUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "authentication_unavailable", "Authentication unavailable")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        }
    }
}

/// The members of a problem document.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Problem))]
pub(crate) struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    error: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: &'a Option<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_status: Option<JobStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: &'a Option<String>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self(Box::new(Inner { code, detail, job_id: None, job_status: None, field: None, retry_after: None }))
    }

    /// A field, parameter or header that is not allowed.
    pub(crate) fn invalid(field: impl Into<String>, message: &str) -> Self {
        Self::field(Code::InvalidRequest, field, message)
    }

    /// A problem with a part of the request.
    pub(crate) fn field(code: Code, field: impl Into<String>, message: &str) -> Self {
        let field = field.into();
        let mut problem = Self::new(code, format!("{field}: {message}"));
        problem.0.field = Some(field);
        problem
    }

    /// A field or parameter that nothing knows. Its name is the client's: it is cut to a short line.
    pub(crate) fn unknown(name: &str, known: &str) -> Self {
        let mut shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        if name.chars().nth(64).is_some() {
            shown.push('…');
        }
        Self::invalid(shown, &format!("is not known here; allowed: {known}"))
    }

    /// No job has this id.
    pub(crate) fn no_job() -> Self {
        Self::new(Code::JobNotFound, "there is no job with this id")
    }

    /// The job is somebody else's.
    pub(crate) fn not_yours() -> Self {
        Self::new(Code::Forbidden, "the job belongs to somebody else")
    }

    /// Something that only a fault of this program or its host explains. The log has it.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "request failed");
        Self::new(Code::Internal, "the server failed; its log says why under the id in X-Request-ID")
    }

    /// Whether it is that nobody is known to ask.
    pub(crate) fn is_of_credential(&self) -> bool {
        self.0.code == Code::Unauthenticated
    }

    /// Names the job that the request was about, unless another is named already.
    #[must_use]
    pub(crate) fn about(mut self, job: Option<JobId>) -> Self {
        self.0.job_id = self.0.job_id.or(job);
        self
    }

    /// Says when the same request may be sent again, in seconds.
    #[must_use]
    pub(crate) fn with_retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Tells the job's status.
    #[must_use]
    pub(crate) fn with_job_status(mut self, status: JobStatus) -> Self {
        self.0.job_status = Some(status);
        self
    }
}

impl From<Error> for Problem {
    /// The texts of store errors may name paths and hosts: they go to the log, not to the client.
    fn from(error: Error) -> Self {
        match (error.kind(), error.field()) {
            (ErrorKind::InvalidInput, Some(field)) if !field.is_empty() => {
                Self::invalid(field, error.message())
            }
            (ErrorKind::InvalidInput, _) => Self::new(Code::InvalidRequest, error.message()),
            (ErrorKind::Conflict, _) => Self::new(Code::Conflict, error.message()),
            (ErrorKind::Unavailable, _) => {
                tracing::warn!(%error, "the store is unavailable");
                let detail = "the store cannot be reached; nothing was changed, send the request again";
                Self::new(Code::StoreUnavailable, detail)
            }
            (ErrorKind::OutcomeUnknown, _) => {
                tracing::warn!(%error, "the store was lost during a commit");
                let detail = "the store was lost while it committed; send the same request again to know";
                Self::new(Code::OutcomeUnknown, detail)
            }
            _ => Self::internal(&error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner { code, detail, job_id, job_status, field, retry_after } = &*self.0;
        let (status, word, title) = code.parts();
        let document = Document {
            r#type: format!("urn:beacon-jobs:problem:{word}"),
            title,
            status: status.as_u16(),
            detail,
            error: detail,
            code: word,
            job_id,
            job_status: *job_status,
            field,
        };
        // Strings, a number and optional strings always have a JSON form.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, (*seconds).into());
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}
