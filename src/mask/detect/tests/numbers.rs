//! Numbers with their check digits, as whoever gives them out makes them: written apart from what checks them.

/// The same numbers every time (splitmix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Of `low..=high`.
    pub(super) fn roll(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.roll(0, of.len() as u64 - 1) as usize]
    }

    /// So many characters of `alphabet`.
    pub(super) fn text(&mut self, alphabet: &str, count: usize) -> String {
        (0..count).map(|_| char::from(alphabet.as_bytes()[self.roll(0, alphabet.len() as u64 - 1) as usize])).collect()
    }

    pub(super) fn digits(&mut self, count: usize) -> String {
        self.text("0123456789", count)
    }
}

fn values(digits: &str) -> Vec<u32> {
    digits.chars().map(|c| c.to_digit(10).unwrap()).collect()
}

pub(super) fn luhn_digit(body: &str) -> u32 {
    let sum: u32 =
        values(body).iter().rev().enumerate().map(|(i, d)| if i % 2 == 0 { d * 2 / 10 + d * 2 % 10 } else { *d }).sum();
    (10 - sum % 10) % 10
}

/// Verhoeff's tables as they are usually printed.
pub(super) fn verhoeff_digit(body: &str) -> u32 {
    const D: [&str; 10] = [
        "0123456789",
        "1234067895",
        "2340178956",
        "3401289567",
        "4012395678",
        "5987604321",
        "6598710432",
        "7659821043",
        "8765932104",
        "9876543210",
    ];
    const P: [&str; 8] = [
        "0123456789",
        "1576283094",
        "5803796142",
        "8916043527",
        "9453126870",
        "4286573901",
        "2793806415",
        "7046913258",
    ];
    let at = |row: &str, i: u32| row.as_bytes()[i as usize] as u32 - 48;
    let sum = values(body).iter().rev().enumerate().fold(0, |c, (i, d)| at(D[c as usize], at(P[(i + 1) % 8], *d)));
    (0..10).find(|j| at(D[sum as usize], *j) == 0).unwrap()
}

/// ISO 7064 MOD 11,10.
pub(super) fn mod_11_10_digit(body: &str) -> u32 {
    let mut product = 10;
    for digit in values(body) {
        let sum = match (digit + product) % 10 {
            0 => 10,
            sum => sum,
        };
        product = sum * 2 % 11;
    }
    (11 - product) % 10
}

pub(super) fn pesel_digit(body: &str) -> u32 {
    let sum: u32 = values(body).iter().zip([1, 3, 7, 9, 1, 3, 7, 9, 1, 3]).map(|(d, w)| d * w).sum();
    (10 - sum % 10) % 10
}

pub(super) fn cpf_digits(body: &str) -> String {
    let digit = |body: &str| {
        let length = body.len() as u32;
        let rest = values(body).iter().zip(0..).map(|(d, i)| d * (length + 1 - i)).sum::<u32>() % 11;
        if rest < 2 { 0 } else { 11 - rest }
    };
    let first = digit(body);
    format!("{first}{}", digit(&format!("{body}{first}")))
}

/// The two check digits of an IBAN by division of the whole number.
pub(super) fn iban(country: &str, bban: &str) -> String {
    let spelt: String = format!("{bban}{country}00").chars().map(|c| c.to_digit(36).unwrap().to_string()).collect();
    let rest = spelt.bytes().fold(0u64, |rest, b| (rest * 10 + u64::from(b - b'0')) % 97);
    format!("{country}{:02}{bban}", 98 - rest)
}

pub(super) fn tax_id(dice: &mut Dice) -> String {
    // Nine different digits, one of them twice.
    let mut digits: Vec<char> = "0123456789".chars().collect();
    for i in (1..10).rev() {
        digits.swap(i, dice.roll(0, i as u64) as usize);
    }
    digits[9] = digits[dice.roll(0, 8) as usize];
    if digits[0] == '0' {
        digits.swap(0, 1);
    }
    let body: String = digits.into_iter().collect();
    format!("{body}{}", mod_11_10_digit(&body))
}

pub(super) fn dni_letter(number: u64) -> char {
    char::from(b"TRWAGMYFPDXBNJZSQVHLCKE"[(number % 23) as usize])
}

pub(super) fn codice_fiscale(dice: &mut Dice) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let body = format!(
        "{}{:02}{}{:02}{}{}",
        dice.text(LETTERS, 6),
        dice.roll(40, 99),
        dice.text("ABCDEHLMPRST", 1),
        dice.roll(1, 28),
        dice.text("ABCDEFGHL", 1),
        dice.digits(3)
    );
    let odd = "BAKPLCQDREVOSFTGUHMINJWZYX";
    let sum: usize = body
        .chars()
        .enumerate()
        .map(|(i, c)| {
            let value = c.to_digit(10).unwrap_or_else(|| c as u32 - 'A' as u32) as usize;
            if i % 2 == 0 { odd.find(char::from(b'A' + value as u8)).unwrap() } else { value }
        })
        .sum();
    format!("{body}{}", char::from(b'A' + (sum % 26) as u8))
}

/// In groups of these sizes.
pub(super) fn grouped(digits: &str, sizes: &[usize], separator: &str) -> String {
    let mut rest = digits;
    let mut groups = Vec::new();
    for size in sizes {
        let (group, after) = rest.split_at(*size);
        groups.push(group);
        rest = after;
    }
    groups.join(separator)
}
