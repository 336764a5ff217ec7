//! What each detector takes and leaves, on examples that are published or told apart by their neighbours; what holds for
//! any text; and how well they do on a corpus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::single_range_in_vec_init)]

mod any_text;
mod corpus;
mod numbers;
mod score;
mod together;

use super::*;

fn detector(name: &str) -> Detectors {
    Detectors::new([name.parse::<Detector>().unwrap()]).unwrap()
}

fn found(detectors: &Detectors, text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    detectors.find(text, &mut found);
    found
}

/// `[` and `]` in a case stand around what has to be found; without them nothing may be.
fn check(name: &str, cases: &[&str]) {
    let detectors = detector(name);
    for case in cases {
        let (mut text, mut expected, mut open) = (Vec::new(), Vec::new(), 0);
        for b in case.bytes() {
            match b {
                b'[' => open = text.len(),
                b']' => expected.push(open..text.len()),
                _ => text.push(b),
            }
        }
        let shown: Vec<_> =
            found(&detectors, &text).into_iter().map(|r| String::from_utf8_lossy(&text[r]).into_owned()).collect();
        assert_eq!(found(&detectors, &text), expected, "{name}: {case}: found {shown:?}");
    }
}

#[test]
fn payment_cards() {
    check(
        "payment_card",
        &[
            "[4111111111111111]",
            "pay with [4111 1111 1111 1111], please",
            "[5500-0000-0000-0004]",
            "[3782 822463 10005] and [371449635398431]",
            "[30569309025904] [6011111111111117] [3530111333300000] [2223003122003222]",
            "[4222222222222]",
            "[6304 0000 0000 0000] 123",
            "[4111 1111 1111 1111] 123 12/27",
            "exp 1227 [4111 1111 1111 1111]",
            r"line\n[4111111111111111]\n",
            "卡号[4111111111111111]是",
            "é[4111111111111111] CARD[4111111111111111]",
            // Wrong check digit, no issuer, one digit too many, decimals, a hash, one digit only.
            "4111111111111112 9411111111111112 41111111111111111",
            "0.4111111111111111 a4111111111111111b",
            "4111-1111-1111-1111-22 99-4111-1111-1111-1111",
            "0000000000000000 4111 11 11 1111 1111 11",
            "41111111111111111111111111111111",
            "1700000000000 1700000000000000000",
        ],
    );
}

#[test]
fn email_addresses() {
    check(
        "email",
        &[
            "[john.doe@example.com]",
            "<[john@example.co.uk]>, '[o'brien+tag@example.org]'.",
            "mailto:[a_b-c@sub.example.museum]?subject=x",
            "?email=[a@b.io]&x=1",
            "[jürgen@müller.de] [ivan@почта.рф] 邮箱[zhang@example.cn]。",
            "[写信给张三@例子.中国]",
            r"to\n[ann@example.com]\n",
            "user:[secret@host.example.com]",
            "[x@xn--e1aybc.xn--p1ai]",
            "a@b @types/node pkg@1.2.3 icon@2x.png user@localhost a @b.com .@b.com a@.com a@-b.com a@b-.com",
        ],
    );
    let long = format!("{}@example.com", "a".repeat(200));
    assert_eq!(found(&detector("email"), long.as_bytes()), [136..212]);
}

#[test]
fn ibans() {
    check(
        "iban",
        &[
            "[GB82WEST12345698765432]",
            "[GB82 WEST 1234 5698 7654 32]",
            "to [DE89 3704 0044 0532 0130 00] today",
            "[de89370400440532013000]",
            "[NO9386011117947], [FR14 2004 1010 0505 0001 3M02 606] [MT84MALT011000012345MTLCAST001S]",
            r"\n[SA03 8000 0000 6080 1016 7519]",
            "GB82WEST12345698765433 XX82WEST12345698765432 GB82WEST123456987654321 AGB82WEST12345698765432 GB82 WEST1234 5698 7654 32",
        ],
    );
}

