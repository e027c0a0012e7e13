//! Detects common passwords by the estimate of zxcvbn: dictionaries of passwords, names and words, in any case and with
//! look-alike characters (`p@ssw0rd`), keyboard patterns, repetitions, sequences and dates.

use chassis::text::nfc;
use zxcvbn::Score;

/// The estimate takes more than linear time, so only the beginning of longer passwords is checked.
const MAX_CHECKED_CHARACTERS: usize = 64;

/// Words that zxcvbn's English dictionaries do not have: this site, and common passwords of other languages.
const WORDS: [&str; 27] = [
    "proofsheet",
    "photo",
    "photos",
    "picture",
    "pictures",
    "amore",
    "azertyuiop",
    "bonjour",
    "contraseña",
    "geheim",
    "hallo",
    "hasło",
    "heslo",
    "jetaime",
    "kennwort",
    "loulou",
    "motdepasse",
    "parola",
    "passwort",
    "qwertzuiop",
    "salasana",
    "schatz",
    "senha",
    "wachtwoord",
    "пароль",
    "привет",
    "йцукен",
];

/// Whether `password` would be guessed in fewer than 10^8 attempts for the address `email`.
pub(crate) fn is_common(password: &str, email: &str) -> bool {
    let judged: String = password.chars().take(MAX_CHECKED_CHARACTERS).collect();
    let own = own_words(email);
    let words: Vec<&str> = WORDS.into_iter().chain(own.iter().map(String::as_str)).collect();
    zxcvbn::zxcvbn(&judged, &words).score() < Score::Three
}

/// Words that are common for this user.
fn own_words(email: &str) -> Vec<String> {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let address = nfc(email).to_lowercase();
    let (local, domain) = address.split_once('@').unwrap_or((&address, ""));
    let mut words = vec![
        address.clone(),
        local.to_owned(),
        domain.to_owned(),
        letters(local),
        letters(domain),
    ];
    words.extend(address.split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
    words.retain(|word| word.chars().count() >= 3);
    words
}

#[cfg(test)]
mod tests {
    use super::is_common;

    fn common(password: &str) -> bool {
        is_common(password, "ada.lovelace@analytical.example")
    }

    #[test]
    fn early_guesses_are_common() {
        let guesses = [
            "123456789012",
            "password1234",
            "PASSWORD2024!!",
            "P@ssw0rd1234",
            "p4$$w0rdp4$$w0rd",
            "qwertyuiop12",
            "qwertzuiop123",
            "1q2w3e4r5t6y",
            "1qaz2wsx3edc",
            "aaaaaaaaaaaa",
            "abcabcabcabc",
            "121212121212",
            "iloveyou1234",
            "letmeinletmein",
            "administrator",
            "Welcome12345",
            "Sunshine2023",
            "abcdefghijkl",
            "zyxwvutsrqpo",
            "football1999!",
            "proofsheet123",
            "photo photo photo",
            "000000000000",
            "motdepasse123",
            "пароль123456",
            "summer-summer-2026",
            "!!!!!!!!!!!!",
            "            ",
        ];
        for guess in guesses {
            assert!(common(guess), "{guess}");
        }
    }

    #[test]
    fn passwords_from_the_address_are_common() {
        for guess in [
            "ada.lovelace@analytical.example",
            "adalovelace1815",
            "AdaLovelace!!",
            "lovelace2024",
            "analytical.example",
        ] {
            assert!(common(guess), "{guess}");
        }
    }

    #[test]
    fn other_passwords_are_not_common() {
        let fine = [
            "correct horse battery staple",
            "plinth-otter-42",
            "x7Kq-9mTz-2vBw",
            "a long walk by the river",
            "tr0ub4dor&3-paperclip",
            "monkey typewriter hamlet",
            "длинная фраза о море",
            "我喜歡在清晨拍攝湖邊的霧氣",
            "🦊🌊🏔️ twelve foxes",
            "🦊🌊🏔️🌲🌙⭐️🔥🍀🎈🎨🧭🪁",
        ];
        for password in fine {
            assert!(!common(password), "{password}");
        }
    }
}
