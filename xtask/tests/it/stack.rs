//! Properties of the stack files, checked by reading them. `./dev stack-test` deploys them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use harness::workspace::root;
use serde_json::{Map, Value};

/// The only published service.
const PUBLISHED: &str = "router";

/// The secret that operators provide, because it cannot be generated.
const PROVIDED: &str = "certificate_key";

fn text(file: &str) -> String {
    fs::read_to_string(root().join("compose").join(file)).unwrap()
}

/// All stack files, by name.
fn files() -> BTreeMap<String, Value> {
    fs::read_dir(root().join("compose"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "yml"))
        .map(|name| {
            let value = read(&text(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, value)
        })
        .collect()
}

fn read(yaml: &str) -> Result<Value, config::ConfigError> {
    let source = config::File::from_str(yaml, config::FileFormat::Yaml);
    let read: Value = config::Config::builder()
        .add_source(source)
        .build()?
        .try_deserialize()?;
    Ok(expand_merge_keys(read))
}

/// Expands the merge keys `<<`, which the parser does not.
fn expand_merge_keys(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut own: Map<String, Value> = map
                .into_iter()
                .map(|(key, value)| (key, expand_merge_keys(value)))
                .collect();
            if let Some(Value::Object(base)) = own.remove("<<") {
                for (key, value) in base {
                    own.entry(key).or_insert(value);
                }
            }
            Value::Object(own)
        }
        Value::Array(list) => list.into_iter().map(expand_merge_keys).collect(),
        plain => plain,
    }
}

/// The services that a file defines; services without an image are changes to another file.
fn services(file: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let all = file["services"].as_object().expect("a stack file has services");
    all.iter().filter(|(_, service)| service["image"].is_string())
}

#[test]
fn every_service_has_limits_and_no_privileges() {
    for (file, stack) in files() {
        for (name, service) in services(&stack) {
            let limits = &service["deploy"]["resources"]["limits"];
            assert!(limits["memory"].is_string(), "{file}: {name} has no memory limit");
            assert!(limits["cpus"].is_string(), "{file}: {name} has no CPU limit");
            assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{file}: {name}");
            assert!(
                service["networks"].is_array(),
                "{file}: {name} would be in its own network"
            );
        }
    }
}

#[test]
fn root_file_systems_are_read_only() {
    for (file, stack) in files() {
        for (name, service) in services(&stack) {
            let image = service["image"].as_str().unwrap();
            let is_ours = image.starts_with("${REGISTRY:-proofsheet}/");
            assert!(
                !is_ours || service["read_only"] == true,
                "{file}: {name} has a writable root file system"
            );
            assert!(
                !is_ours || image.ends_with(":${TAG:-latest}"),
                "{file}: {name} has no tag that a deploy can choose"
            );
        }
    }
}

#[test]
fn only_the_router_is_published() {
    let files = files();
    for (name, service) in services(&files["stack.yml"]) {
        assert_eq!(service["ports"].is_array(), name == PUBLISHED, "{name}");
        let networks = service["networks"].as_array().unwrap();
        assert_eq!(
            networks.iter().any(|it| it == "edge"),
            name == PUBLISHED,
            "{name}"
        );
    }
    assert_eq!(files["stack.yml"]["networks"]["inside"]["internal"], true);
}

#[test]
fn updates_start_the_new_task_first() {
    let dockerfiles: String = ["services", "router", "database"]
        .iter()
        .map(|name| text(&format!("{name}.Dockerfile")))
        .collect();
    assert_eq!(dockerfiles.matches("HEALTHCHECK").count(), 3);
    let files = files();
    for (name, service) in services(&files["stack.yml"]) {
        let is_migration = service["command"] == serde_json::json!(["migrate"]);
        assert_eq!(service["healthcheck"]["disable"] == true, is_migration, "{name}");
        let update = &service["deploy"]["update_config"];
        if name == "db" || is_migration {
            assert_eq!(update["order"], "stop-first", "{name}");
        } else {
            assert_eq!(update["order"], "start-first", "{name}");
            assert_eq!(update["failure_action"], "rollback", "{name}");
        }
    }
}

/// Stacks with missing secrets cannot be deployed.
#[test]
fn every_secret_is_created_by_the_script() {
    let script = text("secrets");
    for (file, stack) in files() {
        let declared = stack["secrets"].as_object().cloned().unwrap_or_default();
        for name in declared.keys().filter(|name| *name != PROVIDED) {
            let of_a_service = [
                "password",
                "migrate_password",
                "database_url",
                "migrate_database_url",
            ]
            .iter()
            .any(|kind| {
                name.strip_suffix(&format!("_{kind}"))
                    .is_some_and(|service| harness::system::SERVICES.contains(&service))
            });
            assert!(
                of_a_service || script.contains(&format!("keep {name} ")),
                "{file}: compose/secrets does not create {name}"
            );
            assert_eq!(
                declared[name]["name"],
                format!("${{STACK:-demo}}_{name}"),
                "{file}: {name}"
            );
        }
    }
}

#[test]
fn every_placement_label_is_set_by_the_script() {
    let (secrets, swarm) = (text("secrets"), text("swarm"));
    let labels = secrets
        .lines()
        .find_map(|line| line.strip_prefix("for label in "));
    let labels: Vec<_> = labels.unwrap().trim_end_matches("; do").split(' ').collect();
    for (file, stack) in files() {
        for (name, service) in services(&stack) {
            let constraints = &service["deploy"]["placement"]["constraints"];
            for constraint in constraints.as_array().into_iter().flatten() {
                let label = constraint
                    .as_str()
                    .unwrap()
                    .strip_prefix("node.labels.proofsheet.");
                let Some(label) = label.and_then(|it| it.strip_suffix(" == true")) else {
                    continue;
                };
                assert!(
                    swarm.contains(&format!("label \"$first\" {label} ")) && labels.contains(&label),
                    "{file}: {name} waits for a node with the label {label}, which no script sets"
                );
            }
        }
    }
}
