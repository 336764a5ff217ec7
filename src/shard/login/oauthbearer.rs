//! SASL/OAUTHBEARER (RFC 7628, KIP-255): the token is a JWT of a trusted issuer.

use super::{Denied, Proven, Stage, Step, jwt};
use crate::shard::connection::Connection;
use crate::shard::runtime::Runtime;
use crate::wire::kafka::oauthbearer::{self, INVALID_TOKEN};

/// Checks the client's message. A token that is refused is answered as RFC 7628, 3.2.2 has it, and as Kafka's clients
/// expect: first that it failed, and why once that was acknowledged.
pub(super) async fn login<R: Runtime>(c: &Connection<R>, message: &[u8]) -> Result<Step, Denied> {
    let bearer = oauthbearer::parse(message).map_err(|error| Denied::plainly(None, error))?;
    let claimed = bearer.authorization_id.as_deref();
    match jwt::check(c, bearer.token).await {
        Ok(proven) => acts_for_itself(claimed, proven).map(Step::Proven),
        Err(refusal) => {
            let denied = Denied::new(claimed, refusal.for_client(), refusal.to_string());
            Ok(Step::GoOn { message: INVALID_TOKEN.to_vec(), next: Stage::Refused(Box::new(denied)) })
        }
    }
}

fn acts_for_itself(claimed: Option<&str>, proven: Proven) -> Result<Proven, Denied> {
    match claimed {
        Some(other) if other != proven.principal.subject => {
            let text = "the authorization id is not the JWT's subject: leave it empty";
            Err(Denied::plainly(Some(other), text))
        }
        _ => Ok(proven),
    }
}
