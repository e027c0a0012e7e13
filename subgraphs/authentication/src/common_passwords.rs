//! The passwords that are guessed first.
//!
//! Not a copy of a leaked list, but a small grammar written by hand: the words, names and keyboard walks that such lists
//! consist of, in any case, with the usual look-alikes (`p@ssw0rd`), repeated, strung together, or with a year or a few
//! characters added. A password is common when that describes nearly all of it, or when it is built from the person's own
//! e-mail address. It refuses what a guesser tries in the first thousands; it does not measure strength.

use std::collections::HashSet;

use chassis::text::nfc;

/// The largest cost of a common password: each word, walk, run or group of four digits costs one, however long, and so
/// does each character that nothing explains. A repetition costs nothing.
const CHEAP: usize = 3;

/// Words of at least four letters, in lower case, look-alikes undone.
const WORDS: &str = "
    aaron abcd abigail access account admin administrator agent alexander alexandra alexis amanda amber america anderson
    andrea andrew angel angela angels animal anna anthony apple april arsenal ashley asdf asshole august austin autumn
    azerty babe baby babygirl bailey banana barcelona baseball basketball batman beautiful beer benjamin biteme blink
    blonde blue boomer booger boss boston brandon brandy bubbles buddy bulldog butter butterfly camaro camera carlos
    carolina casper changeme charles charlie cheese chelsea chester chicago chicken chocolate chris christian christina
    claudia coffee computer connect cookie cool cooper corvette cowboy cowboys crystal daniel danielle database david
    death december default demo dennis diablo diamond dolphin donald dragon dreams eagle eagles edward einstein elephant
    elizabeth eminem emily enter epic family fashion father february ferrari fire firefly fish flower flowers fluffy
    football forever freedom friday friend friends fuck fucker fuckyou gabriel galaxy games gandalf garfield george
    giants ginger golden golf google gordon green guest guitar hammer hannah happy hardcore harley harry heaven hello
    helpme hockey hollywood home horses house hunter iceman iloveyou internet ironman isabella jackson jaguar james
    january jasmine jasper jennifer jeremy jessica jesus johnny johnson jonathan jordan joseph joshua july june junior
    justin karate katie kevin killer king kitty knight ladybug lakers lauren legend letmein lincoln liverpool login
    london looking love lovely lover loveme lovers lucky machine maggie magic manager manchester march maria marina
    marine marlboro martin master matrix matthew maverick maxwell melissa mercedes merlin metallica michael michelle
    mickey midnight miller minecraft mine mobile monday money monica monkey monster morgan mother mountain mustang
    mypassword naruto nascar natalie nathan newyork nicholas nicole nintendo nothing november october oliver orange
    packers panther panthers paradise paris parker pass passport passwd password passwort patrick peaches peanut pepper
    phoenix photo photos picture pictures player please pokemon police porsche power prince princess private proofsheet
    purple pussy qazwsx queen qwer qwert qwertz rabbit rachel rainbow ranger rangers raiders rebecca redsox richard
    robert rocket rosebud runner russia samantha samsung sandra saturday scooter scorpion secret secure security
    september server service sexy shadow shannon silver simple single skippy slayer smokey snoopy soccer sophie
    spider spiderman spring starwars steelers stella steven strong student success summer sunday sunshine superman
    supreme surfer swordfish system taylor teacher temp tennis teresa test tester testing thomas thunder thursday
    tiger tigger titanic trinity trouble truelove trustno tuesday turtle united user valentina vampire victor victoria
    viking vincent warrior wednesday welcome whatever white william willow wilson windows winner winter wizard wolf
    wonder yamaha yankees yellow zxcvbn
    amore azertyuiop bonjour chouchou contraseña doudou ficken geheim hallo hasło heslo hejsan hola jetaime kennwort
    loulou marseille motdepasse parola passwort salasana senha schatz soleil tequiero wachtwoord
    пароль привет любовь йцукен
";

/// Rows of keyboards, the alphabet and the digits: a walk follows one of them, either way.
const ROWS: [&str; 13] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "йцукенгшщзхъфывапролджэячсмитьбю",
];

