//! What a JWT can be that should not let anybody in, and what one has to be that does.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, OnceLock};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::json;

use super::*;
use crate::policy::{ALGORITHMS, Attempt, IssuerTable};

const ISSUER: &str = "https://id.example.com/realms/main";
const NOW: u64 = 1_795_341_600;
const SECOND: u64 = 1_000_000_000;
const SKEW: u64 = 30;

/// A key pair of an issuer's, and its public half as a JWKS has it.
struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    public: Value,
}

impl Signer {
    fn ec(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self::new(key, Algorithm::ES256, id)
    }

    fn new(key: EncodingKey, algorithm: Algorithm, id: &str) -> Self {
        let mut public = serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
        public["kid"] = json!(id);
        public["use"] = json!("sig");
        Self { key, algorithm, public }
    }

    fn sign(&self, key_id: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = key_id.map(str::to_owned);
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// One issuer's key for all tests that do not ask for more.
fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::ec("key-1"))
}

fn rules() -> IssuerRules {
    IssuerRules {
        name: "main".to_owned(),
        issuer: ISSUER.to_owned(),
        audience: vec!["kafka".to_owned(), "weir".to_owned()],
        algorithms: vec![Algorithm::RS256, Algorithm::PS256, Algorithm::ES256],
        subject: ClaimPath::new("sub"),
        groups: ClaimPath::new("groups"),
        scopes: None,
        clock_skew_ns: SKEW * SECOND,
    }
}

fn attempt(outcome: Result<KeySet, &str>) -> Attempt {
    Attempt { outcome: outcome.map(Arc::new).map_err(Arc::from), out_of_turn: true, now_ns: NOW * SECOND }
}

fn table(rules: IssuerRules, keys: &[&Value]) -> IssuerTable {
    let keys = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    IssuerTable::new([rules]).attempted("main", attempt(Ok(keys)))
}

fn verify(table: &IssuerTable, token: &str) -> Result<JwtLogin, JwtRefusal> {
    table.verify(token, &["main".to_owned()], NOW * SECOND)
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "sub": "analyst-7", "aud": "kafka", "exp": NOW + 300, "iat": NOW - 10, "groups": ["dev"] })
}

fn with(change: Value) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    claims
}

fn without(claim: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(claim);
    claims
}

/// What comes of these claims, signed well.
fn claimed(claims: &Value) -> Result<JwtLogin, JwtRefusal> {
    verify(&table(rules(), &[&signer().public]), &signer().sign(Some("key-1"), claims))
}

#[test]
fn a_good_token_names_its_holder_until_it_ends() {
    let login = claimed(&claims()).unwrap();
    let principal = Principal {
        issuer: ISSUER.to_owned(),
        subject: "analyst-7".to_owned(),
        groups: vec!["dev".to_owned()],
        mechanism: Mechanism::Jwt,
        minted_by: None,
        scopes: None,
    };
    assert_eq!(login, JwtLogin { principal, expires_ns: (NOW + 300) * SECOND });
}

#[test]
fn every_kind_of_key_is_verified_by_its_own_algorithm() {
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let rsa =
        |algorithm| Signer::new(EncodingKey::from_rsa_pem(rsa.serialize_pem().as_bytes()).unwrap(), algorithm, "rsa");
    let mut signers: Vec<Signer> = [Algorithm::RS256, Algorithm::RS512, Algorithm::PS256].map(rsa).into();
    let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let public = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": BASE64URL.encode(ed.public_key_raw()) });
    let key = EncodingKey::from_ed_pem(ed.serialize_pem().as_bytes()).unwrap();
    signers.push(Signer { key, algorithm: Algorithm::EdDSA, public });
    let mut any = rules();
    any.algorithms = ALGORITHMS.iter().map(|(_, algorithm)| *algorithm).collect();
    for signer in signers {
        let table = table(any.clone(), &[&signer.public]);
        let id = signer.public["kid"].as_str();
        assert!(verify(&table, &signer.sign(id, &claims())).is_ok(), "{:?}", signer.algorithm);
    }
}

#[test]
fn an_unsigned_token_and_one_signed_with_the_public_key_are_refused() {
    let table = table(rules(), &[&signer().public]);
    let body = BASE64URL.encode(claims().to_string());
    for none in ["none", "None", "NONE", ""] {
        let header = BASE64URL.encode(json!({ "alg": none, "kid": "key-1" }).to_string());
        for signature in ["", "AAAA"] {
            let refusal = verify(&table, &format!("{header}.{body}.{signature}")).unwrap_err();
            assert!(matches!(refusal, JwtRefusal::Algorithm { .. }), "{refusal}");
        }
    }
    // What every verifier of HMAC that takes its algorithm from the header falls for (RFC 8725, 2.1).
    for public in [signer().public.to_string(), signer().public["x"].as_str().unwrap().to_owned()] {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("key-1".to_owned());
        let token = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(public.as_bytes())).unwrap();
        assert!(matches!(verify(&table, &token).unwrap_err(), JwtRefusal::Algorithm { .. }));
    }
}

