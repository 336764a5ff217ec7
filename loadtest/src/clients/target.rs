//! Where a client connects, and as whom: as Java's client properties, and as the JSON that the programs take.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::hosts::Hosts;
use crate::tls::Files;
use crate::weir::Token;

/// Where to connect, and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// Bootstrap servers.
    pub bootstrap: String,
    /// How the client logs in.
    pub login: Login,
    /// Speaks TLS when there is something to do it with.
    pub tls: Option<ClientTls>,
    /// What the client calls itself.
    pub client_id: String,
    /// Names that it knows besides; none: those of the system only.
    pub hosts: Option<Hosts>,
}

/// What a client speaks TLS with.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// PEM file of the authority it trusts.
    pub ca: PathBuf,
    /// Its own certificate, where it shows one.
    pub identity: Option<Files>,
    /// The one version that Java's clients may speak, such as `TLSv1.2`; whatever the client takes when none is said.
    pub version: Option<&'static str>,
}

/// How a client logs in.
#[derive(Debug, Clone)]
pub enum Login {
    /// Not at all.
    Anonymous,
    /// SASL/PLAIN.
    Plain {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// SASL/SCRAM with a token of the gateway's.
    Scram {
        /// `SCRAM-SHA-256` or `SCRAM-SHA-512`.
        mechanism: &'static str,
        /// The token.
        token: Token,
    },
    /// SASL/OAUTHBEARER with tokens that the client itself gets, by its client credentials.
    Oidc {
        /// The provider's token endpoint.
        endpoint: String,
        /// The client's id there.
        client: String,
        /// Its secret there.
        secret: String,
    },
}

impl Target {
    /// Without a login.
    pub fn anonymous(bootstrap: impl Into<String>, client_id: &str) -> Self {
        Self::with_login(bootstrap, client_id, Login::Anonymous)
    }

    /// Logged in with a token, by SASL/PLAIN.
    pub fn with_token(bootstrap: impl Into<String>, client_id: &str, token: Token) -> Self {
        Self::with_login(bootstrap, client_id, Login::Plain { user: token.subject, password: token.token })
    }

    /// Logged in.
    pub fn with_login(bootstrap: impl Into<String>, client_id: &str, login: Login) -> Self {
        Self { bootstrap: bootstrap.into(), login, tls: None, client_id: client_id.to_owned(), hosts: None }
    }

    /// With TLS.
    #[must_use]
    pub fn over_tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Where these names lead to these addresses.
    #[must_use]
    pub fn knowing(mut self, hosts: Hosts) -> Self {
        self.hosts = Some(hosts);
        self
    }

    /// What a client of this target is started with.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        self.hosts.as_ref().map(Hosts::env).unwrap_or_default()
    }

    /// The client properties of Kafka's Java tools.
    pub fn properties(&self) -> String {
        let protocol = match (&self.login, &self.tls) {
            (Login::Anonymous, None) => "PLAINTEXT",
            (_, None) => "SASL_PLAINTEXT",
            (Login::Anonymous, Some(_)) => "SSL",
            (_, Some(_)) => "SASL_SSL",
        };
        let mut text = format!("client.id={}\nsecurity.protocol={protocol}\n", self.client_id);
        if let Some(ClientTls { ca, identity, version }) = &self.tls {
            text += &format!("ssl.truststore.type=PEM\nssl.truststore.location={}\n", ca.display());
            if let Some(identity) = identity {
                text += &format!("ssl.keystore.type=PEM\nssl.keystore.location={}\n", identity.both.display());
            }
            if let Some(version) = version {
                text += &format!("ssl.protocol={version}\nssl.enabled.protocols={version}\n");
            }
        }
        text + &self.sasl_properties()
    }

    fn sasl_properties(&self) -> String {
        const SECURITY: &str = "org.apache.kafka.common.security";
        let (mechanism, module, options) = match &self.login {
            Login::Anonymous => return String::new(),
            Login::Plain { user, password } => {
                ("PLAIN", "plain.PlainLoginModule", format!("username=\"{user}\" password=\"{password}\""))
            }
            Login::Scram { mechanism, token: Token { subject, token, .. } } => {
                (*mechanism, "scram.ScramLoginModule", format!("username=\"{subject}\" password=\"{token}\""))
            }
            Login::Oidc { client, secret, .. } => (
                "OAUTHBEARER",
                "oauthbearer.OAuthBearerLoginModule",
                format!("clientId=\"{client}\" clientSecret=\"{secret}\""),
            ),
        };
        let mut text =
            format!("sasl.mechanism={mechanism}\nsasl.jaas.config={SECURITY}.{module} required {options};\n");
        if let Login::Oidc { endpoint, .. } = &self.login {
            text += &format!(
                "sasl.login.callback.handler.class={SECURITY}.oauthbearer.OAuthBearerLoginCallbackHandler\n\
                 sasl.oauthbearer.token.endpoint.url={endpoint}\n"
            );
        }
        text
    }

    /// What the programs under `tests/clients/` take as `login`; null without one.
    pub(super) fn login_json(&self) -> Value {
        match &self.login {
            Login::Anonymous => Value::Null,
            Login::Plain { user, password } => json!({ "mechanism": "PLAIN", "user": user, "password": password }),
            Login::Scram { mechanism, token: Token { subject, token, .. } } => {
                json!({ "mechanism": mechanism, "user": subject, "password": token })
            }
            Login::Oidc { endpoint, client, secret } => {
                json!({ "mechanism": "OAUTHBEARER", "endpoint": endpoint, "user": client, "password": secret })
            }
        }
    }
}
