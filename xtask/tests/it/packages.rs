//! Every program that code, scripts and tests start is in xtask/packages.txt, or part of every Debian.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use harness::workspace::root;

/// The programs of every Debian (required packages and apt), bash itself, and rustup, by package.
const PREINSTALLED: [(&str, &str); 21] = [
    (
        "bash",
        "bash builtin cd command compgen continue break declare echo eval exec exit export false hash kill local mapfile \
         printf pwd read return set shift source test trap true type ulimit umask unset wait . : [ [[ ! { } if then else elif \
         fi for while until do done case esac in function time",
    ),
    ("apt", "apt-cache apt-config apt-get"),
    (
        "coreutils",
        "base64 basename cat chgrp chmod chown chroot cp cut date df dirname du env head id install ln ls md5sum mkdir \
         mktemp mv nice nohup nproc od paste readlink realpath rm rmdir seq sha256sum sleep sort stat sync tail tee \
         timeout touch tr truncate uname uniq wc",
    ),
    ("ca-certificates", "update-ca-certificates"),
    ("dash", "sh"),
    ("diffutils", "cmp diff"),
    ("dpkg", "dpkg dpkg-deb dpkg-query"),
    ("findutils", "find xargs"),
    ("grep", "grep"),
    ("gzip", "gzip"),
    ("hostname", "hostname"),
    ("libc-bin", "getconf ldconfig"),
    ("login", "su"),
    ("mawk", "awk"),
    ("mount", "mount umount"),
    ("ncurses-bin", "tput"),
    ("rustup", "cargo clippy-driver rustc rustdoc rustfmt rustup"),
    ("sed", "sed"),
    ("sudo, where it is", "sudo"),
    ("tar", "tar"),
    ("util-linux", "findmnt flock nsenter pivot_root setsid unshare"),
];

struct Entry {
    program: String,
    packages: [String; 2],
    wanted_by: Vec<String>,
}

fn list() -> Vec<Entry> {
    fs::read_to_string(root().join("xtask/packages.txt"))
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<_> = line.split_whitespace().collect();
            let [program, bookworm, trixie, wanted_by] = columns[..] else {
                panic!("four columns are needed: {line}");
            };
            Entry {
                program: program.to_owned(),
                packages: [bookworm.to_owned(), trixie.to_owned()],
                wanted_by: wanted_by.split(',').map(str::to_owned).collect(),
            }
        })
        .collect()
}

#[test]
fn the_list_of_packages_is_well_formed() {
    // Commands have a help text; other words are steps.
    let mut known: BTreeSet<_> = ["all", "fresh", "pictures"].map(str::to_owned).into();
    known.extend(crate::help::commands());
    known.extend(crate::help::step_names());
    let mut seen = BTreeSet::new();
    for entry in list() {
        assert!(
            seen.insert(entry.program.clone()),
            "{} is listed twice",
            entry.program
        );
        for package in &entry.packages {
            let name = package
                .strip_prefix('[')
                .and_then(|it| it.strip_suffix(']'))
                .unwrap_or(package);
            assert!(
                is_name(name),
                "{}: {package} is not the name of a package",
                entry.program
            );
        }
        for word in &entry.wanted_by {
            assert!(
                known.contains(word),
                "{}: {word} is neither a command nor a step",
                entry.program
            );
        }
    }
}

#[test]
fn every_program_that_is_started_is_in_the_list_of_packages() {
    let listed: BTreeSet<_> = list().into_iter().map(|entry| entry.program).collect();
    let everywhere: BTreeSet<_> = PREINSTALLED
        .iter()
        .flat_map(|(_, programs)| programs.split(' '))
        .collect();
    let ours = our_programs();
    let missing: Vec<_> = started()
        .into_iter()
        .filter(|(program, _)| {
            !listed.contains(program) && !everywhere.contains(program.as_str()) && !ours.contains(program)
        })
        .map(|(program, file)| format!("{program} ({})", file.display()))
        .collect();
    assert!(
        missing.is_empty(),
        "not in xtask/packages.txt, which ./dev installs from: {}",
        missing.join(", ")
    );
}

#[test]
fn programs_are_found_in_code_and_in_scripts() {
    let code = r#"
        // Command::new("commented")
        Command::new("one").arg("x"); self.command(
            "two", &[]); mariadb::find("three", "package"); text.find("not-this"); Path::new("four");
        ["netns", "exec", &self.bridge, "five"]; ["--mount", "--", "six", "-c"]; let flags = ["seven", "-m"];
        Command::new(program("eight"));
    "#;
    let found: Vec<_> = in_code(code).into_iter().collect();
    assert_eq!(
        found,
        ["eight", "five", "four", "one", "seven", "six", "three", "two"]
    );

    let script = "
        name=$(one \"$(two 'not this' | three)\") # not this
        list=(not this)
        helper() { four && ! five; }
        if [[ $x == *not* && -n $x ]]; then exec six; fi
        case $x in
        not | this) seven ;;
        *) helper ;;
        esac
        eight -euc '
            nine \"$1\"
        ' - <<END
