//! Requests for old guests, which take and give bodies whole: read first, up to a limit, and answered at once.

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use pirn_triggers::http::{Answer, Broken, Head, Outgoing, Source, Taken};

use crate::limits::http::WHOLE_BODY_BYTES_MAX;
use crate::worlds::{WholeAnswer, WholeRequest};

/// All of a body.
pub(super) async fn read(source: &Source) -> Result<Bytes, Broken> {
    let mut all = BytesMut::new();
    loop {
        source.ready().await;
        match source.take(usize::MAX) {
            Taken::Piece(piece) if all.len() + piece.len() > WHOLE_BODY_BYTES_MAX => {
                return Err(Broken::TooLarge(WHOLE_BODY_BYTES_MAX as u64));
            }
            Taken::Piece(piece) => all.extend_from_slice(&piece),
            Taken::Nothing => {}
            Taken::End => return Ok(all.freeze()),
            Taken::Broken(broken) => return Err(broken),
        }
    }
}

/// A request as such guests see it: what is no text is not there.
pub(super) fn request(head: &Head, body: Bytes) -> WholeRequest {
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = std::str::from_utf8(value.as_bytes()).ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    let query = head.path_and_query.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let param = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    };
    WholeRequest {
        method: head.method.as_str().to_owned(),
        uri: head.path_and_query.clone(),
        fields: head.fields.iter().filter_map(field).collect(),
        params: pairs.map(param).collect(),
        body,
    }
}

/// A part of a query (URL standard, `application/x-www-form-urlencoded`).
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).and_then(|two| {
            let two = std::str::from_utf8(two).ok().filter(|_| *first == b'%')?;
            u8::from_str_radix(two, 16).ok()
        });
        rest = if escaped.is_some() { &after[2..] } else { after };
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Such a guest's answer. Of fields that cannot go over the wire, or are the connection's, nothing goes.
pub(super) fn answer(answer: WholeAnswer) -> Answer {
    let status = StatusCode::from_u16(answer.status).ok();
    let Some(status) = status.filter(|status| !status.is_informational()) else {
        return Answer::empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut fields = HeaderMap::new();
    for (name, value) in answer.fields {
        let (name, value) = (HeaderName::try_from(name), HeaderValue::try_from(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            // More than there can be are not there.
            let _ = fields.try_append(name, value);
        }
    }
    for ours in
        [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE]
    {
        fields.remove(ours);
    }
    Answer { status, fields, body: Outgoing::Whole(answer.body) }
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn a_query_is_read_as_forms_write_it() {
        for (text, read) in [
            ("a+b", "a b"),
            ("%41%c3%a4", "Aä"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(decoded(text), read, "{text}");
        }
    }
}
