//! `./dev bundle`: the app and the playground, as the files that the router serves.
//!
//! The steps: compile to WebAssembly, split off the parts that are loaded on demand, generate the glue with
//! wasm-bindgen (a library, like the splitter, so that Cargo.lock pins both), shrink with wasm-opt and esbuild, name
//! each file by its content hash, and precompress all files.

mod stamp;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use wasm_bindgen_cli_support::Bindgen;
use xtask::workspace::{app_bundle, development_bundle, playground_bundle, root, target_dir};

use xtask::tools::{cargo, command, npm_tool, output, run, say};

use stamp::{Stamp, content_hash};

/// Files that compress well. Pictures and fonts are compressed already.
const COMPRESSIBLE: [&str; 8] = ["css", "html", "js", "json", "svg", "txt", "wasm", "webmanifest"];

/// WebAssembly features that rustc uses and that every browser we support has had for years.
const WASM_FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// In the development bundle: the hash of its inputs.
const VERSION: &str = "bundle-version.txt";

/// In the development bundle: reloads the page when the bundle changes.
const RELOAD: &str = "
let version;
setInterval(async () => {
  const answer = await fetch('/bundle-version.txt', { cache: 'no-store' }).catch(() => undefined);
  // The router restarts too when the bundle changes.
  if (!answer?.ok) return;
  const now = await answer.text();
  version ??= now;
  if (now !== version) location.reload();
}, 500);
";

/// The script that loads the parts. esbuild bundles it with wasm-bindgen's script.
const LOADER: &str = "./parts.js";

/// Bundles the app and the playground, as `up` does. Unchanged parts are not bundled again.
#[derive(Debug, Parser)]
#[command(name = "./dev bundle", bin_name = "./dev bundle", max_term_width = 100)]
struct Arguments {
    /// Bundle quickly and without optimising size, into a separate folder. Pages reload automatically when the bundle
    /// changes. `./dev watch` serves it.
    #[arg(long)]
    development: bool,
}

/// How the app is built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Optimised for size.
    Release,
    /// Fast to build, with automatic reload.
    Development,
}

impl Mode {
    /// The profile in Cargo.toml.
    fn profile(self) -> &'static str {
        match self {
            Self::Release => "wasm",
            Self::Development => "wasm-development",
        }
    }

    fn folder(self) -> PathBuf {
        match self {
            Self::Release => app_bundle(),
            Self::Development => development_bundle(),
        }
    }
}

fn main() -> ExitCode {
    let mode = if Arguments::parse().development {
        Mode::Development
    } else {
        Mode::Release
    };
    xtask::exit_code(bundle_app(mode).and_then(|()| bundle_playground()))
}

