//! Signatures after Standard Webhooks 1.0 (standard-webhooks/spec, "Signature scheme"): HMAC-SHA256 over
//! `id.timestamp.body`, one signature a key, so that a receiver may hold the old or the new one while keys change.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A key's bytes, shared: a copy would be one more to wipe.
pub type SigningKey = Arc<Zeroizing<Vec<u8>>>;

/// The value of `webhook-signature`.
pub(super) fn signature(keys: &[SigningKey], id: &str, timestamp: u64, body: &[u8]) -> String {
    let one = |key: &SigningKey| {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    keys.iter().filter_map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(text: &str) -> SigningKey {
        Arc::new(Zeroizing::new(STANDARD.decode(text).unwrap()))
    }

    /// The vector of Standard Webhooks' own libraries.
    #[test]
    fn the_published_vector_comes_out() {
        let keys = [key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn while_keys_change_both_sign() {
        let (old, new) = (key("b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk"), key("bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3"));
        let alone = |key: &SigningKey| signature(std::slice::from_ref(key), "id", 1, b"{}");
        assert_eq!(signature(&[new.clone(), old.clone()], "id", 1, b"{}"), format!("{} {}", alone(&new), alone(&old)));
    }
}
