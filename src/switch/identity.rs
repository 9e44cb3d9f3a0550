//! Who calls, and whom: reading numbers from a trusted trunk's INVITE (RFC 3325 §9.1,
//! RFC 3261 §8.2.2.1 and §20.20, draft-ietf-sip-privacy-04 for Remote-Party-ID).

use crate::number::{Number, NumberPlan};
use crate::sip::{Header, Message, NameAddr, Scheme, Uri};
use crate::switch::settings::{IdentityHeader, NumberFormat, Trunk};

/// The number in the Request-URI, if it is one.
pub(super) fn called(message: &Message<'_>, plan: &NumberPlan) -> Option<Number> {
    number_in(message.request_uri()?, plan)
}

/// The caller's number, from the first header in the trunk's order that has a usable one.
///
/// The caller of this function has checked that the trunk is trusted. Two different numbers in
/// one header are nobody: which of them is real cannot be known.
pub(super) fn caller(message: &Message<'_>, trunk: &Trunk, plan: &NumberPlan) -> Option<Number> {
    for header in &trunk.identity_order {
        let header = match header {
            IdentityHeader::PAssertedIdentity => Header::PAssertedIdentity,
            IdentityHeader::RemotePartyId => Header::RemotePartyId,
            IdentityHeader::From => Header::From,
        };
        let mut found = None;
        for element in message.elements(header) {
            let Some(number) = NameAddr::parse(element)
                .ok()
                .and_then(|n| number_in(n.uri, plan))
            else {
                continue;
            };
            match found {
                None => found = Some(number),
                Some(earlier) if earlier != number => return None,
                Some(_) => {}
            }
        }
        if found.is_some() {
            return found;
        }
    }
    None
}

/// A number as the trunk wants it written in the user part of a URI.
pub(super) fn written(number: Number, format: NumberFormat, plan: &NumberPlan) -> String {
    match format {
        NumberFormat::E164 => number.e164(),
        NumberFormat::Plain => number.digits().to_string(),
        NumberFormat::National => plan
            .national(number)
            .unwrap_or_else(|| format!("00{}", number.digits())),
    }
}

fn number_in(uri: &[u8], plan: &NumberPlan) -> Option<Number> {
    let uri = Uri::parse(uri).ok()?;
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel) {
        return None;
    }
    plan.normalise(&uri.telephone()?).ok()
}
