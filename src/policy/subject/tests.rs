//! The rules of Kafka's documentation, and where Java's regular expressions are not like ours.
#![allow(clippy::unwrap_used)]
use super::*;

fn mapping(rules: &[&str]) -> SubjectMapping {
    SubjectMapping::parse(rules.iter().copied()).unwrap()
}

fn refused(rule: &str) -> RuleError {
    SubjectMapping::parse([rule]).unwrap_err().1
}

/// The rules of Kafka's documentation (Security, "Encryption and Authentication using SSL") and of its own unit test.
const DOCUMENTED: [&str; 5] = [
    "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/",
    "RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L",
    "RULE:^cn=(.*?),ou=(.*?),dc=(.*?),dc=(.*?)$/$1@$2/U",
    "RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/U",
    "DEFAULT",
];

#[test]
fn the_rules_of_kafkas_documentation_give_the_names_it_states() {
    let mapping = mapping(&DOCUMENTED);
    let cases = [
        ("CN=Duke,OU=ServiceUsers,O=Org,C=US", "Duke"),
        ("CN=Duke,OU=SME,O=mycp,L=Fulton,ST=MD,C=US", "duke@sme"),
        ("cn=duke,ou=sme,dc=mycp,dc=com", "DUKE@SME"),
        ("O=Weavers,CN=duke.x", "DUKE.X"),
        ("OU=JavaSoft,O=Sun Microsystems", "OU=JavaSoft,O=Sun Microsystems"),
    ];
    for (subject, name) in cases {
        assert_eq!(mapping.name(subject).as_deref(), Some(name), "{subject}");
    }
}

#[test]
fn the_default_is_the_subject_as_it_is() {
    let subject = "CN=kafka,OU=Dev\\, Ops,C=DE";
    assert_eq!(SubjectMapping::default().name(subject).as_deref(), Some(subject));
}

#[test]
fn where_no_rule_fits_there_is_no_name() {
    let mapping = mapping(&["RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/"]);
    assert_eq!(mapping.name("CN=duke,OU=Guests"), None);
}

#[test]
fn a_pattern_has_to_match_the_whole_subject_and_the_first_that_does_decides() {
    assert_eq!(mapping(&["RULE:CN=([a-z]*)/$1/"]).name("CN=duke,OU=x"), None);
    let both = mapping(&["RULE:CN=(.*),OU=x/first $1/", "RULE:CN=(.*)/second $1/"]);
    assert_eq!(both.name("CN=duke,OU=x").as_deref(), Some("first duke"));
    assert_eq!(both.name("CN=duke").as_deref(), Some("second duke"));
}

#[test]
fn an_escaped_slash_belongs_to_pattern_and_replacement() {
    let mapping = mapping(&["RULE:^CN=(.*)\\/(.*)$/$2\\/$1/"]);
    assert_eq!(mapping.name("CN=kafka/broker-1").as_deref(), Some("broker-1/kafka"));
}

#[test]
fn a_group_that_the_pattern_lacks_is_plain_text_as_in_kafka() {
    assert_eq!(mapping(&["RULE:^CN=(.*),OU=(.*)$/$1@$4/"]).name("CN=a,OU=b").as_deref(), Some("a@$4"));
    assert_eq!(mapping(&["RULE:^CN=(.*)$/$10/"]).name("CN=a").as_deref(), Some("a0"));
    assert_eq!(mapping(&["RULE:^CN=(?<who>.*)$/${who}!/"]).name("CN=a").as_deref(), Some("a!"));
    assert_eq!(mapping(&["RULE:^CN=(.*)$/\\$1/"]).name("CN=a").as_deref(), Some("$1"));
}

#[test]
fn replacement_goes_on_as_javas_replace_all_does() {
    // "abc".replaceAll("(.*)", "$1x") is "abcxx" in Java: the empty end matches too.
    assert_eq!(mapping(&["RULE:(.*)/$1x/"]).name("abc").as_deref(), Some("abcxx"));
    // The lazy group takes all for the whole match, and nothing when it is looked for.
    assert_eq!(mapping(&["RULE:CN=(.*?)/<$1>/"]).name("CN=duke").as_deref(), Some("<>duke"));
}

#[test]
fn javas_digits_and_letters_are_ascii() {
    let mapping = mapping(&[r"RULE:CN=[\w.]*(\d)/$1/"]);
    assert_eq!(mapping.name("CN=a.b7").as_deref(), Some("7"));
    assert_eq!(mapping.name("CN=a.b\u{0667}"), None);
}

#[test]
fn what_cannot_mean_the_same_as_in_kafka_is_refused() {
    for rule in ["", "default", "RULE:a/b", "RULE:a/b/X", "RULE:a/b/LU", "RULE:a/b/L ,", "RULE:a/b/c/"] {
        assert_eq!(refused(rule), RuleError::Form, "{rule}");
    }
    for rule in ["RULE:(a/b/", "RULE:(?=a)a/b/", "RULE:(a)\\1/b/", "RULE:a*+/b/", "RULE:\\Qa\\E/b/", "RULE:[a--b]/b/"] {
        assert!(matches!(refused(rule), RuleError::Pattern(_)), "{rule}");
    }
    for rule in ["RULE:a/$1/", "RULE:(a)/$x/", "RULE:(a)/${x}/", "RULE:(a)/$/"] {
        assert!(matches!(refused(rule), RuleError::Replacement(_)), "{rule}");
    }
}

#[test]
fn a_subject_with_control_characters_is_nobody() {
    assert_eq!(SubjectMapping::default().name("CN=a\nb"), None);
    assert_eq!(SubjectMapping::default().name("CN=a\u{2028}b"), None);
    assert_eq!(mapping(&["RULE:.*//"]).name("CN=a"), None);
}
