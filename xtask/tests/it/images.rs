//! Properties of every image, checked by reading the Dockerfiles.

use std::collections::BTreeSet;
use std::fs;

use harness::workspace::root;

fn text(file: &str) -> String {
    fs::read_to_string(root().join("compose").join(file)).unwrap()
}

/// The Dockerfiles of the final images, by name. `build` and `packed` only provide programs.
fn dockerfiles() -> Vec<(String, Vec<String>)> {
    let mut found: Vec<_> = fs::read_dir(root().join("compose"))
        .unwrap()
        .filter_map(|entry| {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let name = file.strip_suffix(".Dockerfile")?;
            (!["build", "packed"].contains(&name)).then(|| (name.to_owned(), instructions(&text(&file))))
        })
        .collect();
    found.sort();
    assert!(found.len() >= 4, "{found:?}");
    found
}

/// One line for each instruction.
fn instructions(dockerfile: &str) -> Vec<String> {
    let whole: Vec<&str> = dockerfile.lines().filter(|line| !line.starts_with('#')).collect();
    whole
        .join("\n")
        .replace("\\\n", " ")
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect()
}

/// The instructions of the final stage.
fn final_stage(instructions: &[String]) -> &[String] {
    let is_first = |line: &&String| line.starts_with("FROM ${BASE}") || *line == "FROM scratch";
    let at = instructions.iter().rposition(|line| is_first(&line)).unwrap();
    &instructions[at..]
}

#[test]
fn images_run_unprivileged_with_a_health_check() {
    for (name, dockerfile) in dockerfiles() {
        let last = final_stage(&dockerfile);
        let one = |start: &str| {
            let mut found = last.iter().filter(|line| line.starts_with(start));
            let first = found.next().unwrap_or_else(|| panic!("{name} has no {start}"));
            assert!(found.next().is_none(), "{name} has more than one {start}");
            first.as_str()
        };
        assert_eq!(one("USER "), "USER 65532:65532", "{name}");
        assert_eq!(one("ENTRYPOINT "), "ENTRYPOINT [\"/service\"]", "{name}");
        let healthcheck = one("HEALTHCHECK ");
        assert!(
            healthcheck.ends_with("CMD [\"/service\", \"healthcheck\"]"),
            "{name}: {healthcheck}"
        );
        // Neither the entry point nor the health check needs a shell.
        assert!(
            !last.iter().any(|line| line.starts_with("RUN ")),
            "the final stage of {name} has a RUN instruction"
        );
        assert!(
            !dockerfile.iter().any(|line| line.starts_with("ADD ")),
            "{name} uses ADD; use COPY instead"
        );
    }
}

#[test]
fn images_are_labelled() {
    for (name, dockerfile) in dockerfiles() {
        let labels: String = final_stage(&dockerfile)
            .iter()
            .filter(|line| line.starts_with("LABEL "))
            .cloned()
            .collect();
        for label in [
            "org.opencontainers.image.licenses=",
            "org.opencontainers.image.revision=\"${REVISION}\"",
            "org.opencontainers.image.title=",
            "org.proofsheet.sbom=\"/sbom.cdx.json",
        ] {
            assert!(labels.contains(label), "{name} has no {label}");
        }
    }
}

/// Base images can be replaced by those of a mirror or of `compose/base`.
#[test]
fn base_images_are_build_arguments() {
    let mut all = dockerfiles();
    all.push(("build".to_owned(), instructions(&text("build.Dockerfile"))));
    for (name, dockerfile) in all {
        let mut known = BTreeSet::from(["scratch".to_owned()]);
        for line in &dockerfile {
            if let Some(argument) = line.strip_prefix("ARG ") {
                let argument = argument.split('=').next().unwrap_or(argument);
                known.insert(format!("${{{argument}}}"));
            }
            if let Some(from) = line.strip_prefix("FROM ") {
                let mut words = from.split(' ');
                let image = words.next().unwrap_or(from);
                assert!(known.contains(image), "{name} has the fixed base image {image}");
                known.extend(words.nth(1).map(str::to_owned));
            }
        }
    }
}

/// `compose/images build`, `compose/images pack` and `docker buildx bake` build the same images.
#[test]
fn all_build_commands_make_the_same_images() {
    let (dockerfile, images, bake) = (text("build.Dockerfile"), text("images"), text("docker-bake.hcl"));
    let list = |text: &str, start: &str, end: char| -> BTreeSet<String> {
        let list = text.split_once(start).unwrap().1.split(end).next().unwrap();
        list.split_whitespace().map(str::to_owned).collect()
    };
    for text in [&dockerfile, &images] {
        assert!(text.contains("subgraphs/contracts/services.txt"));
    }
    for (name, _) in dockerfiles() {
        let file = format!("{name}.Dockerfile");
        assert!(images.contains(&file), "compose/images does not build {name}");
        assert!(
            name == "services" || bake.contains(&format!("\"{name}\"")),
            "docker-bake.hcl does not build {name}"
        );
    }
    let compiled = list(&dockerfile, "printf '%s\\n' ", '>');
    let packed = list(&images, "for program in \"${services[@]}\"", ';');
    assert_eq!(compiled, packed);
    let services = compiled.iter().map(String::as_str).chain(["${SERVICE}"]);
    for program in services {
        let is_packed = dockerfiles().iter().any(|(_, dockerfile)| {
            dockerfile
                .iter()
                .any(|line| line.contains(&format!("/out/{program} ")))
        });
        assert!(is_packed, "{program} is in no image");
    }
}