#[test]
fn an_algorithm_that_is_not_allowed_or_not_the_keys_is_refused() {
    let mut only_rsa = rules();
    only_rsa.algorithms = vec![Algorithm::RS256];
    let token = signer().sign(Some("key-1"), &claims());
    let refusal = verify(&table(only_rsa, &[&signer().public]), &token).unwrap_err();
    assert!(matches!(refusal, JwtRefusal::Algorithm { .. }), "{refusal}");
    let rsa = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "key-1", "use": "sig" });
    let refusal = verify(&table(rules(), &[&rsa]), &token).unwrap_err();
    assert_eq!(refusal, JwtRefusal::KeyOfOther { algorithm: "ES256".to_owned() });
}

#[test]
fn a_key_for_encryption_never_verifies() {
    let other = Signer::ec("key-2");
    let mut encrypts = other.public.clone();
    encrypts["use"] = json!("enc");
    let refusal = verify(&table(rules(), &[&signer().public, &encrypts]), &other.sign(Some("key-2"), &claims()));
    assert_eq!(refusal.unwrap_err().wants_keys_of(), Some("main"));
}

#[test]
fn a_forged_signature_is_refused_whatever_key_it_names() {
    let table = table(rules(), &[&signer().public]);
    let forger = Signer::ec("forged");
    let refusal = verify(&table, &forger.sign(Some("key-1"), &claims())).unwrap_err();
    assert_eq!(refusal, JwtRefusal::Signature("main".to_owned()));
    let good = signer().sign(Some("key-1"), &claims());
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = rest.split_once('.').unwrap();
    let body = BASE64URL.encode(with(json!({ "groups": ["admins"] })).to_string());
    assert!(verify(&table, &format!("{header}.{body}.{signature}")).is_err());
    assert!(verify(&table, &format!("{rest}.")).is_err());
}

#[test]
fn a_token_without_a_key_id_is_taken_where_there_is_one_key_only() {
    let other = Signer::ec("key-2");
    let token = signer().sign(None, &claims());
    assert!(verify(&table(rules(), &[&signer().public]), &token).is_ok());
    let refusal = verify(&table(rules(), &[&signer().public, &other.public]), &token).unwrap_err();
    assert_eq!(refusal, JwtRefusal::NoKeyId("main".to_owned()));
}

#[test]
fn of_two_keys_with_one_name_either_may_have_signed() {
    let twin = Signer::ec("key-1");
    let table = table(rules(), &[&twin.public, &signer().public]);
    assert!(verify(&table, &signer().sign(Some("key-1"), &claims())).is_ok());
    assert!(verify(&table, &twin.sign(Some("key-1"), &claims())).is_ok());
    assert!(verify(&table, &Signer::ec("key-1").sign(Some("key-1"), &claims())).is_err());
}

#[test]
fn an_unknown_key_asks_for_newer_keys_and_a_known_one_does_not() {
    let table = table(rules(), &[&signer().public]);
    let newer = Signer::ec("key-2").sign(Some("key-2"), &claims());
    let refusal = verify(&table, &newer).unwrap_err();
    assert_eq!(refusal, JwtRefusal::UnknownKey { key_id: "key-2".to_owned(), issuer: "main".to_owned() });
    assert_eq!(refusal.wants_keys_of(), Some("main"));
    assert_eq!(verify(&table, &signer().sign(Some("key-1"), &without("exp"))).unwrap_err().wants_keys_of(), None);
    let issuer = table.get("main").unwrap();
    let pause = u64::try_from(crate::limits::JWKS_REFRESH_PAUSE.as_nanos()).unwrap();
    assert!(!issuer.may_refresh(NOW * SECOND + pause - 1) && issuer.may_refresh(NOW * SECOND + pause));
}

#[test]
fn before_its_keys_are_there_an_issuer_lets_nobody_in_and_keeps_those_it_had_after() {
    let token = signer().sign(Some("key-1"), &claims());
    let down = IssuerTable::new([rules()]).attempted("main", attempt(Err("no route to host 10.9.8.7")));
    let refusal = verify(&down, &token).unwrap_err();
    assert!(refusal.to_string().contains("10.9.8.7") && !refusal.for_client().contains("10.9.8.7"), "{refusal}");
    let down_again = table(rules(), &[&signer().public]).attempted("main", attempt(Err("gone")));
    assert!(verify(&down_again, &token).is_ok());
}

