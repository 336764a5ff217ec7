//! Requests, decisions, grants and their uses as rows of the store, each a row of its own: what was said is added to and never
//! written over, but for a request's reason and effect and a grant's end.

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::ApprovalError;
use crate::policy::{AccessRequest, Case, DigestKey, Grant, ReviewDecision, Use};
use crate::recorder::{AccessChange, AccessStore};

const REQUESTS: &[u8] = b"approval/request/";
const DECISIONS: &[u8] = b"approval/decision/";
const GRANTS: &[u8] = b"approval/grant/";
const USES: &[u8] = b"approval/use/";
const KEY: &[u8] = b"approval/key";

pub(super) fn request(request: &AccessRequest) -> Result<AccessChange, ApprovalError> {
    change([REQUESTS, request.id.as_bytes()].concat(), request)
}

/// The `place`th decision on a request.
pub(super) fn decision(decision: &ReviewDecision, place: usize) -> Result<AccessChange, ApprovalError> {
    change(numbered(DECISIONS, &decision.request, place as u64), decision)
}

/// A request has one grant at most: it stands under the request's id.
pub(super) fn grant(grant: &Grant) -> Result<AccessChange, ApprovalError> {
    change([GRANTS, grant.request.as_bytes()].concat(), grant)
}

/// The `place`th use of a grant.
pub(super) fn used(grant: &str, place: u64, used: &Use) -> Result<AccessChange, ApprovalError> {
    change(numbered(USES, grant, place), used)
}

/// Everything of a case, to be removed.
pub(super) fn all_of(case: &Case) -> Vec<AccessChange> {
    let id = &case.request.id;
    let decisions = (0..case.decisions.len()).map(|place| numbered(DECISIONS, id, place as u64));
    let grant = case.grant.iter().map(|grant| grant.id.clone());
    let uses = grant.flat_map(|grant| (0..case.uses.len()).map(move |place| numbered(USES, &grant, place as u64)));
    let one = [[REQUESTS, id.as_bytes()].concat(), [GRANTS, id.as_bytes()].concat()];
    one.into_iter().chain(decisions).chain(uses).map(|key| (key, None)).collect()
}

/// All cases.
pub(super) fn load(store: &AccessStore) -> Result<Vec<Case>, ApprovalError> {
    let mut cases = Vec::new();
    for (key, value) in store.scan(REQUESTS)? {
        let request: AccessRequest = parse(&key, &value)?;
        let grant: Option<Grant> = match store.get(&[GRANTS, request.id.as_bytes()].concat())? {
            None => None,
            Some(value) => Some(parse(GRANTS, &value)?),
        };
        let decisions = list(store, DECISIONS, &request.id)?;
        let uses = match &grant {
            None => Vec::new(),
            Some(grant) => list(store, USES, &grant.id)?,
        };
        cases.push(Case { request, decisions, grant, uses });
    }
    Ok(cases)
}

/// The uses of a grant, in the order in which they were written.
pub(super) fn uses(store: &AccessStore, grant: &str) -> Result<Vec<Use>, ApprovalError> {
    list(store, USES, grant)
}

/// The key of digests, made with the store.
pub(super) fn digest_key(store: &AccessStore) -> Result<DigestKey, ApprovalError> {
    let mut key = Zeroizing::new([0; 32]);
    match store.get(KEY)?.map(Zeroizing::new) {
        Some(kept) if kept.len() == key.len() => key.copy_from_slice(&kept),
        Some(_) => return Err(ApprovalError::Corrupt { row: "approval/key".to_owned(), why: "its length".to_owned() }),
        None => {
            getrandom::fill(key.as_mut()).map_err(ApprovalError::Random)?;
            store.put(KEY, key.as_slice())?;
        }
    }
    Ok(DigestKey(key))
}

fn list<T: DeserializeOwned>(store: &AccessStore, prefix: &[u8], of: &str) -> Result<Vec<T>, ApprovalError> {
    let prefix = [prefix, of.as_bytes(), b"/"].concat();
    store.scan(&prefix)?.iter().map(|(key, value)| parse(key, value)).collect()
}

fn numbered(prefix: &[u8], of: &str, place: u64) -> Vec<u8> {
    [prefix, of.as_bytes(), b"/", &place.to_be_bytes()].concat()
}

fn change(key: Vec<u8>, value: &impl Serialize) -> Result<AccessChange, ApprovalError> {
    let written = serde_json::to_vec(value).map_err(|error| corrupt(&key, &error))?;
    Ok((key, Some(written)))
}

fn parse<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, ApprovalError> {
    serde_json::from_slice(value).map_err(|error| corrupt(key, &error))
}

fn corrupt(key: &[u8], error: &serde_json::Error) -> ApprovalError {
    ApprovalError::Corrupt { row: String::from_utf8_lossy(key).into_owned(), why: error.to_string() }
}
