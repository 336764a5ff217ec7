//! Every route of the document, asked by every role and by nobody: who may is let in, who may not is told which role it takes.

use crate::rig::{GROUPS, gateway, get, login, send};

#[test]
fn each_role_is_let_in_where_the_document_says_so_and_nowhere_else() {
    let gateway = gateway();
    let logins: Vec<(&str, String)> =
        GROUPS.iter().map(|(role, group)| (*role, login(&gateway, &format!("{role}-1"), group))).collect();
    let document = get(&gateway, "openapi.json", &logins[0].1).json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let says = operation["description"].as_str().unwrap_or_default();
            let path = path.replace("{id}", "0000000000000");
            let ask = |login: &[&str]| {
                let headers = [login, &["Content-Type: application/json"]].concat();
                send(gateway.control(), &method.to_uppercase(), &path, &headers, "")
            };
            for (role, login) in &logins {
                let answer = ask(&[login]);
                let may = operation.get("security").is_none() || says.split([' ', '.']).any(|word| word == *role);
                assert_eq!(answer.status != 403, may, "{role}: {method} {path}: {answer:?}");
                if !may {
                    let detail = answer.problem();
                    assert!(
                        detail.contains("this needs the role") && detail.contains(&format!("{role}-1")),
                        "{detail}"
                    );
                }
                asked += 1;
            }
            let expected = if operation.get("security").is_none() { 200 } else { 401 };
            assert_eq!(ask(&[]).status, expected, "{method} {path}");
        }
    }
    assert!(asked >= 4 * 17, "{asked}");
}

#[test]
fn nobody_without_a_role_gets_anything_but_health() {
    let gateway = gateway();
    for groups in ["dev", "admin,viewer,auditor"] {
        let nobody = login(&gateway, "nobody-special", groups);
        assert_eq!(get(&gateway, "health", &nobody).status, 200);
        for path in ["caller", "openapi.json", "policy", "sessions", "tokens", "identities"] {
            let refused = get(&gateway, path, &nobody);
            assert_eq!(refused.status, 403, "{path}");
            assert!(refused.problem().contains("nobody-special has no role"), "{refused:?}");
        }
    }
}
