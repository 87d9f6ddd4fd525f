//! The words of `wasi:http/types`: methods, schemes, what can go wrong. The same in every version, and between them and the
//! crate `http`.

use http::Method as HttpMethod;
use http::uri::Scheme as HttpScheme;
use pirn_triggers::http::Broken;
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::engine::wire::wire;

wire! {
    /// `variant method`, cases in the order of the WIT.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub(crate) enum Method {
        #[component(name = "get")]
        Get,
        #[component(name = "head")]
        Head,
        #[component(name = "post")]
        Post,
        #[component(name = "put")]
        Put,
        #[component(name = "delete")]
        Delete,
        #[component(name = "connect")]
        Connect,
        #[component(name = "options")]
        Options,
        #[component(name = "trace")]
        Trace,
        #[component(name = "patch")]
        Patch,
        #[component(name = "other")]
        Other(String),
    }
}

impl From<&HttpMethod> for Method {
    fn from(method: &HttpMethod) -> Self {
        match method.as_str() {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            "PATCH" => Self::Patch,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Method {
    /// As it goes over the wire; `None` if it is no token.
    pub(crate) fn token(&self) -> Option<HttpMethod> {
        Some(match self {
            Self::Get => HttpMethod::GET,
            Self::Head => HttpMethod::HEAD,
            Self::Post => HttpMethod::POST,
            Self::Put => HttpMethod::PUT,
            Self::Delete => HttpMethod::DELETE,
            Self::Connect => HttpMethod::CONNECT,
            Self::Options => HttpMethod::OPTIONS,
            Self::Trace => HttpMethod::TRACE,
            Self::Patch => HttpMethod::PATCH,
            Self::Other(other) => return HttpMethod::from_bytes(other.as_bytes()).ok(),
        })
    }
}

wire! {
    /// `variant scheme`, cases in the order of the WIT.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub(crate) enum Scheme {
        #[component(name = "HTTP")]
        Http,
        #[component(name = "HTTPS")]
        Https,
        #[component(name = "other")]
        Other(String),
    }
}

impl From<&HttpScheme> for Scheme {
    fn from(scheme: &HttpScheme) -> Self {
        match scheme.as_str() {
            "http" => Self::Http,
            "https" => Self::Https,
            other => Self::Other(other.to_owned()),
        }
    }
}

wire! {
    /// `record DNS-error-payload`.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub struct DnsError {
        pub(crate) rcode: Option<String>,
        #[component(name = "info-code")]
        pub(crate) info_code: Option<u16>,
    }
}

wire! {
    /// `record TLS-alert-received-payload`.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub struct TlsAlert {
        #[component(name = "alert-id")]
        pub(crate) alert_id: Option<u8>,
        #[component(name = "alert-message")]
        pub(crate) alert_message: Option<String>,
    }
}

wire! {
    /// `record field-size-payload`.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub struct FieldSize {
        #[component(name = "field-name")]
        pub(crate) field_name: Option<String>,
        #[component(name = "field-size")]
        pub(crate) field_size: Option<u32>,
    }
}

wire! {
    /// `variant error-code`, cases in the order of the WIT; those of 0.2 and 0.3 are the same.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    #[allow(missing_docs, reason = "the names are the interface's")]
    pub enum ErrorCode {
        #[component(name = "DNS-timeout")]
        DnsTimeout,
        #[component(name = "DNS-error")]
        DnsError(DnsError),
        #[component(name = "destination-not-found")]
        DestinationNotFound,
        #[component(name = "destination-unavailable")]
        DestinationUnavailable,
        #[component(name = "destination-IP-prohibited")]
        DestinationIpProhibited,
        #[component(name = "destination-IP-unroutable")]
        DestinationIpUnroutable,
        #[component(name = "connection-refused")]
        ConnectionRefused,
        #[component(name = "connection-terminated")]
        ConnectionTerminated,
        #[component(name = "connection-timeout")]
        ConnectionTimeout,
        #[component(name = "connection-read-timeout")]
        ConnectionReadTimeout,
        #[component(name = "connection-write-timeout")]
        ConnectionWriteTimeout,
        #[component(name = "connection-limit-reached")]
        ConnectionLimitReached,
        #[component(name = "TLS-protocol-error")]
        TlsProtocolError,
        #[component(name = "TLS-certificate-error")]
        TlsCertificateError,
        #[component(name = "TLS-alert-received")]
        TlsAlertReceived(TlsAlert),
        #[component(name = "HTTP-request-denied")]
        HttpRequestDenied,
        #[component(name = "HTTP-request-length-required")]
        HttpRequestLengthRequired,
        #[component(name = "HTTP-request-body-size")]
        HttpRequestBodySize(Option<u64>),
        #[component(name = "HTTP-request-method-invalid")]
        HttpRequestMethodInvalid,
        #[component(name = "HTTP-request-URI-invalid")]
        HttpRequestUriInvalid,
        #[component(name = "HTTP-request-URI-too-long")]
        HttpRequestUriTooLong,
        #[component(name = "HTTP-request-header-section-size")]
        HttpRequestHeaderSectionSize(Option<u32>),
        #[component(name = "HTTP-request-header-size")]
        HttpRequestHeaderSize(Option<FieldSize>),
        #[component(name = "HTTP-request-trailer-section-size")]
        HttpRequestTrailerSectionSize(Option<u32>),
        #[component(name = "HTTP-request-trailer-size")]
        HttpRequestTrailerSize(FieldSize),
        #[component(name = "HTTP-response-incomplete")]
        HttpResponseIncomplete,
        #[component(name = "HTTP-response-header-section-size")]
        HttpResponseHeaderSectionSize(Option<u32>),
        #[component(name = "HTTP-response-header-size")]
        HttpResponseHeaderSize(FieldSize),
        #[component(name = "HTTP-response-body-size")]
        HttpResponseBodySize(Option<u64>),
        #[component(name = "HTTP-response-trailer-section-size")]
        HttpResponseTrailerSectionSize(Option<u32>),
        #[component(name = "HTTP-response-trailer-size")]
        HttpResponseTrailerSize(FieldSize),
        #[component(name = "HTTP-response-transfer-coding")]
        HttpResponseTransferCoding(Option<String>),
        #[component(name = "HTTP-response-content-coding")]
        HttpResponseContentCoding(Option<String>),
        #[component(name = "HTTP-response-timeout")]
        HttpResponseTimeout,
        #[component(name = "HTTP-upgrade-failed")]
        HttpUpgradeFailed,
        #[component(name = "HTTP-protocol-error")]
        HttpProtocolError,
        #[component(name = "loop-detected")]
        LoopDetected,
        #[component(name = "configuration-error")]
        ConfigurationError,
        #[component(name = "internal-error")]
        InternalError(Option<String>),
    }
}

/// Why a body that comes in broke.
impl From<&Broken> for ErrorCode {
    fn from(broken: &Broken) -> Self {
        match broken {
            Broken::TooLarge(bytes_max) => Self::HttpRequestBodySize(Some(*bytes_max)),
            Broken::TooSlow => Self::ConnectionReadTimeout,
            Broken::Cut(_) => Self::ConnectionTerminated,
        }
    }
}