#[test]
fn phone_numbers() {
    check(
        "phone",
        &[
            "[+14155552671] [+44 20 7946 0958] [+49 (0)30 123456], [+33 1 23 45 67 89]",
            "[+1 (415) 555-2671], [0049 30 1234567] [(415) 555-2671] 12, [415-555-2671] 12, [415.555.2671], [1-415-555-2671]",
            "[030 1234567]; [030/1234567]; [020 7946 0958]; [01 23 45 67 89]; [06.12.34.56.78]; [0171-1234567]",
            "[(11) 91234-5678], [138 1234 5678] [+91 98765 43210]",
            "tel: [0612345678], mobile=[4155552671] Phone [555-2671]",
            "2024-01-15 10:20:30 15.01.2024 01-02-2024 10:30 01/02/2024 2024-01-01T00:00:00+01:00",
            "4111 1111 1111 1111 DE89 3704 0044 0532 0130 00 10.0.0.1 010.020.030.040 0000123456 1700000000000",
            "978-3-16-148410-0 0-306-40615-2 123-45-6789 2024-0001-0002 1+4915112345678 52.520008, 13.404954",
            "order 4155552671 111-555-2671 (2024) 123456 00000000 +0123456789 +123 -1234567890",
        ],
    );
}

#[test]
fn ipv4_addresses() {
    check(
        "ipv4",
        &[
            "[10.0.0.1]:8080 [192.168.1.255]/24 http://[8.8.8.8]/x [10.0.0.1]-[10.0.0.5] root@[10.1.2.3]. ip-[10.0.0.1]",
            r"x\n[10.0.0.1], ([127.0.0.1]) Chrome/[120.1.2.3]",
            "1.2.3.4-beta 1.2.3.4+build nginx-1.2.3.4 lib-1.2.3.4.tar.gz v1.2.3.4 version 1.2.3.4 Chrome/120.0.0.0",
            "1.3.6.1.4.1 256.1.1.1 1.2.3 01.2.3.4 libc.so.1.2.3.4 pkg==1.2.3.4 1.2.3.4.5 1.2.3.1000 Section 4.2.1.3",
        ],
    );
}

#[test]
fn ipv6_addresses_in_every_form_of_rfc_4291() {
    let detectors = detector("ipv6");
    for text in [
        "ABCD:EF01:2345:6789:ABCD:EF01:2345:6789",
        "2001:DB8:0:0:8:800:200C:417A",
        "2001:DB8::8:800:200C:417A",
        "FF01::101",
        "::1",
        "0:0:0:0:0:0:13.1.68.3",
        "::FFFF:129.144.52.38",
        "::13.1.68.3",
        "2001:0DB8::CD30:0:0:0:0",
        "fe80::1%eth0",
    ] {
        for (before, after) in
            [("", ""), ("[", "]:9092"), ("from ", ": refused"), ("", "/64"), ("at ", "."), ("ip=", ",")]
        {
            let whole = format!("{before}{text}{after}");
            assert_eq!(found(&detectors, whole.as_bytes()), [before.len()..before.len() + text.len()], "{whole}");
        }
    }
    check(
        "ipv6",
        &[
            "12:34:56 00:1a:2b:3c:4d:5e 00:11:22:33:44:55:66:77 ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89",
            "std::vector ace::add Foo::Bar 2024::text x(1::2) :: a::b 1:2 {\"a\":1,\"b\":2} 1:2:3:4:5:6:7:8:9 20:30::",
        ],
    );
}

