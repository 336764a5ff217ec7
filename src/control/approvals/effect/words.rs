//! Numbers as people read them.

/// `184,201`.
pub(super) fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `184,201 records`.
pub(super) fn count(count: i64, of: &str) -> String {
    format!("{} {of}{}", number(count), if count == 1 { "" } else { "s" })
}

/// The same of a length.
pub(super) fn len(length: usize, of: &str) -> String {
    count(i64::try_from(length).unwrap_or(i64::MAX), of)
}

/// `512 B`, `3.2 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart_and_sizes_a_unit() {
        let numbers = [0, 7, 999, 1000, 184_201, -1_000_000, i64::MIN].map(number);
        assert_eq!(numbers, ["0", "7", "999", "1,000", "184,201", "-1,000,000", "-9,223,372,036,854,775,808"]);
        assert_eq!(
            [count(1, "record"), count(0, "record"), len(12, "partition")],
            ["1 record", "0 records", "12 partitions"]
        );
        let sizes = [0, 1023, 1024, 1 << 20, (1 << 20) - 1, 3_435_973_837, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 MiB", "3.2 GiB", "16.0 EiB"]);
    }
}