not this
END
        A=b ten >not <this \\
            not && for x in not this; do eleven; done
        ${x:-not} $((not + 1)) \"${x[@]}\" \"${x#\"${not}\"_}\"
    ";
    let found: BTreeSet<_> = in_script(script);
    let expected = [
        "eight", "eleven", "five", "four", "nine", "one", "seven", "six", "ten", "three", "two",
    ];
    let keywords = shell_builtins();
    let found: Vec<_> = found
        .iter()
        .filter(|word| !keywords.contains(word.as_str()))
        .collect();
    assert_eq!(found, expected);
}

fn shell_builtins() -> BTreeSet<&'static str> {
    PREINSTALLED[0].1.split(' ').collect()
}

/// The programs that the workspace builds.
fn our_programs() -> BTreeSet<String> {
    let packages = sources("toml");
    let named = packages.iter().flat_map(|(_, text)| {
        text.lines()
            .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
            .map(str::to_owned)
    });
    named.collect()
}

/// All programs that are started, and where.
fn started() -> BTreeMap<String, PathBuf> {
    let mut started = BTreeMap::new();
    for (file, text) in sources("rs") {
        if !file.ends_with("xtask/tests/it/packages.rs") {
            started.extend(in_code(&text).into_iter().map(|program| (program, file.clone())));
        }
    }
    for (file, text) in sources("") {
        if text.starts_with("#!") {
            started.extend(
                in_script(&text)
                    .into_iter()
                    .map(|program| (program, file.clone())),
            );
        }
    }
    assert!(started.contains_key("mariadb-binlog") && started.contains_key("dockerd"));
    started
}

/// The sources with this extension.
fn sources(extension: &str) -> Vec<(PathBuf, String)> {
    walkdir::WalkDir::new(root())
        .into_iter()
        .filter_entry(|entry| {
            !matches!(
                entry.file_name().to_str(),
                Some("node_modules" | "target" | "dist" | ".git" | ".proofsheet")
            )
        })
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.extension().and_then(|it| it.to_str()).unwrap_or_default() == extension)
        .filter_map(|path| {
            let text = fs::read_to_string(&path).ok()?;
            Some((path, text))
        })
        .collect()
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || "-_.+".contains(it))
}

/// Returns the programs that Rust code starts: by `Command`, by a helper for it, or as arguments of `ip netns
/// exec`, `--` and wrappers.
fn in_code(code: &str) -> BTreeSet<String> {
    let code: Vec<_> = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    for call in [
        "Command::new(",
        "command(",
        "find(",
        "Command::new(program(",
        "Path::new(",
    ] {
        for (at, _) in code.match_indices(call) {
            if call == "find(" && code[..at].ends_with(['.', '_']) {
                continue;
            }
            found.extend(literal(&code[at + call.len()..]));
        }
    }
    for (at, _) in code.match_indices("\"exec\", ") {
        found.extend(
            code[at + 8..]
                .split_once(", ")
                .and_then(|(_, rest)| literal(rest)),
        );
    }
    for (at, _) in code.match_indices("\"--\", ") {
        let program = literal(&code[at + 6..]);
        found.extend(program.filter(|program| code[at + 8 + program.len()..].starts_with(", ")));
    }
    for (at, _) in code.match_indices("= [\"") {
        let array = &code[at + 3..];
        let has_short_option = array
            .split_once(", \"-")
            .is_some_and(|(first, rest)| !first.contains(',') && !rest.starts_with('-'));
        found.extend(has_short_option.then(|| literal(array)).flatten());
    }
    found.retain(|program| is_name(program) && Path::new(program).extension().is_none());
    found
}

/// The string literal that code begins with.
fn literal(code: &str) -> Option<String> {
    let text = code.trim_start().strip_prefix('"')?;
    Some(text[..text.find('"')?].to_owned())
}

/// Returns the commands of a shell script, without its functions.
fn in_script(script: &str) -> BTreeSet<String> {
    let mut scan = Scan {
        text: script.chars().collect(),
        at: 0,
        commands: BTreeSet::new(),
        functions: BTreeSet::new(),
    };
    scan.commands(None);
    let Scan {
        mut commands,
        functions,
        ..
    } = scan;
    commands.retain(|word| {
        !functions.contains(word) && (is_name(word) || shell_builtins().contains(word.as_str()))
    });
    commands
}

struct Scan {
    text: Vec<char>,
    at: usize,
    commands: BTreeSet<String>,
    functions: BTreeSet<String>,
}

impl Scan {
    fn peek(&self, offset: usize) -> char {
        self.text.get(self.at + offset).copied().unwrap_or('\0')
    }

    fn skip_to(&mut self, end: &str) {
        let end: Vec<_> = end.chars().collect();
        while self.at < self.text.len() && !self.text[self.at..].starts_with(&end) {
            self.at += 1;
        }
        self.at += end.len();
    }

