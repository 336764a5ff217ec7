//! Whom a certificate names, in the text that Java's `X500Principal.getName()` prints: what rules are written for.
//!
//! That is RFC 2253 with Java's choices: the last component first, keywords for nine attributes only, others by OID with
//! their DER in hex.

use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Name};

/// The subject of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSubject {
    /// The name in RFC 2253 text.
    pub name: String,
    /// Its organizational units, as they stand in the certificate.
    pub units: Vec<String>,
    /// When the certificate ends, ns since the Unix epoch.
    pub expires_ns: u64,
}

/// Why a certificate names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The bytes are no certificate, or its subject holds text in an encoding that not every Java reads alike.
    #[error("the certificate's subject cannot be read: its text has to be UTF-8 or ASCII")]
    Malformed,
    /// Its subject is empty: it names itself by alternative names only, which rules do not see.
    #[error("the certificate has an empty subject")]
    Empty,
}

/// The attributes that RFC 2253 names, by OID.
const KEYWORDS: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    (UNIT, "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];
const UNIT: &str = "2.5.4.11";

impl CertificateSubject {
    /// Reads it off a certificate in DER.
    pub fn of(certificate: &[u8]) -> Result<Self, SubjectError> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| SubjectError::Malformed)?;
        let subject = parsed.subject();
        let name = rfc2253(subject).ok_or(SubjectError::Malformed)?;
        if name.is_empty() {
            return Err(SubjectError::Empty);
        }
        let units =
            subject.iter_attributes().filter(|a| a.attr_type().to_id_string() == UNIT).filter_map(text).collect();
        let ends = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        Ok(Self { name, units, expires_ns: ends.saturating_mul(1_000_000_000) })
    }
}

fn rfc2253(subject: &X509Name<'_>) -> Option<String> {
    let mut components = Vec::new();
    for component in subject.iter_rdn() {
        let values: Option<Vec<String>> = component.iter().map(attribute).collect();
        components.push(values?.join("+"));
    }
    components.reverse();
    Some(components.join(","))
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let oid = attribute.attr_type().to_id_string();
    let keyword = KEYWORDS.iter().find(|(known, _)| *known == oid);
    match (keyword, is_text(attribute)) {
        (Some((_, keyword)), true) => Some(format!("{keyword}={}", escaped(&text(attribute)?))),
        (keyword, _) => {
            let name = keyword.map_or(oid.as_str(), |(_, keyword)| keyword);
            Some(format!("{name}=#{}", hex(&der(attribute))))
        }
    }
}

// The string types of ASN.1 (X.680, 8.6), by tag.
const UTF8_STRING: u32 = 12;
const PRINTABLE_STRING: u32 = 19;
const TELETEX_STRING: u32 = 20;
const IA5_STRING: u32 = 22;
const GENERAL_STRING: u32 = 27;
const UNIVERSAL_STRING: u32 = 28;
const BMP_STRING: u32 = 30;

fn is_text(attribute: &AttributeTypeAndValue<'_>) -> bool {
    matches!(
        attribute.attr_value().tag().0,
        UTF8_STRING | PRINTABLE_STRING | TELETEX_STRING | IA5_STRING | GENERAL_STRING | UNIVERSAL_STRING | BMP_STRING
    )
}

/// The value of a string type; none where it is not certain how it reads.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    match value.tag().0 {
        UTF8_STRING => std::str::from_utf8(value.data).ok().map(ToOwned::to_owned),
        PRINTABLE_STRING | TELETEX_STRING | IA5_STRING | GENERAL_STRING if value.data.is_ascii() => {
            Some(String::from_utf8_lossy(value.data).into_owned())
        }
        // Java 17 takes all of them for UTF-8, later ones do not.
        _ => None,
    }
}

/// Escapes as Java's `AVA.toRFC2253String` does: the special characters, and blanks at both ends.
fn escaped(value: &str) -> String {
    let inner = value.trim_matches([' ', '\r']);
    let lead = value.len() - value.trim_start_matches([' ', '\r']).len();
    let mut out = String::with_capacity(value.len() + 8);
    for (at, c) in value.char_indices() {
        let at_an_end = at < lead || at >= lead + inner.len();
        match c {
            '\0' => out.push_str("\\00"),
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => out.extend(['\\', c]),
            ' ' | '\r' if at_an_end => out.extend(['\\', c]),
            other => out.push(other),
        }
    }
    out
}

/// The value as it is encoded: tag, length, content.
fn der(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    let value = attribute.attr_value();
    let constructed = if value.header.is_constructed() { 0x20 } else { 0 };
    let mut out = vec![u8::try_from(value.tag().0 & 0x1f).unwrap_or(0) | constructed];
    match value.data.len() {
        short @ 0..=127 => out.push(short as u8),
        long => {
            let bytes = long.to_be_bytes();
            let significant = &bytes[bytes.iter().position(|b| *b != 0).unwrap_or(0)..];
            out.push(0x80 | significant.len() as u8);
            out.extend_from_slice(significant);
        }
    }
    out.extend_from_slice(value.data);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    fn subject(parts: &[(DnType, DnValue)]) -> Result<CertificateSubject, SubjectError> {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        let mut name = DistinguishedName::new();
        for (kind, value) in parts {
            name.push(kind.clone(), value.clone());
        }
        params.distinguished_name = name;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        CertificateSubject::of(certificate.der())
    }

    fn utf8(text: &str) -> DnValue {
        DnValue::Utf8String(text.to_owned())
    }

    #[test]
    fn the_last_component_comes_first_and_special_characters_are_escaped() {
        let read = subject(&[
            (DnType::CountryName, DnValue::PrintableString("DE".try_into().unwrap())),
            (DnType::OrganizationName, utf8("Weir, Inc.")),
            (DnType::OrganizationalUnitName, utf8("a+b=c;\"d\"#<e>\\")),
            (DnType::CommonName, utf8(" kafka é ")),
        ]);
        let read = read.unwrap();
        assert_eq!(read.name, r#"CN=\ kafka é\ ,OU=a\+b\=c\;\"d\"\#\<e\>\\,O=Weir\, Inc.,C=DE"#);
        assert_eq!(read.units, ["a+b=c;\"d\"#<e>\\"]);
        assert!(read.expires_ns > 0);
    }

    #[test]
    fn what_rfc_2253_does_not_name_stands_by_its_oid_and_its_der() {
        let mail = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
        let read = subject(&[(DnType::CommonName, utf8("a")), (mail, DnValue::Ia5String("a@b".try_into().unwrap()))]);
        assert_eq!(read.unwrap().name, "1.2.840.113549.1.9.1=#1603614062,CN=a");
    }

    #[test]
    fn a_certificate_without_a_subject_names_nobody() {
        assert_eq!(subject(&[]), Err(SubjectError::Empty));
        assert_eq!(CertificateSubject::of(b"no certificate"), Err(SubjectError::Malformed));
        let wide = DnValue::BmpString("Zoë".try_into().unwrap());
        assert_eq!(subject(&[(DnType::CommonName, wide)]), Err(SubjectError::Malformed));
    }
}