/// Whether `password` is one that an attacker would guess early for the address `email`.
pub(crate) fn is_common(password: &str, email: &str) -> bool {
    // Case, spaces and punctuation are what people add to make a rule happy.
    let raw: Vec<char> = password
        .chars()
        .flat_map(char::to_lowercase)
        .filter(|c| c.is_alphanumeric() || "@$!".contains(*c) || !(c.is_ascii() || c.is_whitespace()))
        .collect();
    let unit = smallest_period(&raw);
    let words = own_words(email);
    cost(unit, &words) <= CHEAP
}

/// The shortest piece whose repetition gives the whole.
fn smallest_period(text: &[char]) -> &[char] {
    (1..=text.len() / 2)
        .find(|&length| text.iter().zip(&text[length..]).all(|(a, b)| a == b))
        .map_or(text, |length| &text[..length])
}

/// Words that are common for this one person.
fn own_words(email: &str) -> Vec<Vec<char>> {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<Vec<_>>();
    let address = nfc(email).to_lowercase();
    let (local, domain) = address.split_once('@').unwrap_or((&address, ""));
    let mut words = vec![letters(&address), letters(local), letters(domain)];
    words.extend(address.split(|c: char| !c.is_alphanumeric()).map(letters));
    words.retain(|word| word.len() >= 3);
    words
}

/// Pieces that a guesser would need, from left to right, the longest first.
fn cost(text: &[char], own: &[Vec<char>]) -> usize {
    let plain: Vec<char> = text.iter().copied().map(undo_look_alike).collect();
    let mut seen: HashSet<&[char]> = HashSet::new();
    let mut cost = 0;
    let mut at = 0;
    while at < text.len() {
        let length = [
            word(&plain[at..], own),
            word(&text[at..], own),
            walk(&text[at..]),
            run(&text[at..]),
            four_digits(&text[at..]),
        ]
        .into_iter()
        .max()
        .filter(|&length| length > 0);
        let piece = &text[at..at + length.unwrap_or(1)];
        // Punctuation that is no look-alike costs nothing: `!` at an end is the first thing that is tried.
        let free = length.is_none() && piece[0].is_ascii_punctuation();
        if !free && (seen.insert(piece) || length.is_none()) {
            cost += 1;
        }
        at += piece.len();
    }
    cost
}

fn undo_look_alike(c: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' | '€' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        '8' => 'b',
        other => other,
    }
}

/// The length of the longest word at the start.
fn word(text: &[char], own: &[Vec<char>]) -> usize {
    let listed = WORDS
        .split_whitespace()
        .filter(|word| starts_with(text, word.chars()))
        .map(|word| word.chars().count());
    let of_person = own.iter().filter(|word| text.starts_with(word)).map(Vec::len);
    listed.chain(of_person).max().unwrap_or(0)
}

fn starts_with(text: &[char], word: impl Iterator<Item = char>) -> bool {
    let mut letters = text.iter();
    word.into_iter().all(|c| letters.next() == Some(&c))
}

/// The length of the longest walk along a row at the start, of three characters or more.
fn walk(text: &[char]) -> usize {
    let along = |row: Vec<char>| {
        row.iter()
            .enumerate()
            .filter(|(_, c)| Some(*c) == text.first())
            .map(|(start, _)| row[start..].iter().zip(text).take_while(|(a, b)| a == b).count())
            .max()
            .unwrap_or(0)
    };
    let longest = ROWS
        .iter()
        .flat_map(|row| [along(row.chars().collect()), along(row.chars().rev().collect())])
        .max()
        .unwrap_or(0);
    if longest >= 3 { longest } else { 0 }
}

/// The length of the run of one character at the start, of three or more.
fn run(text: &[char]) -> usize {
    let length = text.iter().take_while(|c| Some(*c) == text.first()).count();
    if length >= 3 { length } else { 0 }
}

/// Four digits: a year, a birthday, a PIN.
fn four_digits(text: &[char]) -> usize {
    if text.len() >= 4 && text[..4].iter().all(char::is_ascii_digit) {
        4
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::is_common;

    fn common(password: &str) -> bool {
        is_common(password, "ada.lovelace@analytical.example")
    }

    #[test]
    fn what_everybody_tries_first_is_common() {
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
    fn ones_own_address_is_common() {
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
    fn what_nobody_would_try_first_is_not() {
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
