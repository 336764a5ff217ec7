//! All tokens as one immutable snapshot that shards check logins against.
//!
//! What a client is told must not help somebody who guesses: an unknown id and a wrong secret read the same and cost
//! the same. Once the secret matched, the client holds the token, and is told what is the matter with it.

use std::collections::HashMap;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::principal::{Mechanism, Principal};
use super::token::{self, TokenRecord, clock_time};
use crate::limits::SCRAM_TOKENS_MAX;
use crate::scram::{Hash, Key, Proof, Verifier};

/// Every token there is, expired and revoked ones included.
#[derive(Debug, Default)]
pub struct TokenTable {
    generation: u64,
    by_id: HashMap<String, TokenRecord>,
    /// Ids by subject.
    by_subject: HashMap<String, Vec<String>>,
}

/// A login that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub principal: Principal,
    /// By which token.
    pub token_id: String,
    /// When the login ends with its token, ns since the Unix epoch.
    pub expires_ns: u64,
}

/// Why a login fails. `Display` is for the operator; `for_client` is what may be sent to whoever tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The password is not a token at all.
    #[error("the password is not a Weir token")]
    NotAToken,
    /// No token has this id.
    #[error("no token has the id that was presented")]
    Unknown,
    /// The id exists, the secret is another one.
    #[error("wrong secret for token {id}")]
    WrongSecret {
        /// Whose secret was tried.
        id: String,
    },
    /// A SCRAM proof that no token of that subject makes, or there is none.
    #[error("the SCRAM proof fits no token of the claimed subject")]
    WrongProof,
    /// All tokens of that subject were created by a version without SCRAM.
    #[error("the claimed subject's tokens cannot do SCRAM, they are older than it: create a new one")]
    BeforeScram,
    /// A valid token presented under another user name.
    #[error("token {id} is not the claimed subject's")]
    WrongSubject {
        /// The token.
        id: String,
    },
    /// Its time is over.
    #[error("token {id} has expired")]
    Expired {
        /// The token.
        id: String,
        /// When, ns since the Unix epoch.
        at_ns: u64,
    },
    /// It was taken back.
    #[error("token {id} was revoked")]
    Revoked {
        /// The token.
        id: String,
    },
}

impl Refusal {
    /// What may be sent to the client: useful to the token's holder, useless to somebody who guesses.
    pub fn for_client(&self) -> String {
        match self {
            Refusal::NotAToken => {
                "authentication failed: the password is not a Weir token (weir_<id>_<secret>)".to_owned()
            }
            Refusal::Unknown | Refusal::WrongSecret { .. } => "authentication failed: unknown token".to_owned(),
            Refusal::WrongProof | Refusal::BeforeScram => {
                "authentication failed: the password is no token of this user, or one that was created by a version \
                 without SCRAM (create a new one)"
                    .to_owned()
            }
            Refusal::WrongSubject { .. } => "authentication failed: this token belongs to another user name".to_owned(),
            Refusal::Expired { id, at_ns } => {
                let at = clock_time(*at_ns);
                format!("authentication failed: token {id} expired at {at}; ask for a new one (`weir token create`)")
            }
            Refusal::Revoked { id } => {
                format!("authentication failed: token {id} was revoked; ask for a new one (`weir token create`)")
            }
        }
    }
}

impl TokenTable {
    /// The first snapshot, of what was kept.
    pub fn new(records: impl IntoIterator<Item = TokenRecord>) -> Self {
        let by_id: HashMap<_, _> = records.into_iter().map(|record| (record.id.clone(), record)).collect();
        let mut by_subject: HashMap<String, Vec<String>> = HashMap::new();
        for record in by_id.values() {
            by_subject.entry(record.subject.clone()).or_default().push(record.id.clone());
        }
        Self { generation: 1, by_id, by_subject }
    }

    /// The next snapshot, in which `record` is new or replaces the one of its id.
    pub fn with(&self, record: TokenRecord) -> Self {
        let (mut by_id, mut by_subject) = (self.by_id.clone(), self.by_subject.clone());
        if !by_id.contains_key(&record.id) {
            by_subject.entry(record.subject.clone()).or_default().push(record.id.clone());
        }
        by_id.insert(record.id.clone(), record);
        Self { generation: self.generation + 1, by_id, by_subject }
    }