#[test]
fn json_web_tokens() {
    let header = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9";
    let other = "eyJub25lIjoxfQ";
    check(
        "jwt",
        &[
            &format!("Bearer [{header}.eyJpc3MiOiJqb2UifQ.dBjftJeZ4CVP-mBcK_W]"),
            &format!(r#""token":"[{header}.e30.]""#),
            &format!("[{header}..a.b.c] end"),
            &format!(r"\n[{header}.e30.abc]."),
            &format!("{header} {header}.e30 {other}.e30.abc x{header}.e30.abc {header}.. eyJhbGci.com.example"),
        ],
    );
}

#[test]
fn cloud_keys() {
    let azure = |mark: &str| format!("{}{mark}{}==", "aB3/".repeat(19), &"aB3/+".repeat(2)[..10 - mark.len()]);
    let (marked, plain) = (azure("+ASt"), azure(""));
    check(
        "cloud_key",
        &[
            "id [AKIAIOSFODNN7EXAMPLE] secret [wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE1]",
            "[ASIAIOSFODNN7EXAMPLE] rev 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
            "[AIzaSyA1234567890abcdefghijklmnopqrstuv]",
            "[ghp_abcdefghijklmnopqrstuvwxyz0123456789]",
            "[xoxb-123456789012-abcdefABCDEF]",
            &format!("x [{marked}] y"),
            &format!("AccountKey=[{plain}];EndpointSuffix=core.windows.net"),
            &format!("sha512-{plain} {plain}"),
            "AKIAFOO AKIAIOSFODNN7EXAMPLEX XAKIAIOSFODNN7EXAMPLE akiaiosfodnn7example wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE1",
            "AIzaShort ghp_short xoxb-1 a == b",
        ],
    );
}

#[test]
fn national_ids() {
    check(
        "us_ssn",
        &[
            "[123-45-6789], [123 45 6789], ssn: [123456789]",
            "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000 078-05-1120 123456789 1123-45-67890 a123-45-6789",
        ],
    );
    check("uk_nino", &["[AB123456C] [AB 12 34 56 C] [ab123456d]", "GB123456A AB123456E DA123456C XAB123456C AB12345C"]);
    check(
        "fr_nir",
        &[
            "[255081416802538], [2 55 08 14 168 025 38], [1 85 05 2A 006 084 35]",
            "255081416802539 955081416802538 2550814168025381",
        ],
    );
    check("de_tax_id", &["[86095742719] [65929970489], [57 549 285 017]", "86095742718 06095742719 12345678903"]);
    check("es_dni", &["[12345678Z] [12.345.678-Z] [X1234567L] [x-1234567-l]", "12345678A X1234567A 112345678Z"]);
    check("it_codice_fiscale", &["[RSSMRA85T10A562S] [rssmra85t10a562s]", "RSSMRA85T10A562T RSSMRA85T10A562SX"]);
    check("pl_pesel", &["[44051401359]", "44051401358 44991401359"]);
    check("se_personnummer", &["[811218-9876] [19811218-9876] [8112189876]", "811218-9875 819918-9876"]);
    check("br_cpf", &["[111.444.777-35] [11144477735]", "111.444.777-36 111.111.111-11 111-444-777-35"]);
    check("in_aadhaar", &["[2341 2341 2346] [234123412346] [2341-2341-2346]", "2341 2341 2347 1341 2341 2346"]);
}

#[test]
fn own_patterns() {
    let own = |text: &str| Detectors::new([Detector::Pattern(text.to_owned())]);
    let employee = own(r"EMP-[0-9]{4}").unwrap();
    assert_eq!(found(&employee, b"\xff EMP-1234, EMP-5678EMP-9999"), [2..10, 12..28]);
    for (text, why) in [
        ("a(", "unclosed group"),
        ("x*", "it matches the empty text, so everywhere"),
        ("(?:a{1000}){1000}", "compiles to more than 1048576 bytes"),
        (r"(a)\1", "backreferences are not supported"),
    ] {
        assert_eq!(own(text).unwrap_err().why, why, "{text}");
    }
    assert!(own(&"a".repeat(5000)).is_err());
}

#[test]
fn the_names_of_policies_are_read_and_nothing_else() {
    for name in Detector::names() {
        assert!(!detector(name).is_empty(), "{name}");
    }
    assert_eq!("cards".parse::<Detector>(), Err(UnknownDetector));
    assert!(Detectors::new([]).unwrap().is_empty());
}
