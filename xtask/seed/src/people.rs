//! The users of a seeded site, and their comments.

pub(crate) struct Person {
    pub(crate) username: &'static str,
    pub(crate) display_name: &'static str,
    pub(crate) bio: &'static str,
}

impl Person {
    /// Returns an address that cannot receive mail.
    pub(crate) fn email(&self) -> String {
        format!("{}@seed.example", self.username)
    }
}

/// The password of all users of a seeded site.
pub(crate) const SEED_PASSWORD: &str = "frames on a light table";

pub(crate) const PEOPLE: [Person; 8] = [
    Person {
        username: "ines",
        display_name: "Inês Carvalho",
        bio: "Coast, fog, ferries. Mostly before breakfast.",
    },
    Person {
        username: "tomasz",
        display_name: "Tomasz Wilk",
        bio: "Mountains, on foot, with one lens.",
    },
    Person {
        username: "akari",
        display_name: "明里 Akari",
        bio: "Night buses and lit windows.",
    },
    Person {
        username: "noor",
        display_name: "نور Noor",
        bio: "Colour first, subject second.",
    },
    Person {
        username: "ruth",
        display_name: "Ruth Adeyemi",
        bio: "Still lifes from a small kitchen.",
    },
    Person {
        username: "henrik",
        display_name: "Henrik Aas",
        bio: "69° north. Waiting for clear skies.",
    },
    Person {
        username: "mila",
        display_name: "Mila",
        bio: "",
    },
    Person {
        username: "paul-g",
        display_name: "Paul Grünwald",
        bio: "I print everything. Ask me about paper.",
    },
];

pub(crate) const REMARKS: [&str; 16] = [
    "The light in this one! How long did you wait for it?",
    "I would hang this on my wall.",
    "Cropped a touch tighter on the left it would be perfect, but I keep coming back to it.",
    "This is the frame I would circle on the sheet.",
    "Which lens? The falloff in the corners is lovely.",
    "It looks cold and I want to be there.",
    "The colours remind me of old slide film 🎞️",
    "Simple, and nothing is missing.",
    "I walked past this place for years and never saw it like that.",
    "Not my favourite of yours; the upper third feels empty to me.",
    "Wunderbar, wie ruhig das ist.",
    "The second look is better than the first. That is rare.",
    "Printed on matte paper this would sing.",
    "How did you keep the highlights?",
    "جميل جدا",
    "More of this series, please.",
];

pub(crate) const REPLIES: [&str; 8] = [
    "Thank you! About two hours, and cold fingers.",
    "Same here, honestly.",
    "Good eye. I tried that crop and lost the balance.",
    "A plain 35 mm, wide open.",
    "Seconded.",
    "There are more coming this week.",
    "Exposed for the sky and lifted the rest a little.",
    "That made my day.",
];
