//! Events of a shop: 1 KiB of JSON as services write it, some 45 fields, nested and in arrays.

/// Bytes of an event.
pub const LENGTH: usize = 1024;

/// How many different ones: together they fit a core's second cache.
const COUNT: usize = 512;

/// The fields that rules name, and what stands there in every event.
pub const SENSITIVE: &[(&str, &str)] = &[
    ("pan", "4111111111111111"),
    ("iban", "DE89370400440532013000"),
    ("email", "erika.mustermann@example.org"),
    ("phone", "+49 30 901820"),
    ("ssn", "078-05-1120"),
    ("birth_date", "1984-08-12"),
    ("password", "correct horse battery"),
    ("passport", "C01X00T478"),
];

/// Events in which the place of each sensitive field is taken by another of the same length.
pub fn clean() -> Vec<Vec<u8>> {
    events(|name| name.bytes().rev().map(char::from).collect())
}

/// Events with all sensitive fields.
pub fn sensitive() -> Vec<Vec<u8>> {
    events(str::to_owned)
}

fn events(name: impl Fn(&str) -> String) -> Vec<Vec<u8>> {
    (0..COUNT).map(|number| event(number, &name).into_bytes()).collect()
}

fn event(number: usize, name: &impl Fn(&str) -> String) -> String {
    let field = |i: usize| format!("\"{}\":\"{}\"", name(SENSITIVE[i].0), SENSITIVE[i].1);
    let id = number * 7919 % 1_000_000;
    let mut event = format!(
        "{{\"event_id\":\"6f1c2b9e-77aa-4c1d-9d0e-{id:012}\",\"type\":\"order.placed\",\"version\":3,\"created\":\"2026-11-24T21:{:02}:{:02}.123Z\",\
         \"source\":{{\"service\":\"checkout\",\"host\":\"node-{:02}\",\"region\":\"eu-central-1\",\"build\":\"1.48.2\"}},\
         \"customer\":{{\"id\":{id},\"name\":\"Erika Mustermann\",{},{},{},\"address\":{{\"street\":\"Heidestrasse 17\",\"city\":\"Koeln\",\"zip\":\"51147\",\"country\":\"DE\"}},{},{}}},\
         \"order\":{{\"id\":\"A-{id}\",\"currency\":\"EUR\",\"total\":{}.95,\"paid\":true,\"coupon\":null,\"items\":[\
         {{\"sku\":\"SKU-{:05}\",\"title\":\"Wool socks, grey\",\"quantity\":2,\"price\":9.95}},{{\"sku\":\"SKU-{:05}\",\"title\":\"Rain jacket\",\"quantity\":1,\"price\":{}.00}}]}},\
         \"payment\":{{\"method\":\"card\",{},{},\"captured\":true}},{}",
        number % 60,
        number % 59,
        number % 30,
        field(2),
        field(3),
        field(5),
        field(4),
        field(7),
        number % 400,
        number % 9973,
        number % 9871,
        number % 250,
        field(0),
        field(1),
        field(6),
    );
    let padding = LENGTH.saturating_sub(event.len() + ",\"note\":\"\"}".len());
    let note = "leave with the neighbour if nobody is at home, thank you. ".repeat(padding / 50 + 1);
    event.push_str(&format!(",\"note\":\"{}\"}}", &note[..padding]));
    event
}