    /// The record of a token.
    pub fn get(&self, id: &str) -> Option<&TokenRecord> {
        self.by_id.get(id)
    }

    /// Which snapshot this is.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All records, oldest first.
    pub fn records(&self) -> Vec<&TokenRecord> {
        let mut records: Vec<_> = self.by_id.values().collect();
        records.sort_by(|a, b| (a.created_ns, &a.id).cmp(&(b.created_ns, &b.id)));
        records
    }

    /// Checks a SASL/PLAIN login: `subject` is the user name, `password` the token.
    pub fn verify(&self, subject: &str, password: &str, now_ns: u64) -> Result<Login, Refusal> {
        let record = self.held(password)?;
        if record.subject != subject {
            return Err(Refusal::WrongSubject { id: record.id.clone() });
        }
        in_force(record, now_ns)?;
        Ok(login(record, Mechanism::PlainToken))
    }

    /// Checks a token that comes without a user name: it is its subject's. The record says who minted it.
    pub fn verify_bearer(&self, token: &str, now_ns: u64) -> Result<(Login, &TokenRecord), Refusal> {
        let record = self.held(token)?;
        in_force(record, now_ns)?;
        Ok((login(record, Mechanism::PlainToken), record))
    }

    /// The token whose secret somebody shows, whether it is in force or not.
    fn held(&self, token: &str) -> Result<&TokenRecord, Refusal> {
        let (id, secret) = token::parts(token).ok_or(Refusal::NotAToken)?;
        let record = self.by_id.get(id);
        // Compared even where there is nothing to compare with, so that the time taken does not tell which ids exist.
        let kept = record.map_or([0; 32], |record| record.secret_sha256);
        let matches = bool::from(token::digest(secret).ct_eq(&kept));
        let record = record.ok_or(Refusal::Unknown)?;
        if matches { Ok(record) } else { Err(Refusal::WrongSecret { id: record.id.clone() }) }
    }

    /// Checks a SCRAM login: the proof may be of any token of `subject`. With the login comes the message that says yes.
    ///
    /// At most [`SCRAM_TOKENS_MAX`] are tried, those in force and the newest first. Where there are none, one that cannot
    /// fit is, so that the time taken does not tell who exists.
    pub fn verify_scram(
        &self,
        hash: Hash,
        subject: &str,
        proof: &Proof,
        now_ns: u64,
    ) -> Result<(Login, String), Refusal> {
        let ids = self.by_subject.get(subject).map(Vec::as_slice).unwrap_or_default();
        let mut records: Vec<&TokenRecord> = ids.iter().filter_map(|id| self.by_id.get(id)).collect();
        records.sort_by_cached_key(|record| (has_ended(record, now_ns), std::cmp::Reverse(record.created_ns)));
        let able: Vec<_> =
            records.iter().filter_map(|record| Some((*record, record.scram.as_ref()?.of(hash)))).collect();
        if able.is_empty() {
            let nobodys = Verifier { stored_key: Key::new(vec![0; hash.bytes()]), server_key: Key::new(Vec::new()) };
            let _never_fits = proof.check(&nobodys);
            return Err(if records.is_empty() { Refusal::WrongProof } else { Refusal::BeforeScram });
        }
        for (record, verifier) in able.into_iter().take(SCRAM_TOKENS_MAX) {
            if let Ok(message) = proof.check(verifier) {
                in_force(record, now_ns)?;
                return Ok((login(record, Mechanism::ScramToken), message));
            }
        }
        Err(Refusal::WrongProof)
    }

    /// Whether a login made earlier by token `id` still holds.
    pub fn still_valid(&self, id: &str, now_ns: u64) -> Result<(), Refusal> {
        self.by_id.get(id).ok_or(Refusal::Unknown).and_then(|record| in_force(record, now_ns))
    }
}

fn login(record: &TokenRecord, mechanism: Mechanism) -> Login {
    Login {
        principal: Principal {
            issuer: "weir".to_owned(),
            subject: record.subject.clone(),
            groups: record.groups.clone(),
            mechanism,
            minted_by: record.minter.clone().map(Box::new),
            scopes: record.scopes.clone().map(Arc::new),
        },
        token_id: record.id.clone(),
        expires_ns: record.expires_ns,
    }
}

