//! What the play is about: orders that are paid by card, and the rule that hides the cards.

use loadtest::clients::Record;

pub const TOPIC: &str = "orders";
pub const COUNT: usize = 1000;

/// Whoever is in this group sees the cards.
pub const CARD_READERS: &str = "pci-readers";

/// Numbers that payment companies give out for tests.
const CARDS: [&str; 4] = ["4111111111111111", "5555555555554444", "4012888888881881", "6011111111111117"];

pub const POLICY: &str = "\
recording:
  - mode: full
masking:
  - name: card data
    topics: [\"orders\"]
    fields: [\"card.number\"]
    action: { keep_last: 4 }
    unless_groups: [pci-readers]
";

/// One order.
pub fn order(n: usize) -> Record {
    let (customer, cents, card) = (n * 7919 % 97, n * 104_729 % 50_000, CARDS[n % CARDS.len()]);
    let value = format!(
        "{{\"order\":\"o-{n:05}\",\"customer\":\"c-{customer:02}\",\"amount\":{}.{:02},\"currency\":\"EUR\",\
         \"card\":{{\"number\":\"{card}\",\"holder\":\"c-{customer:02}\"}}}}",
        cents / 100,
        cents % 100
    );
    Record {
        key: Some(format!("c-{customer:02}")),
        value: Some(value),
        headers: vec![("source".into(), Some("shop".into()))],
    }
}

/// The same as the rule leaves it.
pub fn masked(order: &Record) -> Record {
    let mask = |value: &String| {
        CARDS
            .iter()
            .fold(value.clone(), |value, card| value.replace(card, &format!("{}{}", "*".repeat(12), &card[12..])))
    };
    Record { value: order.value.as_ref().map(mask), ..order.clone() }
}