    /// Reads commands until `end`, or to the end.
    fn commands(&mut self, end: Option<char>) {
        let mut expected = true;
        // Between `in` or `;;` of a case and the bracket behind its pattern.
        let mut pattern = false;
        let mut cases = 0;
        let mut case_open = false;
        let mut previous = String::new();
        while self.at < self.text.len() {
            match self.peek(0) {
                found if end == Some(found) && !pattern => {
                    self.at += 1;
                    return;
                }
                ')' if pattern => (pattern, expected) = (false, true),
                ';' if self.peek(1) == ';' => {
                    self.at += 1;
                    pattern = cases > 0;
                }
                '\\' if self.peek(1) == '\n' => self.at += 1,
                '#' => {
                    self.skip_to("\n");
                    self.at -= 1;
                }
                '\n' | ';' | '|' | '&' => expected = true,
                '(' => {
                    self.at += 1;
                    self.commands(Some(')'));
                    continue;
                }
                '<' if self.peek(1) == '<' && self.peek(2) != '<' => {
                    self.at += 2;
                    let word = self.word().trim_matches(['\'', '"']).to_owned();
                    let line_end = (self.at..self.text.len()).find(|at| self.text[*at] == '\n');
                    // The rest of the line before the here-document belongs to the command.
                    let rest = line_end.unwrap_or(self.text.len());
                    let body: String = self.text[rest..].iter().collect();
                    let length = body.find(&format!("\n{word}\n")).unwrap_or(body.len());
                    let length = body[..length].chars().count() + word.len() + 1;
                    self.text.drain(rest..(rest + length).min(self.text.len()));
                    continue;
                }
                '<' | '>' => {
                    while "<>&".contains(self.peek(0)) && self.peek(0) != '\0' {
                        self.at += 1;
                    }
                    if self.peek(0) == '(' {
                        continue;
                    }
                    while self.peek(0) == ' ' {
                        self.at += 1;
                    }
                    self.word();
                    continue;
                }
                space if space.is_whitespace() => {}
                _ => {
                    let start = self.at;
                    let word = self.word();
                    if previous.starts_with('-') && previous.ends_with('c') && word.starts_with('\'') {
                        let inner: String = self.text[start + 1..self.at.saturating_sub(1)].iter().collect();
                        self.commands.extend(in_script(&inner));
                    }
                    if word == "in" && case_open {
                        (pattern, case_open) = (true, false);
                    } else if expected && !pattern {
                        expected = self.command(&word);
                        match word.as_str() {
                            "case" => (cases, case_open) = (cases + 1, true),
                            "esac" => cases -= 1,
                            _ => {}
                        }
                    } else if pattern && word == "esac" {
                        (pattern, cases) = (false, cases - 1);
                    }
                    previous = word;
                    continue;
                }
            }
            self.at += 1;
        }
    }

    /// Records the command at the start of a statement. Returns whether another command may follow.
    fn command(&mut self, word: &str) -> bool {
        if word == "[[" {
            self.skip_to("]]");
            return false;
        }
        let name = word.split_once('=').map(|(name, _)| name.trim_end_matches('+'));
        if name.is_some_and(|name| {
            name.chars()
                .all(|it| it.is_ascii_alphanumeric() || "_[]$@*".contains(it))
        }) {
            if self.peek(0) == '(' {
                self.skip_to(")");
            }
            return true;
        }
        if self.peek(0) == '(' {
            self.functions.insert(word.to_owned());
            self.at += 2;
            return true;
        }
        self.commands.insert(word.to_owned());
        matches!(
            word,
            "if" | "then" | "else" | "elif" | "while" | "until" | "do" | "!" | "{" | "}" | "exec" | "time"
        )
    }

    /// Reads a word and its command substitutions.
    fn word(&mut self) -> String {
        let start = self.at;
        let mut quoted = false;
        while self.at < self.text.len() {
            match self.peek(0) {
                '\\' => self.at += 1,
                '"' => quoted = !quoted,
                '\'' if !quoted => {
                    self.at += 1;
                    while self.at < self.text.len() && self.peek(0) != '\'' {
                        self.at += 1;
                    }
                }
                '$' if self.peek(1) == '(' && self.peek(2) == '(' => {
                    self.skip_to("))");
                    continue;
                }
                '$' if self.peek(1) == '(' => {
                    self.at += 2;
                    self.commands(Some(')'));
                    continue;
                }
                '$' if self.peek(1) == '{' => {
                    let mut depth = 0;
                    while self.at < self.text.len() {
                        match self.peek(0) {
                            '{' => depth += 1,
                            '}' => depth -= 1,
                            _ => {}
                        }
                        self.at += 1;
                        if depth == 0 && self.text[self.at - 1] == '}' {
                            break;
                        }
                    }
                    continue;
                }
                end if !quoted && (end.is_whitespace() || ";|&()<>".contains(end)) => break,
                _ => {}
            }
            self.at += 1;
        }
        self.text[start..self.at.min(self.text.len())].iter().collect()
    }
}
