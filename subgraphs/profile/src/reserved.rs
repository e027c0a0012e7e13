//! Usernames that cannot be claimed: paths and addresses of the site, and names that seem official.

/// Similar names (see [`looks_like`]) and all names with the prefix `guest-` are reserved too.
const RESERVED: &str = "
    about account accounts agb api app archive assets atom auth blog callback cdn channel comment comments contact
    contribute cookies dashboard datenschutz days
    developer developers docs download downloads email error errors everyone explore faq favicon feed feeds forum
    graphql guest health gdpr home hot images img impressum imprint index internal latest legal license licence goodbye login logout manifest me
    media metrics news notifications oauth page pages password people photo photos picture pictures playground privacy profile
    profiles public ranking readiness register report reports robots rss rules search session sessions settings share signin signout signup
    site sitemap sitemaps sso static stats status tag tags terms test token tokens tos trending upload uploads user username users version
    vote votes welcome well-known

    abuse autoconfig autodiscover broadcasthost donotreply ftp hostmaster info isatap localdomain mail mailer-daemon marketing noc noreply no-reply postmaster sales security smtp imap pop3
    spam ssladmin ssladministrator sslwebmaster support usenet uucp web webmail webmaster wpad www dns ns1 ns2 localhost
    example

    authentication backup chassis database federation gateway proofsheet router server service services subgraph system
    xtask cron daemon bin sbin nginx mariadb mysql

    admin admins administration administrator administrators billing bot ceo community copyright compliance cto
    customer-service dmca editor editors employee founder founders help helpcenter helpdesk host legal-team management manager mod
    moderation moderator moderators mods official operator operators owner owners payment payments president press root
    safety staff staff-team superuser sysadmin sysop team trust trust-and-safety verified verify

    all anon anonymous deleted deleted-user everybody false here nan nil nobody none null somebody true undefined unknown you
    yourself
";

/// Words that are reserved with [`AFFIXES`] as well: such names speak for the site.
const STAFF: &str = "
    abuse account admin administrator billing help helpdesk legal moderation moderator official press privacy safety
    security staff support trust
";
/// Before and after a word of [`STAFF`].
const AFFIXES: [(&str, &str); 6] = [
    ("the", ""),
    ("official", ""),
    ("site", ""),
    ("", "team"),
    ("", "account"),
    ("", "official"),
];

/// Reserved in any part of a name.
const SITE: &str = "proofsheet";

/// In shorter words i and l are distinguished, because of names like Ali and Lila.
const MIN_LONG_WORD_LENGTH: usize = 5;

/// Whether the name cannot be claimed. Names consist of a-z, 0-9, _ and -.
pub(crate) fn is_reserved(name: &str) -> bool {
    let name = skeleton(name);
    let speaks_for_the_site = name
        .as_bytes()
        .windows(SITE.len())
        .any(|part| looks_like(part, SITE.as_bytes()));
    let is_like = |word: &str| looks_like(name.as_bytes(), skeleton(word).as_bytes());
    speaks_for_the_site
        || RESERVED.split_whitespace().any(is_like)
        || STAFF.split_whitespace().any(|word| {
            AFFIXES
                .iter()
                .any(|(before, after)| is_like(&format!("{before}{word}{after}")))
        })
}

/// Whether two skeletons look alike: 1 matches i and l, and in long words i matches l.
fn looks_like(name: &[u8], word: &[u8]) -> bool {
    let is_stroke = |letter| matches!(letter, b'i' | b'l');
    let passes_for = |a, b| {
        a == b || (is_stroke(b) && (a == b'1' || (word.len() >= MIN_LONG_WORD_LENGTH && is_stroke(a))))
    };
    name.len() == word.len() && name.iter().zip(word).all(|(&a, &b)| passes_for(a, b))
}

/// Returns the name without separators, with digits and letter pairs replaced by the letter that they look like.
fn skeleton(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .map(|c| match c {
            '0' => 'o',
            '2' => 'z',
            '3' => 'e',
            '4' => 'a',
            '5' => 's',
            '7' => 't',
            '8' => 'b',
            '9' => 'g',
            other => other,
        })
        .collect::<String>()
        .replace("rn", "m")
        .replace("nn", "m")
        .replace("vv", "w")
        .replace("cl", "d")
}

#[cfg(test)]
mod tests {
    use super::is_reserved;

    #[test]
    fn names_of_the_site_and_their_look_alikes_are_reserved() {
        for name in [
            "feeds",
            "abuse",
            "webmaster",
            "www",
            "owner",
            "support",
            "security",
            "admin",
            "sitemap",
            "noc",
            "hostmaster",
            "authentication",
            "adm1n",
            "admin_",
            "a-d-m-i-n",
            "adrnin",
            "supp0rt",
            "sup_port",
            "vvww",
            "0wner",
            "rnoderator",
            "off1cia1",
            "admln",
            "aclmin",
            "adnnin",
            "8illing",
            "officiai",
            "proofsheet_support",
            "the-pr00fsheet-team",
            "rules",
            "atom",
            "tag",
            "channel",
            "report",
            "reports",
            "imprint",
            "impressum",
            "datenschutz",
            "agb",
            "tos",
            "gdpr",
            "cookies",
            "support-team",
            "security-team",
            "admin-team",
            "the-admin",
            "the_4dmin",
            "moderatorteam",
            "helpcenter",
            "official-account",
            "official_support",
            "donotreply",
            "deleted-user",
            "password",
            "token",
            "sso",
            "days",
        ] {
            assert!(is_reserved(name), "{name}");
        }
    }

    #[test]
    fn names_of_people_are_not_reserved() {
        for name in [
            "ada",
            "bert",
            "feeder",
            "abuser",
            "owen",
            "ada_admin",
            "hotel",
            "mona",
            "ali",
            "mall",
            "clara",
            "hanna",
            "dev",
            "photos_by_ada",
            "the_helper",
            "teamwork",
            "theo",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    /// The paths that the router, the feeds and the app use.
    #[test]
    fn every_path_of_the_site_is_reserved() {
        let paths = include_str!("../../../frontend/ui/src/route.rs")
            .lines()
            .filter_map(|line| {
                let (path, arm) = line.trim().strip_prefix("\"/")?.split_once('"')?;
                arm.trim_start().starts_with("=>").then_some(path)
            });
        let words: Vec<&str> = paths
            .flat_map(|path| path.split('/'))
            .filter(|word| !word.is_empty())
            .collect();
        assert!(words.contains(&"settings"), "the paths were not found: {words:?}");
        for word in words {
            assert!(is_reserved(word), "{word}");
        }
    }
}
