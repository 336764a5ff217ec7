//! A corpus that says where what stands in it: what each detector has to find, written as people and programs write it, and
//! what only looks like it. Made by code, the same every time.
//!
//! Some of what only looks like it passes by chance (one number in ten has Luhn's digit), or is told by nothing around it (a
//! version of four numbers). Nobody can tell these from a text alone: they are marked *unlucky* and counted apart.

use std::ops::Range;

use super::numbers::*;

/// One text, and the one thing in it.
pub(super) struct Sample {
    pub(super) text: String,
    /// What has to be found, by the detector of this name; none where nothing has to be.
    pub(super) label: Option<(&'static str, Range<usize>)>,
    /// Detectors that may take it for theirs without being wrong about its form.
    pub(super) unlucky: Vec<&'static str>,
}

const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const ALPHANUMERIC: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const HEX: &str = "0123456789abcdef";
const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What stands around a value: alone, in logs, in tables, in sentences of several languages and scripts.
const AROUND: &[&str] = &[
    "@@",
    "@@",
    "@@",
    "value=@@",
    "\"@@\"",
    "('@@')",
    "a,@@,b",
    "[@@]",
    "customer @@ called",
    "note: @@.",
    "siehe @@, bitte",
    "vu @@ hier",
    "2024-01-15T10:20:30Z INFO got @@ from queue",
    "<td>@@</td>",
    "line one\n@@\nline two",
    "客户@@的",
    "клиент @@ ждёт",
    "x|@@|y",
    "k:@@;",
    "\t@@\t",
];

/// Texts for each detector, and of what is none of theirs.
pub(super) fn corpus(each: usize) -> Vec<Sample> {
    let mut dice = Dice(6);
    let mut samples = Vec::new();
    for _ in 0..each {
        for (detector, make) in WANTED {
            let value = make(&mut dice);
            let (before, after) = dice.pick(AROUND).split_once("@@").unwrap();
            let label = Some((*detector, before.len()..before.len() + value.len()));
            samples.push(Sample { text: format!("{before}{value}{after}"), label, unlucky: unlucky(&value) });
        }
        for make in LOOKALIKES {
            let value = make(&mut dice);
            let text = dice.pick(AROUND).replace("@@", &value);
            samples.push(Sample { text, label: None, unlucky: unlucky(&value) });
        }
    }
    samples
}

type Make = fn(&mut Dice) -> String;

const WANTED: &[(&str, Make)] = &[
    ("payment_card", payment_card),
    ("email", email),
    ("iban", some_iban),
    ("phone", phone),
    ("ipv4", |d| format!("{}.{}.{}.{}", d.roll(1, 255), d.roll(0, 255), d.roll(0, 255), d.roll(1, 255))),
    ("ipv6", ipv6),
    ("jwt", jwt),
    ("cloud_key", cloud_key),
    ("us_ssn", |d| format!("{:03}-{:02}-{:04}", d.roll(1, 665), d.roll(1, 99), d.roll(1, 9999))),
    ("uk_nino", nino),
    ("fr_nir", nir),
    ("de_tax_id", |d| {
        let id = tax_id(d);
        if d.roll(0, 1) == 0 { id } else { grouped(&id, &[2, 3, 3, 3], " ") }
    }),
    ("es_dni", dni),
    ("it_codice_fiscale", codice_fiscale),
    ("pl_pesel", |d| {
        let body = format!("{:02}{:02}{:02}{}", d.roll(0, 99), d.roll(1, 12), d.roll(1, 28), d.digits(4));
        format!("{body}{}", pesel_digit(&body))
    }),
    ("se_personnummer", |d| {
        let body = format!("{:02}{:02}{:02}{}", d.roll(0, 99), d.roll(1, 12), d.roll(1, 28), d.digits(3));
        let whole = format!("{body}{}", luhn_digit(&body));
        grouped(&whole, &[6, 4], d.pick(&["-", "-", ""]))
    }),
    ("br_cpf", |d| {
        let body = d.digits(9);
        let check = cpf_digits(&body);
        if d.roll(0, 2) == 0 {
            format!("{body}{check}")
        } else {
            format!("{}-{check}", grouped(&body, &[3, 3, 3], "."))
        }
    }),
    ("in_aadhaar", |d| {
        let body = format!("{}{}", d.roll(2, 9), d.digits(10));
        grouped(&format!("{body}{}", verhoeff_digit(&body)), &[4, 4, 4], d.pick(&[" ", "-", ""]))
    }),
];

fn payment_card(d: &mut Dice) -> String {
    let (prefix, length) = [
        ("4", 16),
        ("4", 13),
        ("51", 16),
        ("55", 16),
        ("2221", 16),
        ("34", 15),
        ("37", 15),
        ("36", 14),
        ("6011", 16),
        ("65", 16),
        ("3530", 16),
        ("62", 16),
        ("62", 19),
        ("6759", 18),
        ("2202", 16),
    ][d.roll(0, 14) as usize];
    let body = format!("{prefix}{}", d.digits(length - 1 - prefix.len()));
    let card = format!("{body}{}", luhn_digit(&body));
    match (d.roll(0, 3), length) {
        (0, 16) => grouped(&card, &[4, 4, 4, 4], " "),
        (1, 16) => grouped(&card, &[4, 4, 4, 4], "-"),
        (0, 15) => grouped(&card, &[4, 6, 5], " "),
        (0, 14) => grouped(&card, &[4, 6, 4], " "),
        (0, 19) => grouped(&card, &[4, 4, 4, 4, 3], " "),
        _ => card,
    }
}

fn email(d: &mut Dice) -> String {
    let name =
        d.pick(&["john", "jane.doe", "j.r+news", "o'neil", "info", "jürgen", "иван", "x_y-z", "a1", "first.last99"]);
    let host = d.pick(&[
        "example.com",
        "mail.example.co.uk",
        "example.org",
        "müller.de",
        "xn--e1aybc.xn--p1ai",
        "corp.internal",
        "a.b.c.example.museum",
    ]);
    format!("{name}{}@{host}", d.roll(0, 99))
}

fn some_iban(d: &mut Dice) -> String {
    let bban = match d.roll(0, 5) {
        0 => ("DE", d.digits(18)),
        1 => ("FR", format!("{}{}{}", d.digits(10), d.text("ABC0123456789", 11), d.digits(2))),
        2 => ("GB", format!("{}{}", d.text(UPPER, 4), d.digits(14))),
        3 => ("NL", format!("{}{}", d.text(UPPER, 4), d.digits(10))),
        4 => ("NO", d.digits(11)),
        _ => ("ES", d.digits(20)),
    };
    let iban = iban(bban.0, &bban.1);
    let fours =
        |iban: &str| iban.as_bytes().chunks(4).map(|c| String::from_utf8_lossy(c).into_owned()).collect::<Vec<_>>();
    match d.roll(0, 3) {
        0 | 1 => iban,
        2 => fours(&iban).join(" "),
        _ => iban.to_lowercase(),
    }
}

fn phone(d: &mut Dice) -> String {
    let (area, exchange) = (d.roll(201, 989), d.roll(212, 989));
    let (area, exchange) = (area + u64::from(area % 100 == 11), exchange + u64::from(exchange % 100 == 11));
    let line = d.digits(4);
    match d.roll(0, 15) {
        0 => format!("+1{area}{exchange}{line}"),
        1 => format!("({area}) {exchange}-{line}"),
        2 => format!("{area}-{exchange}-{line}"),
        3 => format!("{area}.{exchange}.{line}"),
        4 => format!("+1 {area} {exchange} {line}"),
        5 => format!("+44 20 {} {}", d.roll(7000, 8999), line),
        6 => format!("+49 {} {}", d.roll(30, 999), d.roll(100_000, 99_999_999)),
        7 => format!("+49 (0){} {}", d.roll(30, 999), d.roll(100_000, 9_999_999)),
        8 => format!("0{} {}", d.roll(30, 999), d.roll(1_000_000, 9_999_999)),
        9 => grouped(&format!("0{}{}", d.roll(1, 9), d.digits(8)), &[2, 2, 2, 2, 2], d.pick(&[" ", "."])),
        10 => format!("020 7{} {line}", d.digits(3)),
        11 => format!("07{} {}", d.digits(3), d.digits(6)),
        12 => format!("+91 9{} {}", d.digits(4), d.digits(5)),
        13 => format!("+86 13{} {} {}", d.digits(1), d.digits(4), d.digits(4)),
        14 => format!("0033{}{}", d.roll(1, 9), d.digits(8)),
        // Nothing but digits: nobody can tell without a word before.
        _ => format!("{area}{exchange}{line}"),
    }
}

fn ipv6(d: &mut Dice) -> String {
    match d.roll(0, 4) {
        0 => (0..8).map(|_| d.text(HEX, 4)).collect::<Vec<_>>().join(":"),
        1 => format!("2001:db8::{}:{}", d.text(HEX, 2), d.text(HEX, 4)),
        2 => format!("fe80::{}:{}:{}:1", d.text(HEX, 3), d.text(HEX, 4), d.text(HEX, 4)),
        3 => format!("::ffff:{}.{}.{}.{}", d.roll(1, 255), d.roll(0, 255), d.roll(0, 255), d.roll(1, 255)),
        _ => d.pick(&["::1", "2a00:1450:4001:82a::200e", "FD00:0:0:1::9", "ff02::1:2"]).to_owned(),
    }
}

fn jwt(d: &mut Dice) -> String {
    let header = d.pick(&[
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ",
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
    ]);
    let (payload, signature) = (d.roll(20, 400), d.pick(&[&43, &86, &342]));
    format!("{header}.eyJ{}.{}", d.text(BASE64_URL, payload as usize), d.text(BASE64_URL, *signature))
}

fn cloud_key(d: &mut Dice) -> String {
    match d.roll(0, 5) {
        0 => format!("AKIA{}", d.text(BASE32, 16)),
        1 => format!("ASIA{}", d.text(BASE32, 16)),
        2 => format!("AIza{}", d.text(BASE64_URL, 34) + "x"),
        3 => format!("ghp_{}", d.text(ALPHANUMERIC, 36)),
        4 => format!("xoxb-{}-{}", d.digits(12), d.text(ALPHANUMERIC, 24)),
        _ => format!("{}+ASt{}==", d.text(BASE64, 76), d.text(BASE64, 5) + "A"),
    }
}

fn nino(d: &mut Dice) -> String {
    let prefix = d.pick(&["AA", "AB", "CE", "JG", "PW", "RT", "SX", "YZ"]);
    let (digits, suffix) = (d.digits(6), d.text("ABCD", 1));
    match d.roll(0, 1) {
        0 => format!("{prefix}{digits}{suffix}"),
        _ => format!("{prefix} {} {suffix}", grouped(&digits, &[2, 2, 2], " ")),
    }
}

fn nir(d: &mut Dice) -> String {
    let body = format!(
        "{}{:02}{:02}{:02}{:03}{:03}",
        d.roll(1, 2),
        d.roll(0, 99),
        d.roll(1, 12),
        d.roll(1, 95),
        d.roll(1, 990),
        d.roll(1, 999)
    );
    let whole = format!("{body}{:02}", 97 - body.parse::<u64>().unwrap() % 97);
    if d.roll(0, 1) == 0 { whole } else { grouped(&whole, &[1, 2, 2, 2, 3, 3, 2], " ") }
}

fn dni(d: &mut Dice) -> String {
    if d.roll(0, 2) == 0 {
        let (series, number) = (d.roll(0, 2), d.roll(0, 9_999_999));
        format!("{}{number:07}{}", ["X", "Y", "Z"][series as usize], dni_letter(series * 10_000_000 + number))
    } else {
        let number = d.roll(1_000_000, 99_999_999);
        format!("{number:08}{}{}", d.pick(&["", "-"]), dni_letter(number))
    }
}

const LOOKALIKES: &[Make] = &[
    // Order ids and other numbers.
    |d| format!("{}{}", d.roll(2, 9), d.digits(15)),
    |d| format!("{}{}", d.roll(1, 9), d.digits(18)),
    |d| format!("4{}", d.digits(15)),
    |d| format!("5{}-{}-{}-{}", d.digits(3), d.digits(4), d.digits(4), d.digits(4)),
    |d| format!("{}{}", d.roll(1, 9), d.digits(8)),
    |d| format!("{}{}", d.roll(1, 9), d.digits(10)),
    |d| format!("{}{}", d.roll(2, 9), d.digits(11)),
    |d| format!("ORD-{}-{}", d.roll(2000, 2030), d.digits(8)),
    |d| format!("000{}", d.digits(9)),
    |d| format!("{}-{}-{}", d.digits(4), d.digits(4), d.digits(4)),
    |d| d.roll(1_500_000_000_000, 1_900_000_000_000).to_string(),
    |d| d.roll(1_500_000_000_000_000, 1_900_000_000_000_000).to_string(),
    |d| d.roll(1_500_000_000_000_000_000, 1_900_000_000_000_000_000).to_string(),
    |d| format!("0.{}", d.digits(16)),
    |d| format!("{}.{}", d.roll(1, 179), d.digits(14)),
    |d| format!("{} {:03} {:03},{:02}", d.roll(1, 999), d.roll(0, 999), d.roll(0, 999), d.roll(0, 99)),
    |d| format!("978-3-16-{}-{}", d.digits(6), d.digits(1)),
    |d| format!("1Z{}{}", d.text(UPPER, 3), d.digits(13)),
    // Dates and times.
    |d| {
        format!(
            "{:02}.{:02}.{} {:02}:{:02}",
            d.roll(1, 28),
            d.roll(1, 12),
            d.roll(1950, 2030),
            d.roll(0, 23),
            d.roll(0, 59)
        )
    },
    |d| {
        format!(
            "{:02}-{:02}-{} {:02}:{:02}",
            d.roll(1, 28),
            d.roll(1, 12),
            d.roll(1950, 2030),
            d.roll(0, 23),
            d.roll(0, 59)
        )
    },
    |d| {
        format!(
            "{}-{:02}-{:02}T{:02}:{:02}:00+0{}:00",
            d.roll(1950, 2030),
            d.roll(1, 12),
            d.roll(1, 28),
            d.roll(0, 23),
            d.roll(0, 59),
            d.roll(0, 9)
        )
    },
    |d| format!("{:02}:{:02}:{:02}.{}", d.roll(0, 23), d.roll(0, 59), d.roll(0, 59), d.digits(6)),
    |d| {
        format!(
            "{}{:02}{:02}{:02}{:02}{:02}",
            d.roll(1950, 2030),
            d.roll(1, 12),
            d.roll(1, 28),
            d.roll(0, 23),
            d.roll(0, 59),
            d.roll(0, 59)
        )
    },
    // Versions, names and paths.
    |d| format!("v{}.{}.{}.{}", d.roll(0, 20), d.roll(0, 20), d.roll(0, 99), d.roll(0, 99)),
    |d| {
        format!(
            "{}.{}.{}.{}-{}",
            d.roll(0, 20),
            d.roll(0, 20),
            d.roll(0, 99),
            d.roll(0, 99),
            d.pick(&["beta", "rc1", "SNAPSHOT"])
        )
    },
    |d| format!("version {}.{}.{}.{}", d.roll(0, 20), d.roll(0, 20), d.roll(0, 99), d.roll(0, 99)),
    |d| format!("lib-{}.{}.{}.{}.tar.gz", d.roll(0, 20), d.roll(0, 20), d.roll(0, 99), d.roll(0, 99)),
    |d| format!("Mozilla/5.0 (X11) Chrome/{}.0.0.0 Safari/537.36", d.roll(90, 140)),
    |d| format!("1.3.6.1.4.1.{}.{}", d.roll(1, 60_000), d.roll(1, 99)),
    |d| format!("{}.{}.{}.{}", d.roll(0, 20), d.roll(0, 20), d.roll(0, 99), d.roll(0, 99)),
    |d| format!("{}@{}.{}.{}", d.text(LOWER, 6), d.roll(0, 20), d.roll(0, 20), d.roll(0, 20)),
    |d| format!("@{}/{}", d.text(LOWER, 5), d.text(LOWER, 5)),
    |d| format!("icon-{}@2x.png", d.text(LOWER, 5)),
    |d| format!("{}@localhost", d.text(LOWER, 5)),
    |d| format!("std::{}::{}", d.text(LOWER, 5), d.text("abcdef", 3)),
    |d| format!("{}::{}", d.text("abcdef", 4), d.text("abcdef", 3)),
    // Hashes and encoded bytes.
    |d| format!("{}-{}-4{}-a{}-{}", d.text(HEX, 8), d.text(HEX, 4), d.text(HEX, 3), d.text(HEX, 3), d.text(HEX, 12)),
    |d| d.text(HEX, 32),
    |d| d.text(HEX, 40),
    |d| d.text(HEX, 64),
    |d| (0..6).map(|_| d.text(HEX, 2)).collect::<Vec<_>>().join(":"),
    |d| (0..8).map(|_| d.text(HEX, 2)).collect::<Vec<_>>().join(":"),
    |d| (0..20).map(|_| d.text(HEX, 2)).collect::<Vec<_>>().join(":"),
    |d| d.text(BASE64, 400),
    |d| format!("sha512-{}==", d.text(BASE64, 86)),
    |d| format!("{}==", d.text(BASE64, 86)),
    |d| format!("eyJ{}==", d.text(BASE64, 40)),
    |d| format!("eyJub25lIjoxfQ.{}.{}", d.text(BASE64_URL, 40), d.text(BASE64_URL, 43)),
    |d| format!("AKIA{}", d.text(UPPER, 9)),
    |d| format!("{}AKIA{}", d.text(UPPER, 30), d.text(UPPER, 30)),
];

/// Whose form a number has by chance, check digit and all.
fn unlucky(value: &str) -> Vec<&'static str> {
    let digits: String = value.chars().filter(char::is_ascii_digit).collect();
    let bare = value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b' ' | b'.' | b'+'));
    let ends = |check: &dyn Fn(&str) -> u32| digits.ends_with(&check(&digits[..digits.len() - 1]).to_string());
    let mut of = Vec::new();
    let mut mark = |detector, is: bool| of.extend(is.then_some(detector));
    mark("payment_card", bare && (13..=19).contains(&digits.len()) && ends(&luhn_digit));
    if bare && !digits.is_empty() {
        mark("de_tax_id", digits.len() == 11 && ends(&mod_11_10_digit));
        mark("pl_pesel", digits.len() == 11 && ends(&pesel_digit));
        mark("br_cpf", digits.len() == 11 && digits.ends_with(&cpf_digits(&digits[..9])));
        mark("in_aadhaar", digits.len() == 12 && ends(&verhoeff_digit));
        mark(
            "se_personnummer",
            matches!(digits.len(), 10 | 12)
                && luhn_digit(&digits[digits.len() - 10..digits.len() - 1]).to_string() == digits[digits.len() - 1..],
        );
        mark("fr_nir", digits.len() == 15);
    }
    let numbers: Vec<&str> = value.split('.').collect();
    // The last of an IPv6 address may be an IPv4 address.
    mark("ipv4", value.starts_with("::ffff:"));
    mark("ipv4", numbers.len() == 4 && numbers.iter().all(|n| n.parse::<u8>().is_ok()));
    of
}