#[test]
fn a_token_is_taken_only_of_an_issuer_that_the_listener_trusts() {
    let mut other = rules();
    other.name = "other".to_owned();
    other.issuer = "https://other.example.com".to_owned();
    let keys = KeySet::parse(json!({ "keys": [signer().public] }).to_string().as_bytes()).unwrap();
    let table = IssuerTable::new([rules(), other])
        .attempted("main", attempt(Ok(keys.clone())))
        .attempted("other", attempt(Ok(keys)));
    let token = signer().sign(Some("key-1"), &claims());
    let at = |trusted: &[&str]| {
        let trusted: Vec<String> = trusted.iter().map(|&name| name.to_owned()).collect();
        table.verify(&token, &trusted, NOW * SECOND)
    };
    assert_eq!(at(&["other", "main"]).unwrap().principal.issuer, ISSUER);
    assert_eq!(at(&["other"]).unwrap_err(), JwtRefusal::Issuer(ISSUER.to_owned()));
    let near = with(json!({ "iss": format!("{ISSUER}/") }));
    assert!(matches!(claimed(&near).unwrap_err(), JwtRefusal::Issuer(_)));
    assert_eq!(claimed(&without("iss")).unwrap_err(), JwtRefusal::Claim("iss".to_owned()));
}

#[test]
fn an_audience_is_one_or_several_and_has_to_be_ours() {
    for ours in [json!("weir"), json!(["account", "kafka"])] {
        assert!(claimed(&with(json!({ "aud": ours }))).is_ok());
    }
    for others in [json!("account"), json!(["account", "Kafka"]), json!([])] {
        let refusal = claimed(&with(json!({ "aud": others }))).unwrap_err();
        assert!(matches!(refusal, JwtRefusal::Audience { .. }), "{refusal}");
        assert!(refusal.for_client().contains("kafka or weir"));
    }
    for malformed in [json!(1), json!(["kafka", 1]), json!({ "kafka": true }), json!(null)] {
        assert_eq!(claimed(&with(json!({ "aud": malformed }))).unwrap_err(), JwtRefusal::Claim("aud".to_owned()));
    }
    assert_eq!(claimed(&without("aud")).unwrap_err(), JwtRefusal::Claim("aud".to_owned()));
}

#[test]
fn times_hold_up_to_the_skew_of_clocks_and_no_further() {
    let refused = |change: Value| claimed(&with(change)).unwrap_err();
    assert_eq!(claimed(&with(json!({ "exp": NOW - SKEW + 1 }))).unwrap().expires_ns, (NOW + 1) * SECOND);
    assert_eq!(refused(json!({ "exp": NOW - SKEW })), JwtRefusal::Expired((NOW - SKEW) * SECOND));
    assert_eq!(refused(json!({ "exp": 0 })), JwtRefusal::Expired(0));
    assert_eq!(refused(json!({ "exp": -5 })), JwtRefusal::Expired(0));
    assert!(claimed(&with(json!({ "nbf": NOW + SKEW }))).is_ok());
    assert_eq!(refused(json!({ "nbf": NOW + SKEW + 1 })), JwtRefusal::NotYet((NOW + SKEW + 1) * SECOND));
    assert_eq!(refused(json!({ "iat": NOW + SKEW + 1 })), JwtRefusal::IssuedLater((NOW + SKEW + 1) * SECOND));
    assert!(claimed(&with(json!({ "exp": NOW as f64 + 0.5 }))).is_ok());
    assert!(claimed(&with(json!({ "exp": 1e300 }))).is_ok());
    for malformed in [json!("tomorrow"), json!(null), json!([NOW + 300])] {
        assert_eq!(refused(json!({ "exp": malformed })), JwtRefusal::Claim("exp".to_owned()));
        assert_eq!(refused(json!({ "nbf": malformed })), JwtRefusal::Claim("nbf".to_owned()));
    }
    assert_eq!(claimed(&without("exp")).unwrap_err(), JwtRefusal::Claim("exp".to_owned()));
}

#[test]
fn groups_are_a_list_or_a_text_and_else_refused() {
    let groups = |value: Value| claimed(&with(json!({ "groups": value }))).map(|login| login.principal.groups);
    assert_eq!(groups(json!(["b", "a", "b"])).unwrap(), ["a", "b"]);
    assert_eq!(groups(json!("read write,admin")).unwrap(), ["admin", "read", "write"]);
    assert_eq!(groups(json!([])).unwrap(), Vec::<String>::new());
    assert_eq!(groups(json!(null)).unwrap(), Vec::<String>::new());
    assert_eq!(claimed(&without("groups")).unwrap().principal.groups, Vec::<String>::new());
    let many: Vec<String> = (0..=JWT_GROUPS_MAX).map(|n| format!("group-{n}")).collect();
    assert_eq!(groups(json!(many[1..])).unwrap().len(), JWT_GROUPS_MAX);
    for malformed in [
        json!(1),
        json!(["dev", 1]),
        json!([["dev"]]),
        json!({ "dev": true }),
        json!([""]),
        json!(["a\nb"]),
        json!(many),
    ] {
        assert_eq!(groups(malformed).unwrap_err(), JwtRefusal::Groups("groups".to_owned()));
    }
}

