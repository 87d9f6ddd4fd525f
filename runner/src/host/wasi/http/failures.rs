//! What went wrong with a request of a guest's, in the words of its interface.

use std::io::ErrorKind;

use pirn_triggers::net::http::HttpError;
use pirn_triggers::net::{DialError, TlsFailure};

use super::words::{DnsError, ErrorCode};
use crate::host::outbound::AskError;

impl From<&AskError> for ErrorCode {
    fn from(error: &AskError) -> Self {
        match error {
            AskError::Denied(_) => Self::HttpRequestDenied,
            AskError::Scheme(_) => Self::HttpProtocolError,
            AskError::NobodyInside => Self::DestinationNotFound,
            AskError::Http(error) => error.into(),
        }
    }
}

impl From<&HttpError> for ErrorCode {
    fn from(error: &HttpError) -> Self {
        match error {
            HttpError::Dial(error) => error.into(),
            HttpError::Busy => Self::ConnectionLimitReached,
            HttpError::Timeout(_) => Self::ConnectionReadTimeout,
            HttpError::Request(_) => Self::HttpRequestUriInvalid,
            HttpError::Cut => Self::HttpResponseIncomplete,
            HttpError::HeadTooLarge => Self::HttpResponseHeaderSectionSize(None),
            HttpError::Protocol(_) => Self::HttpProtocolError,
            HttpError::BodyTooLarge(most) => Self::HttpResponseBodySize(Some(*most as u64)),
            HttpError::Unfinished => Self::HttpRequestBodySize(None),
        }
    }
}

impl From<&DialError> for ErrorCode {
    fn from(error: &DialError) -> Self {
        let dns = |why: &str| DnsError { rcode: Some(why.to_owned()), info_code: None };
        match error {
            DialError::Unknown { why, .. } => Self::DnsError(dns(why)),
            DialError::NoAddress { .. } => Self::DnsError(dns("no address")),
            DialError::LookupTimeout { .. } => Self::DnsTimeout,
            DialError::NotPermitted { .. } => Self::DestinationIpProhibited,
            DialError::Timeout { .. } => Self::ConnectionTimeout,
            DialError::Failed { kind: ErrorKind::ConnectionRefused, .. } => Self::ConnectionRefused,
            DialError::Failed {
                kind: ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable,
                ..
            } => Self::DestinationIpUnroutable,
            DialError::Failed { kind: ErrorKind::TimedOut, .. } => Self::ConnectionTimeout,
            DialError::Failed { .. } => Self::DestinationUnavailable,
            DialError::Tls { why: TlsFailure::Certificate(_), .. } => Self::TlsCertificateError,
            DialError::Tls { why: TlsFailure::Protocol(_), .. } => Self::TlsProtocolError,
            DialError::Tls { why: TlsFailure::Broken(_), .. } => Self::ConnectionTerminated,
            DialError::Tls { why: TlsFailure::Timeout, .. } => Self::ConnectionTimeout,
            DialError::TlsConfig(_) => Self::ConfigurationError,
        }
    }
}
