//! `docs/openapi.json` is what the code says of itself.

use std::path::Path;
use std::process::Command;

#[test]
fn the_published_document_is_the_one_the_gateway_serves() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let output = Command::new(env!("CARGO_BIN_EXE_weir")).arg("openapi").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && printed.contains("\"openapi\": \"3.1.0\""), "{printed}");
    assert!(kept == printed, "docs/openapi.json is stale: renew it by `make openapi`");
}
