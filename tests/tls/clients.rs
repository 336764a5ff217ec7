//! Stock clients over TLS: with a token, and with a certificate alone.

use loadtest::clients::{Client, ClientTls, Record, Script, Target};
use loadtest::wait_for;
use loadtest::weir::Gateway;
use serde_json::Value;

use crate::hazards_support::{RUNTIMES, SOON};
use crate::world::{COMMON_NAME, gateway, world};

#[test]
fn stock_clients_log_in_with_a_token_over_tls_or_with_a_certificate_on_both_runtimes() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime, &["mtls", "weir_token"], COMMON_NAME, &[]);
        std::thread::scope(|scope| {
            let cases = [
                (Client::JavaConsole, Some("TLSv1.2")),
                (Client::JavaConsole, Some("TLSv1.3")),
                (Client::ConfluentKafka, None),
            ];
            for (client, version) in cases {
                let gateway = &gateway;
                scope.spawn(move || {
                    let name = format!("{}{}-{runtime}", client.name(), version.map_or("", |v| &v[5..]));
                    plays_with_token(client, gateway, &format!("token-{name}"), version);
                    plays_with_certificate(client, gateway, &format!("cert-{name}"), version);
                });
            }
        });
    }
}

fn plays_with_token(client: Client, gateway: &Gateway, name: &str, version: Option<&'static str>) {
    let tls = ClientTls { ca: world().ca.clone(), identity: None, version };
    let target = Target::with_token(gateway.bootstrap(), name, gateway.token(name, "tokens").unwrap()).over_tls(tls);
    plays(client, &target, name);
    let identity = identity(gateway, name);
    assert_eq!((&identity["issuer"], &identity["mechanism"]), (&"weir".into(), &"plain_token".into()), "{identity}");
}

fn plays_with_certificate(client: Client, gateway: &Gateway, name: &str, version: Option<&'static str>) {
    let files = world().person(name).write(&world().folder("clients"), name).unwrap();
    let tls = ClientTls { ca: world().ca.clone(), identity: Some(files), version };
    plays(client, &Target::anonymous(gateway.bootstrap(), name).over_tls(tls), name);
    let identity = identity(gateway, &name.to_lowercase());
    assert_eq!(
        (&identity["issuer"], &identity["mechanism"], &identity["groups"]),
        (&"certificate".into(), &"certificate".into(), &serde_json::json!(["analysts"])),
        "{identity}"
    );
}

fn plays(client: Client, target: &Target, name: &str) {
    let record = |n: usize| Record {
        key: Some(format!("key-{n}")),
        value: Some(format!("{name} {n} {}", "weir ".repeat(n * 7))),
        headers: vec![("n".to_owned(), Some(n.to_string()))],
    };
    let script: Script = [("none", 0..20), ("lz4", 20..40)].map(|(codec, n)| (codec, n.map(record).collect())).into();
    let mut read = client.play(target, name, 2, &format!("{name}-group"), &script).unwrap();
    let mut sent: Vec<Record> = script.values().flatten().cloned().collect();
    read.sort();
    sent.sort();
    assert_eq!(read, sent, "{name}");
}

/// Whom the recording names.
fn identity(gateway: &Gateway, subject: &str) -> Value {
    let session = || Ok(gateway.weir_json(&["sessions", "--identity", subject])?.into_iter().next());
    wait_for(&format!("a session of {subject}"), SOON, session).unwrap()["identity"].clone()
}