#[test]
fn subject_and_groups_are_read_where_the_configuration_says() {
    let mut rules = rules();
    rules.subject = ClaimPath::new("preferred_username");
    rules.groups = ClaimPath::new("realm_access.roles");
    let nested = json!({ "preferred_username": "ann", "realm_access": { "roles": ["sre"] } });
    let read = |rules: &IssuerRules, claims: &Value| {
        verify(&table(rules.clone(), &[&signer().public]), &signer().sign(Some("key-1"), claims))
    };
    let principal = read(&rules, &with(nested)).unwrap().principal;
    assert_eq!((principal.subject.as_str(), principal.groups), ("ann", vec!["sre".to_owned()]));
    assert_eq!(read(&rules, &claims()).unwrap_err(), JwtRefusal::Claim("preferred_username".to_owned()));
    rules.groups = ClaimPath::new("https://example.com/groups");
    let named = with(json!({ "preferred_username": "ann", "https://example.com/groups": "sre" }));
    assert_eq!(read(&rules, &named).unwrap().principal.groups, ["sre"]);
    for malformed in [json!(7), json!(""), json!("a\u{0}b"), json!("x".repeat(NAME_BYTES_MAX + 1))] {
        let refusal = claimed(&with(json!({ "sub": malformed }))).unwrap_err();
        assert_eq!(refusal, JwtRefusal::Subject("sub".to_owned()));
    }
}

#[test]
fn what_is_too_long_or_no_jwt_is_refused_before_anything_is_computed() {
    let table = table(rules(), &[&signer().public]);
    let long = signer().sign(Some("key-1"), &with(json!({ "padding": "x".repeat(JWT_BYTES_MAX) })));
    assert_eq!(verify(&table, &long).unwrap_err(), JwtRefusal::TooLong(long.len()));
    let named = signer().sign(Some(&"k".repeat(JWT_KEY_ID_BYTES_MAX + 1)), &claims());
    assert_eq!(verify(&table, &named).unwrap_err(), JwtRefusal::KeyIdTooLong);
    assert_eq!(verify(&table, "a.b.c.d.e").unwrap_err(), JwtRefusal::Encrypted);
    let header = BASE64URL.encode(json!({ "alg": "ES256", "kid": "key-1", "crit": ["exp"] }).to_string());
    let critical = format!("{header}.{}.AAAA", BASE64URL.encode(claims().to_string()));
    assert_eq!(verify(&table, &critical).unwrap_err(), JwtRefusal::Critical);
    for garbage in ["", "..", "a.b.c", "eyJhbGciOiJFUzI1NiJ9.W10.AAAA", "hunter2", "weir_abc_def"] {
        assert_eq!(verify(&table, garbage).unwrap_err(), JwtRefusal::NotAJwt, "{garbage}");
    }
    assert!(looks_like_jwt(&signer().sign(None, &claims())) && !looks_like_jwt("weir_abc_def"));
}

#[test]
fn no_refusal_repeats_the_token() {
    let table = table(rules(), &[&signer().public]);
    let token = signer().sign(Some("key-1"), &with(json!({ "aud": "x".repeat(500) })));
    let refusal = verify(&table, &token).unwrap_err();
    let (_, signature) = token.rsplit_once('.').unwrap();
    let told = format!("{refusal} {refusal:?} {}", refusal.for_client());
    assert!(!told.contains(signature) && !told.contains(&"x".repeat(100)), "{told}");
}

#[test]
fn scopes_narrow_their_holder_where_they_are_mapped_and_else_nobody() {
    assert_eq!(claimed(&with(json!({ "scope": "read:orders" }))).unwrap().principal.scopes, None);
    let scope = serde_json::from_value(json!({ "topics": ["orders.*"], "operations": ["read"] })).unwrap();
    let scopes = ScopeMapping { claim: ClaimPath::new("scope"), map: vec![("read:orders".to_owned(), scope)] };
    let table = table(IssuerRules { scopes: Some(scopes), ..rules() }, &[&signer().public]);
    let narrowed = |claims: &Value| {
        let login = verify(&table, &signer().sign(Some("key-1"), claims)).unwrap();
        login.principal.scopes.unwrap().to_string()
    };
    assert_eq!(narrowed(&with(json!({ "scope": "openid read:orders" }))), "read on topics orders.*");
    assert_eq!(narrowed(&with(json!({ "scope": "openid" }))), "nothing");
    assert_eq!(narrowed(&claims()), "nothing");
}
