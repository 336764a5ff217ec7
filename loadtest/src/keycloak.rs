//! A real Keycloak with the realm of `tests/keycloak/realm.json`: an identity provider as people run it.
//!
//! It starts in 10 s on an idle machine (most of that is its own database, in memory here) and takes half a GiB. Its
//! distribution lies in the cache, built once; a folder of links stands in for it, so that nothing is written there.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ports::Block;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::{During, Failure, Result, cache, http};

/// The version `setup.sh` fetches.
pub const VERSION: &str = "26.7.3";

/// The realm's name.
pub const REALM: &str = "weir";

const ADMIN: &str = "admin";
const READY_LIMIT: Duration = Duration::from_secs(180);

/// A running Keycloak; it goes when dropped.
#[derive(Debug)]
pub struct Keycloak {
    address: SocketAddr,
    _process: Process,
    _ports: Block,
    _dir: Scratch,
}

impl Keycloak {
    /// Starts it and waits until its realm answers.
    pub fn start() -> Result<Self> {
        let home = cache()?.join("keycloak").join(VERSION);
        if !home.is_dir() {
            return Err(Failure::new(format!("no Keycloak in {}: run `make setup-test`", home.display())));
        }
        let mut ports = Block::claim()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.take()?));
        let dir = Scratch::new("weir-keycloak-")?;
        for part in ["lib", "conf", "providers", "themes"] {
            std::os::unix::fs::symlink(home.join(part), dir.path().join(part)).during("link Keycloak")?;
        }
        let import = dir.path().join("data/import");
        fs::create_dir_all(&import).during("make Keycloak's folder")?;
        let realm = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/keycloak/realm.json");
        fs::copy(realm, import.join("realm.json")).during("copy the realm")?;
        let command = command(dir.path(), address.port());
        let mut process = Process::start("keycloak", &command, &dir.path().join("log"))?;
        let realm = format!("/realms/{REALM}");
        process.wait_ready("Keycloak's realm answering", READY_LIMIT, || {
            Ok(matches!(http::get(address, &realm), Ok((200, _))).then_some(()))
        })?;
        Ok(Self { address, _process: process, _ports: ports, _dir: dir })
    }

    /// What its tokens say in `iss`.
    pub fn issuer(&self) -> String {
        format!("http://{}/realms/{REALM}", self.address)
    }

    /// Where clients get tokens.
    pub fn token_endpoint(&self) -> String {
        format!("{}/protocol/openid-connect/token", self.issuer())
    }

    /// A token of a service, by its client credentials; its secret is its name with `-s3cret`.
    pub fn service_token(&self, client: &str) -> Result<String> {
        self.token(REALM, &format!("grant_type=client_credentials&client_id={client}&client_secret={client}-s3cret"))
    }

    /// A token of a person; the password is the name with `-s3cret`.
    pub fn user_token(&self, user: &str) -> Result<String> {
        self.token(REALM, &format!("grant_type=password&client_id=people&username={user}&password={user}-s3cret"))
    }

    /// Makes a new signing key, with which all tokens are signed from now on.
    pub fn rotate_keys(&self) -> Result<()> {
        let form = format!("grant_type=password&client_id=admin-cli&username={ADMIN}&password={ADMIN}");
        let bearer = format!("Bearer {}", self.token("master", &form)?);
        let key = json!({
            "name": "rotated", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider",
            "config": { "priority": ["1000"], "enabled": ["true"], "active": ["true"], "keySize": ["2048"] },
        });
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let (status, body) =
            http::post(self.address, &format!("/admin/realms/{REALM}/components"), &headers, &key.to_string())?;
        if status == 201 { Ok(()) } else { Err(Failure::new(format!("Keycloak makes no key: {status} {body}"))) }
    }

    fn token(&self, realm: &str, form: &str) -> Result<String> {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let path = format!("/realms/{realm}/protocol/openid-connect/token");
        let (status, body) = http::post(self.address, &path, &headers, form)?;
        let answer: Value = serde_json::from_str(&body).during("Keycloak's answer")?;
        let token = answer["access_token"].as_str().map(str::to_owned);
        token.ok_or_else(|| Failure::new(format!("Keycloak gives no token: {status} {body}")))
    }
}

/// What `kc.sh start --optimized` runs, for a home that is not where the script is.
fn command(home: &Path, port: u16) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8"]);
    command.arg(format!("-Dkc.home.dir={}", home.display()));
    command.arg(format!("-Djboss.server.config.dir={}", home.join("conf").display()));
    command.arg("-Djava.util.logging.manager=org.jboss.logmanager.LogManager");
    command.arg(
        "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=\
         io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
    );
    command.arg("-Dpicocli.disable.closures=true").arg("-cp").arg(home.join("lib/quarkus-run.jar"));
    command.args(["io.quarkus.bootstrap.runner.QuarkusEntryPoint", "start", "--optimized", "--http-enabled=true"]);
    command.args([
        "--hostname-strict=false",
        "--http-host=127.0.0.1",
        &format!("--http-port={port}"),
        "--import-realm",
    ]);
    command.env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN).env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN);
    command
}
