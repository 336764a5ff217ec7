//! A certificate's subject reads here as Java writes it, and a rule makes of it what Kafka's own `SslPrincipalMapper` does:
//! both asked the same, with the classes out of Kafka's jars.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use loadtest::{kafka, process};
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};
use weir::policy::SubjectMapping;
use weir::tls::CertificateSubject;

fn utf8(text: &str) -> DnValue {
    DnValue::Utf8String(text.to_owned())
}

/// Subjects with what names hold in practice, and what they might hold to mislead.
fn subjects() -> Vec<Vec<(DnType, DnValue)>> {
    use DnType::{
        CommonName, CountryName, LocalityName, OrganizationName, OrganizationalUnitName, StateOrProvinceName,
    };
    let mail = || DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
    let component = || DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 25]);
    let user = || DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
    let title = || DnType::CustomDnType(vec![2, 5, 4, 12]);
    let ascii = |text: &str| DnValue::Ia5String(text.try_into().unwrap());
    let printable = |text: &str| DnValue::PrintableString(text.try_into().unwrap());
    vec![
        vec![(CommonName, utf8("kafka-client.1"))],
        vec![
            (CountryName, printable("US")),
            (StateOrProvinceName, utf8("MD")),
            (LocalityName, utf8("Fulton")),
            (OrganizationName, utf8("mycp")),
            (OrganizationalUnitName, utf8("SME")),
            (CommonName, utf8("Duke")),
        ],
        vec![
            (OrganizationName, utf8("Org")),
            (OrganizationalUnitName, utf8("ServiceUsers")),
            (CommonName, utf8("Duke")),
        ],
        vec![(component(), ascii("com")), (component(), ascii("mycp")), (user(), utf8("duke"))],
        vec![(mail(), ascii("duke@example.com")), (title(), utf8("Dr.")), (CommonName, utf8("Duke"))],
        vec![(CommonName, utf8("a,b+c\"d\\e<f>g;h=i#j/k"))],
        vec![(CommonName, utf8(" two  blanks ")), (OrganizationalUnitName, utf8("#hash"))],
        vec![(CommonName, utf8("CN=other,OU=ServiceUsers"))],
        vec![(CommonName, utf8("Jürgen Østergård 李 \u{1F980}"))],
        vec![(CommonName, DnValue::TeletexString("teletex".try_into().unwrap()))],
        vec![(CommonName, utf8("")), (OrganizationName, utf8("empty"))],
        vec![(CommonName, utf8("\u{0667}\u{0660}"))],
    ]
}

/// Values of `ssl.principal.mapping.rules`, a rule an item.
const RULES: &[&[&str]] = &[
    &["DEFAULT"],
    &[
        "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/",
        "RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L",
        "RULE:^UID=(.*?),DC=(.*?),DC=(.*?)$/$1@$2/U",
        "RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/U",
        "DEFAULT",
    ],
    &["RULE:(.*)/<$1>/"],
    &["RULE:CN=(.*?)/$1!/"],
    &["RULE:^CN=(.*?)(,.*)?$/$1$2$3$12/L"],
    &["RULE:[^,]*/x/"],
    &["RULE:.*CN=(\\w+).*/$1/U"],
    &["RULE:.*CN=.*?(\\d+).*/$1/"],
    &["RULE:^CN=(?<who>[^,]+).*$/\\${who}\\/${who}/"],
    &["RULE:.*CN=(.*)\\/(.*)/$2\\/$1/L", "DEFAULT"],
    &["RULE:(?i)cn=([^,]+).*/$1/"],
];

#[test]
fn names_and_what_rules_make_of_them_are_javas_and_kafkas() {
    let certificates: Vec<Vec<u8>> = subjects().into_iter().map(certificate).collect();
    let mut asked = String::new();
    for rules in RULES {
        asked += &format!("rules\t{}\n", rules.join(","));
        certificates.iter().for_each(|der| asked += &format!("certificate\t{}\n", STANDARD.encode(der)));
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/java/Subjects.java");
    let mut java = kafka::java(128).unwrap();
    java.arg(program);
    let output = process::run("Subjects.java", &java, asked.as_bytes(), Duration::from_secs(60)).unwrap();
    let mut answers = output.stdout.lines();
    for rules in RULES {
        let mapping = SubjectMapping::parse(rules.iter().copied()).unwrap();
        for der in &certificates {
            let (name, mapped) = answers.next().unwrap().split_once('\t').unwrap();
            let read = CertificateSubject::of(der).unwrap();
            assert_eq!(read.name, name);
            assert_eq!(mapping.name(&read.name).unwrap_or_default(), mapped, "{name} by {rules:?}");
        }
    }
    assert_eq!(answers.next(), None);
}

fn certificate(subject: Vec<(DnType, DnValue)>) -> Vec<u8> {
    let mut name = DistinguishedName::new();
    for (kind, value) in subject {
        name.push(kind, value);
    }
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name = name;
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}