fn bundle_app(mode: Mode) -> Result<()> {
    say("compiling the app");
    let mut build = cargo(&[
        "build",
        "-p",
        "frontend",
        "--target",
        "wasm32-unknown-unknown",
        "--profile",
        mode.profile(),
    ]);
    run("compiling the app", &mut build)?;
    let wasm = target_dir()
        .join("wasm32-unknown-unknown")
        .join(mode.profile())
        .join("frontend.wasm");

    let frontend = root().join("frontend");
    let stamp = Stamp::new(
        &mode.folder(),
        &[
            wasm.clone(),
            frontend.join("index.html"),
            frontend.join("entry.js"),
            frontend.join("theme.js"),
            frontend.join("src"),
            frontend.join("style"),
            frontend.join("static"),
            root().join("xtask/package-lock.json"),
            root().join("xtask/bundle/src"),
        ],
    )?;
    if stamp.is_current() && mode.folder().join("index.html").exists() {
        return Ok(());
    }

    say("bundling the app");
    let work = tempfile::Builder::new()
        .prefix("bundle-")
        .tempdir_in(target_dir())?;
    let new = work.path().join("app");
    let assets = new.join("assets");
    fs::create_dir_all(&assets)?;

    let glue = work.path().join("glue");
    let parts = split_wasm(&wasm, &glue)?;
    Bindgen::new()
        .input_path(glue.join("main.wasm"))
        .web(true)?
        .typescript(false)
        .keep_lld_exports(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .out_name("app")
        .generate(&glue)
        .context("wasm-bindgen failed")?;

    let wasm_url = store(
        &assets,
        "app",
        "wasm",
        &wasm_bytes(mode, &glue.join("app_bg.wasm"))?,
    )?;
    name_parts(mode, &parts, &glue, &assets)?;
    let script_url = store(
        &assets,
        "app",
        "js",
        &bundle_script(mode, &frontend, &glue, &wasm_url)?,
    )?;
    let theme_url = store(&assets, "theme", "js", &bundle_theme(&frontend)?)?;
    let style_url = store(&assets, "app", "css", &bundle_style(&frontend)?)?;

    copy_folder(&frontend.join("static"), &new)?;
    let page = fs::read_to_string(frontend.join("index.html"))
        .context("could not read frontend/index.html")?
        .replace("%APP_JS%", &script_url)
        .replace("%APP_THEME%", &theme_url)
        .replace("%APP_CSS%", &style_url);
    fs::write(new.join("index.html"), page)?;

    if mode == Mode::Development {
        fs::write(new.join(VERSION), &stamp.digest)?;
        replace_folder(&new, &mode.folder())?;
        return stamp.set();
    }
    compress_folder(&new)?;
    replace_folder(&new, &mode.folder())?;
    stamp.set()?;
    report(&mode.folder().join("assets"))
}

/// Splits the app at its split points, and returns the files of the parts. The rest is `main.wasm`.
fn split_wasm(wasm: &Path, glue: &Path) -> Result<Vec<PathBuf>> {
    let input = fs::read(wasm).with_context(|| format!("could not read {}", wasm.display()))?;
    let main = glue.join("main.wasm");
    let mut options = wasm_split_cli_support::Options::new(&input);
    options.output_dir = glue;
    options.main_out_path = &main;
    options.link_name = LOADER;
    options.main_module = "./app.js";
    let split = wasm_split_cli_support::transform(options)
        .map_err(|error| anyhow!("could not split {}: {error:#}", wasm.display()))?;
    Ok(split.split_modules)
}

/// Shrinks the parts, and updates their names in the loader.
fn name_parts(mode: Mode, parts: &[PathBuf], glue: &Path, assets: &Path) -> Result<()> {
    let loader = glue.join(LOADER);
    let mut script = fs::read_to_string(&loader).context("could not read the loader of the parts")?;
    for part in parts {
        let name = part
            .file_name()
            .and_then(|name| name.to_str())
            .context("a part has a plain name")?;
        let url = store(assets, "part", "wasm", &wasm_bytes(mode, part)?)?;
        script = script.replace(&format!("\"./{name}\""), &format!("{url:?}"));
    }
    Ok(fs::write(&loader, script)?)
}

fn wasm_bytes(mode: Mode, wasm: &Path) -> Result<Vec<u8>> {
    match mode {
        Mode::Release => shrink_wasm(wasm),
        Mode::Development => fs::read(wasm).with_context(|| format!("could not read {}", wasm.display())),
    }
}

fn shrink_wasm(wasm: &Path) -> Result<Vec<u8>> {
    let shrunk = wasm.with_extension("shrunk.wasm");
    let mut wasm_opt = npm_tool("wasm-opt")?;
    wasm_opt
        .arg("-Oz")
        .args(WASM_FEATURES)
        .arg("--strip-debug")
        .arg("--strip-producers")
        .arg(wasm)
        .arg("-o")
        .arg(&shrunk);
    run("wasm-opt", &mut wasm_opt)?;
    Ok(fs::read(shrunk)?)
}

/// The entry module and wasm-bindgen's glue, as one file. The content security policy allows no inline script.
fn bundle_script(mode: Mode, frontend: &Path, glue: &Path, wasm_url: &str) -> Result<Vec<u8>> {
    let entry = fs::read_to_string(frontend.join("entry.js")).context("could not read frontend/entry.js")?;
    let file = glue.join("entry.js");
    let mut entry = entry.replace("%APP_WASM%", wasm_url);
    if mode == Mode::Development {
        entry.push_str(RELOAD);
    }
    fs::write(&file, entry)?;
    let mut esbuild = npm_tool("esbuild")?;
    esbuild.arg(file).args([
        "--bundle",
        "--format=esm",
        "--minify",
        "--target=es2022",
        "--log-level=warning",
        // wasm-bindgen names the loader once for each part.
        "--log-override:duplicate-object-key=silent",
    ]);
    output("esbuild (script)", &mut esbuild)
}

/// A script that runs before the first paint.
fn bundle_theme(frontend: &Path) -> Result<Vec<u8>> {
    let mut esbuild = npm_tool("esbuild")?;
    esbuild
        .arg(frontend.join("theme.js"))
        .args(["--minify", "--target=es2022", "--log-level=warning"]);
    output("esbuild (theme)", &mut esbuild)
}

fn bundle_style(frontend: &Path) -> Result<Vec<u8>> {
    let mut esbuild = npm_tool("esbuild")?;
    esbuild
        .arg(frontend.join("style/app.css"))
        .args(["--bundle", "--minify", "--log-level=warning"]);
    output("esbuild (style)", &mut esbuild)
}

/// Writes a file under a name with its content hash, and returns its URL.
fn store(assets: &Path, stem: &str, extension: &str, bytes: &[u8]) -> Result<String> {
    let name = format!("{stem}-{}.{extension}", content_hash(bytes));
    fs::write(assets.join(&name), bytes)?;
    Ok(format!("/assets/{name}"))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(from).into_iter().filter_map(Result::ok) {
        let target = to.join(entry.path().strip_prefix(from)?);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Replaces a folder by a finished one.
fn replace_folder(new: &Path, place: &Path) -> Result<()> {
    if place.exists() {
        fs::remove_dir_all(place)?;
    }
    fs::rename(new, place).with_context(|| format!("could not put the bundle into {}", place.display()))
}

/// Writes `.br` and `.gz` files beside compressible files.
fn compress_folder(folder: &Path) -> Result<()> {
    let files: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .filter(|file| {
            file.extension()
                .and_then(|e| e.to_str())
                .is_some_and(|e| COMPRESSIBLE.contains(&e))
        })
        .collect();
    for file in files {
        let bytes = fs::read(&file)?;
        fs::write(beside(&file, "br"), brotli(&bytes)?)?;
        fs::write(beside(&file, "gz"), gzip(&bytes)?)?;
    }
    Ok(())
}

fn beside(file: &Path, extension: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut compressed = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut compressed, 64 * 1024, 11, 22);
    writer.write_all(bytes)?;
    writer.flush()?;
    drop(writer);
    Ok(compressed)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes)?;
    Ok(writer.finish()?)
}

/// Prints the transfer sizes.
fn report(assets: &Path) -> Result<()> {
    for extension in ["wasm", "js", "css"] {
        let suffix = format!(".{extension}.br");
        for entry in fs::read_dir(assets)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(&suffix) {
                say(&format!(
                    "  {extension}: {} KB over the wire",
                    entry.metadata()?.len().div_ceil(1024)
                ));
            }
        }
    }
    Ok(())
}