/// Whether [`in_force`] would refuse it, for who does not need to know why.
fn has_ended(record: &TokenRecord, now_ns: u64) -> bool {
    record.revoked_ns.is_some() || record.expires_ns <= now_ns
}

fn in_force(record: &TokenRecord, now_ns: u64) -> Result<(), Refusal> {
    if record.revoked_ns.is_some() {
        return Err(Refusal::Revoked { id: record.id.clone() });
    }
    if record.expires_ns <= now_ns {
        return Err(Refusal::Expired { id: record.id.clone(), at_ns: record.expires_ns });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use zeroize::Zeroizing;

    use super::*;
    use crate::policy::{Minted, ScopeText, TOKEN_RANDOM_BYTES, TokenRequest};
    use crate::scram::{ClientExchange, ClientFirst, ServerExchange, salt_password};

    const CREATED: u64 = 1_000;
    const TTL: u64 = 500;

    fn minted(seed: u8) -> Minted {
        let request = TokenRequest {
            subject: "analyst-7".to_owned(),
            groups: vec!["analysts".to_owned()],
            ttl_ns: TTL,
            minted_by: "uid 0".to_owned(),
            minter: None,
            scope: ScopeText::default(),
        };
        request.mint(&Zeroizing::new([seed; TOKEN_RANDOM_BYTES]), CREATED).unwrap()
    }

    fn table(record: TokenRecord) -> TokenTable {
        TokenTable::new([record])
    }

    #[test]
    fn a_token_logs_its_subject_in_with_its_groups_until_it_ends() {
        let token = minted(1);
        let login = table(token.record.clone()).verify("analyst-7", &token.text, CREATED).unwrap();
        assert_eq!(login.principal.subject, "analyst-7");
        assert_eq!(login.principal.issuer, "weir");
        assert_eq!(login.principal.groups, ["analysts"]);
        assert_eq!(login.token_id, token.record.id);
        assert_eq!(login.expires_ns, CREATED + TTL);
    }

    #[test]
    fn unknown_ids_and_wrong_secrets_read_the_same_to_the_client_but_not_to_the_operator() {
        let token = minted(1);
        let other = minted(2);
        let table = table(token.record.clone());
        let unknown = table.verify("analyst-7", &other.text, CREATED).unwrap_err();
        let guessed = format!("weir_{}_{}", token.record.id, "a".repeat(52));
        let wrong = table.verify("analyst-7", &guessed, CREATED).unwrap_err();
        assert_eq!(unknown, Refusal::Unknown);
        assert_eq!(wrong, Refusal::WrongSecret { id: token.record.id });
        assert_eq!(unknown.for_client(), wrong.for_client());
        assert_ne!(unknown.to_string(), wrong.to_string());
    }

    #[test]
    fn a_token_is_of_no_use_under_another_user_name() {
        let token = minted(1);
        let refusal = table(token.record.clone()).verify("analyst-8", &token.text, CREATED).unwrap_err();
        assert_eq!(refusal, Refusal::WrongSubject { id: token.record.id });
        assert!(!refusal.for_client().contains("analyst-7"));
    }

    #[test]
    fn a_token_ends_at_its_very_nanosecond() {
        let token = minted(1);
        let table = table(token.record.clone());
        assert!(table.verify("analyst-7", &token.text, CREATED + TTL - 1).is_ok());
        let refusal = table.verify("analyst-7", &token.text, CREATED + TTL).unwrap_err();
        assert_eq!(refusal, Refusal::Expired { id: token.record.id.clone(), at_ns: CREATED + TTL });
        assert!(refusal.for_client().contains("expired at 1970-01-01T00:00:00Z"));
        assert!(refusal.for_client().contains("weir token create"));
        assert!(table.still_valid(&token.record.id, CREATED + TTL).is_err());
    }

    #[test]
    fn a_revoked_token_ends_logins_that_it_made_earlier() {
        let mut token = minted(1);
        assert_eq!(table(token.record.clone()).still_valid(&token.record.id, CREATED), Ok(()));
        token.record.revoked_ns = Some(CREATED + 1);
        let refused = Err(Refusal::Revoked { id: token.record.id.clone() });
        assert_eq!(table(token.record.clone()).still_valid(&token.record.id, CREATED + 1), refused);
        assert!(table(token.record).verify("analyst-7", &token.text, CREATED + 1).is_err());
    }

    #[test]
    fn what_is_not_a_token_is_refused_without_being_repeated() {
        let table = table(minted(1).record);
        for password in ["", "hunter2", "weir", "weir_", "weir__", "weir_abc", "weir_abc_", "weir__abc"] {
            let refusal = table.verify("analyst-7", password, CREATED).unwrap_err();
            assert_eq!(refusal, Refusal::NotAToken, "{password}");
        }
        assert!(!table.verify("analyst-7", "hunter2", CREATED).unwrap_err().for_client().contains("hunter2"));
    }

    #[test]
    fn only_the_holder_of_the_secret_learns_that_a_token_has_expired() {
        let token = minted(1);
        let guessed = format!("weir_{}_{}", token.record.id, "a".repeat(52));
        let refusal = table(token.record).verify("analyst-7", &guessed, CREATED + TTL).unwrap_err();
        assert_eq!(refusal.for_client(), Refusal::Unknown.for_client());
    }

    /// What a client of `subject` sends as its last message when its password is `token`.
    fn proof(hash: Hash, subject: &str, token: &str) -> Proof {
        let (client, first) = ClientExchange::begin(hash, subject, "client").unwrap();
        let first = ClientFirst::parse(first.as_bytes()).unwrap();
        let salt = token::scram_salt(subject);
        let (server, challenge) = ServerExchange::begin(hash, first, &salt, token::SCRAM_ITERATIONS, "server").unwrap();
        let challenge = client.challenge(challenge.as_bytes()).unwrap();
        let salted = salt_password(hash, token, &challenge.salt, challenge.iterations).unwrap();
        server.proof(client.respond(&challenge, &salted).0.as_bytes()).unwrap()
    }

    #[test]
    fn any_token_in_force_of_a_subject_logs_in_by_scram() {
        let (first, second, third) = (minted(1), minted(2), minted(3));
        let table = TokenTable::new([first.record.clone(), second.record.clone()]).with(third.record.clone());
        for (hash, token) in [(Hash::Sha256, &first), (Hash::Sha512, &second), (Hash::Sha256, &third)] {
            let proof = proof(hash, "analyst-7", &token.text);
            let (login, message) = table.verify_scram(hash, "analyst-7", &proof, CREATED).unwrap();
            assert_eq!((login.token_id, login.principal.mechanism), (token.record.id.clone(), Mechanism::ScramToken));
            assert!(message.starts_with("v="));
            let refusal = table.verify_scram(hash, "analyst-7", &proof, CREATED + TTL).unwrap_err();
            assert!(matches!(refusal, Refusal::Expired { .. }), "{refusal}");
        }
    }

    #[test]
    fn scram_tells_nobody_who_exists_and_the_operator_why_it_failed() {
        let (mine, mut old) = (minted(1), minted(2));
        old.record.subject = "old-hand".to_owned();
        old.record.scram = None;
        let table = TokenTable::new([mine.record, old.record.clone()]);
        let refused = |subject: &str, token: &str| {
            let proof = proof(Hash::Sha256, subject, token);
            table.verify_scram(Hash::Sha256, subject, &proof, CREATED).unwrap_err()
        };
        let wrong = refused("analyst-7", "weir_guess_guess");
        assert_eq!(wrong, Refusal::WrongProof);
        assert_eq!(refused("nobody", "weir_guess_guess"), wrong);
        let before = refused("old-hand", &old.text);
        assert_eq!(before, Refusal::BeforeScram);
        assert_eq!(before.for_client(), wrong.for_client());
        assert!(before.to_string().contains("create a new one") && before.for_client().contains("create a new one"));
    }

    #[test]
    fn a_proof_of_another_subjects_token_is_none() {
        let token = minted(1);
        let proof = proof(Hash::Sha512, "analyst-8", &token.text);
        let refusal = table(token.record).verify_scram(Hash::Sha512, "analyst-8", &proof, CREATED).unwrap_err();
        assert_eq!(refusal, Refusal::WrongProof);
    }
}
