//! SASL/PLAIN (RFC 4616): the password is a token of Weir's, or a JWT.

use super::{Denied, Hold, Proven, TokenHold, jwt};
use crate::policy::{JWT_USERNAME, JwtRefusal, Login, looks_like_jwt, looks_like_token};
use crate::shard::connection::Connection;
use crate::shard::runtime::Runtime;
use crate::wire::kafka::sasl::{self, Plain};

pub(super) async fn login<R: Runtime>(c: &Connection<R>, message: &[u8]) -> Result<Proven, Denied> {
    let plain = sasl::parse_plain(message).map_err(|error| Denied::plainly(None, error))?;
    let listener = &c.door.listener;
    let is_jwt = looks_like_jwt(&plain.password) && !looks_like_token(&plain.password);
    if listener.jwt && (is_jwt || !listener.weir_token) {
        return jwt_login(c, &plain).await;
    }
    let now_ns = c.clock.now_ns();
    let tokens = c.shard.tokens.load();
    let login = tokens
        .verify(&plain.username, &plain.password, now_ns)
        .map_err(|refusal| Denied::new(Some(&plain.username), refusal.for_client(), refusal.to_string()))?;
    Ok(by_token(login, tokens.generation(), Vec::new()))
}

/// The user name has to be the token's subject, or a word that stands for it: a client that believes to be somebody else
/// had better know.
async fn jwt_login<R: Runtime>(c: &Connection<R>, plain: &Plain) -> Result<Proven, Denied> {
    let denied = |refusal: JwtRefusal| Denied::new(Some(&plain.username), refusal.for_client(), refusal.to_string());
    let proven = jwt::check(c, &plain.password).await.map_err(denied)?;
    if plain.username != JWT_USERNAME && plain.username != proven.principal.subject {
        return Err(denied(JwtRefusal::OtherUser));
    }
    Ok(proven)
}

/// A login by a token of Weir's, in either mechanism.
pub(super) fn by_token(login: Login, generation: u64, message: Vec<u8>) -> Proven {
    let token = Some(TokenHold { id: login.token_id, generation });
    Proven { principal: login.principal, hold: Hold { expires_ns: login.expires_ns, token }, message }
}