fn bundle_playground() -> Result<()> {
    let source = root().join("router/playground");
    if !source.join("package.json").exists() {
        bail!("router/playground/package.json is missing");
    }
    let modules = source.join("node_modules");
    let installed = Stamp::new(
        &target_dir().join("playground-packages"),
        &[source.join("package-lock.json")],
    )?;
    let built = Stamp::new(&target_dir().join("playground"), std::slice::from_ref(&source))?;
    if built.is_current() && playground_bundle().exists() {
        return Ok(());
    }
    if !installed.is_current() || !modules.exists() {
        say("installing the playground's packages");
        let mut install = command(
            "npm",
            &["ci", "--prefix", "router/playground", "--ignore-scripts"],
        );
        install.args(["--no-audit", "--no-fund", "--loglevel=error"]);
        run("npm ci in router/playground", &mut install)?;
        installed.set()?;
    }
    say("bundling the playground");
    let mut npm = command(
        "npm",
        &["run", "build", "--prefix", "router/playground", "--silent"],
    );
    run("npm run build in router/playground", &mut npm)?;
    built.set()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_files_can_be_decompressed() {
        use std::io::Read;
        let bytes = include_bytes!("main.rs").as_slice();
        let mut plain = Vec::new();
        brotli::Decompressor::new(brotli(bytes).unwrap().as_slice(), 4096)
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, bytes);
        plain.clear();
        flate2::read::GzDecoder::new(gzip(bytes).unwrap().as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, bytes);
    }
}
