//! Pictures: the renditions of this site beside those of libvips, and of an older build where there is one.
//!
//! This site's are made by its imaging worker, in its sandbox. libvips makes the same files by the same steps: a master
//! of the largest size first, then each rendition from it, with its program for thumbnails. It is not told to convert
//! colours: that changes photographs that have no profile, and those of the default set have none.
//!
//! The quality (SSIMULACRA2) is that of a rendition beside the original in the same size.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use harness::workspace::{binaries, target_dir};
use image::imageops::FilterType;
use imaging::{FileName, Format, Ladder, Rendition, Size};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::quality::{read_avif, score};

/// This site, in the tables.
const SITE_NAME: &str = "Proofsheet";
/// Of Debian's package lomiri-wallpapers-16.04.
const PHOTOGRAPHS: [&str; 12] = [
    "Bridge_by_Sander_Klootwijk",
    "Dragonfly_by_Bolly",
    "Picture_0B_by_freespace",
    "Picture_1A_by_freespace",
    "aitzgorri_by_Aitzol_Berasategi",
    "analogpattern_by_Peter_Nerlich",
    "free_by_Peter_Nerlich",
    "greentock_by_Peter_Nerlich",
    "life_by_Aitzol_Berasategi",
    "picosdeeuropa_by_Aitzol_Berasategi",
    "seeding_by_Clements_Engelhardt",
    "sunset_by_Aitzol_Berasategi",
];
/// Megapixels of the pictures that processor time and memory are measured with.
const MEGAPIXELS: [f64; 2] = [12.0, 24.0];
/// The memory of all workers together, which one may have. In bytes.
const WORKER_MEMORY: u64 = 448 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Photographs, as JPEG in landscape format. By default twelve of Debian's lomiri-wallpapers-16.04.
    photographs: Vec<PathBuf>,
    /// The photo service's program in an older build, to compare with.
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// How often processor time is measured, which takes the median. 0 leaves it out.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ProcessArguments {
    program: PathBuf,
    picture: PathBuf,
    folder: PathBuf,
}

/// A program that makes renditions.
#[derive(Debug, Clone)]
enum Maker {
    /// A program of the photo service, with its name in the tables.
    Worker(&'static str, PathBuf),
    Libvips,
}

/// Of one picture.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    cpu_seconds: f64,
    memory_mib: f64,
}

/// One file.
#[derive(Debug, Clone)]
struct Row {
    rung: u16,
    format: Format,
    maker: &'static str,
    photograph: String,
    bytes: u64,
    score: f64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let photographs = if arguments.photographs.is_empty() {
        debian_photographs()
    } else {
        arguments.photographs.clone()
    };
    let mut makers = vec![Maker::Worker(SITE_NAME, binaries().join("photo")), Maker::Libvips];
    let before = arguments.before.iter().cloned();
    makers.extend(before.map(|program| Maker::Worker("before", program)));
    compare_quality(&makers, &photographs)?;
    if arguments.rounds > 0 {
        compare_costs(&makers, &photographs, arguments.rounds)?;
    }
    Ok(())
}

fn debian_photographs() -> Vec<PathBuf> {
    let folder = Path::new("usr/share/backgrounds");
    let folders = [
        target_dir().join("tools/debian").join(folder),
        Path::new("/").join(folder),
    ];
    let folder = folders
        .iter()
        .find(|folder| folder.is_dir())
        .unwrap_or(&folders[0]);
    PHOTOGRAPHS
        .map(|name| folder.join(name).with_extension("jpg"))
        .into()
}

impl Maker {
    const fn name(&self) -> &'static str {
        match self {
            Self::Worker(name, _) => name,
            Self::Libvips => "libvips",
        }
    }

    /// Writes the renditions of a picture into a folder.
    fn make(&self, picture: &Path, folder: &Path) -> Result<Cost> {
        match self {
            Self::Worker(_, program) => {
                let mut helper = Command::new(std::env::current_exe()?);
                measure(helper.arg("process-picture").args([program, picture, folder]))
            }
            Self::Libvips => make_with_libvips(picture, folder),
        }
    }
}

/// Runs a program under GNU time.
fn measure(command: &Command) -> Result<Cost> {
    let report = tempfile::NamedTempFile::new()?;
    let output = Command::new("/usr/bin/time")
        .args(["--format", "%U %S %M", "--output"])
        .arg(report.path())
        .arg(command.get_program())
        .args(command.get_args())
        .output()
        .context("GNU time is in Debian's package time")?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        command.get_program().display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let report = fs::read_to_string(report.path())?;
    let figures: Vec<f64> = report
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [user, system, kibibytes] = figures[..] else {
        anyhow::bail!("GNU time wrote {report:?}");
    };
    Ok(Cost {
        cpu_seconds: user + system,
        memory_mib: kibibytes / 1024.0,
    })
}

/// Has a worker process a picture as the photo service does, and writes its renditions.
pub(crate) fn process(process: &ProcessArguments) -> Result<()> {
    let request = json!({
        "parent": std::process::id(),
        "memory": WORKER_MEMORY,
        "cpu_seconds": 600,
        "task": "process",
    });
    let output = Command::new(&process.program)
        .args(["imaging-worker", &request.to_string()])
        .env_clear()
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::from(File::open(&process.picture)?))
        .output()?;
    let response = output.stdout.split_at_checked(12).context("the worker failed")?;
    let length = u32::from_be_bytes(*response.0.last_chunk().context("the response has a length")?);
    let (header, mut rest) = response.1.split_at(usize::try_from(length)?);
    let header: Value = serde_json::from_slice(header)?;
    let files = header["files"].as_array().filter(|files| !files.is_empty());
    for file in files.with_context(|| format!("the picture was refused: {}", header["outcome"]))? {
        let name = file["name"]
            .as_str()
            .and_then(FileName::parse)
            .context("a file has a name")?;
        let length = usize::try_from(file["length"].as_u64().context("a file has a length")?)?;
        let (bytes, others) = rest.split_at(length);
        fs::write(process.folder.join(name.to_string()), bytes)?;
        rest = others;
    }
    Ok(())
}

fn make_with_libvips(picture: &Path, folder: &Path) -> Result<Cost> {
    let size = size_of(picture)?;
    let master = folder.join("master.jpg");
    let mut cost = thumbnail(
        picture,
        size.largest(Ladder::LongerSide),
        &master,
        "Q=95,subsample_mode=off,strip",
    )?;
    for rendition in size.renditions(Ladder::LongerSide) {
        let options = match rendition.format {
            Format::Jpeg => "Q=78,subsample_mode=off,optimize_coding,interlace,strip",
            Format::Avif => "Q=70,effort=2,subsample_mode=off,strip",
        };
        let file = path_of(folder, rendition);
        let next = thumbnail(&master, rendition.size, &file, options)?;
        cost.cpu_seconds += next.cpu_seconds;
        cost.memory_mib = cost.memory_mib.max(next.memory_mib);
    }
    Ok(cost)
}

fn thumbnail(from: &Path, Size { width, height }: Size, to: &Path, options: &str) -> Result<Cost> {
    let mut program = Command::new("vipsthumbnail");
    program
        .arg(from)
        .arg(format!("--size={width}x{height}!"))
        .arg(format!("--output={}[{options}]", to.display()));
    measure(&program)
}

fn size_of(picture: &Path) -> Result<Size> {
    let (width, height) =
        image::image_dimensions(picture).with_context(|| format!("{} cannot be read", picture.display()))?;
    ensure!(width >= height, "{} is no landscape format", picture.display());
    Size::within_limits(width, height).with_context(|| format!("{} is too large", picture.display()))
}

fn path_of(folder: &Path, rendition: Rendition) -> PathBuf {
    folder.join(FileName::from(rendition).to_string())
}

/// The size that a rendition stands for: the smallest of the four usual ones that holds it.
fn rung(size: Size) -> u16 {
    [320, 640, 1280]
        .into_iter()
        .find(|&rung| size.width <= rung)
        .unwrap_or(2048)
}

/// Prints bytes and quality in each size. Fails where an AVIF file of this site is larger or worse than its JPEG.
fn compare_quality(makers: &[Maker], photographs: &[PathBuf]) -> Result<()> {
    let mut rows = Vec::new();
    for photograph in photographs {
        eprintln!("bench: {}", photograph.display());
        rows.extend(assess(makers, photograph)?);
    }
    println!("| longer side | format | made by | files | KB | SSIMULACRA2, mean | lowest |");
    println!("|---|---|---|---|---|---|---|");
    for rung in [320, 640, 1280, 2048] {
        for format in Format::BEST_FIRST {
            for maker in makers.iter().map(Maker::name) {
                let group = rows
                    .iter()
                    .filter(|row| (row.rung, row.format, row.maker) == (rung, format, maker));
                print_group(&format!("| {rung} | {} | {maker}", format.media_type()), group);
            }
        }
    }
    require_good_avif(&rows)
}

/// Makes the renditions of a photograph, and compares each with the photograph in its size.
fn assess(makers: &[Maker], photograph: &Path) -> Result<Vec<Row>> {
    let folders = makers.iter().map(|maker| {
        let folder = tempdir()?;
        maker.make(photograph, folder.path())?;
        Ok(folder)
    });
    let folders = folders.collect::<Result<Vec<_>>>()?;
    let original = image::open(photograph)?;
    let mut rows = Vec::new();
    for size in size_of(photograph)?.stored(Ladder::LongerSide) {
        let (width, height) = (size.width.into(), size.height.into());
        let expected = original
            .resize_exact(width, height, FilterType::Lanczos3)
            .into_rgb8();
        for (maker, folder) in makers.iter().zip(&folders) {
            for format in Format::BEST_FIRST {
                let file = path_of(folder.path(), Rendition { size, format });
                let shown = match format {
                    Format::Jpeg => image::open(&file)?.into_rgb8(),
                    Format::Avif => read_avif(&file),
                };
                rows.push(Row {
                    rung: rung(size),
                    format,
                    maker: maker.name(),
                    photograph: format!("{} {}", photograph.display(), size.width),
                    bytes: fs::metadata(&file)?.len(),
                    score: score(&expected, &shown),
                });
            }
        }
    }
    Ok(rows)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn print_group<'r>(title: &str, rows: impl Iterator<Item = &'r Row>) {
    let rows: Vec<_> = rows.collect();
    let bytes: u64 = rows.iter().map(|row| row.bytes).sum();
    let mean = rows.iter().map(|row| row.score).sum::<f64>() / rows.len() as f64;
    let lowest = rows.iter().map(|row| row.score).fold(f64::INFINITY, f64::min);
    println!(
        "{title} | {} | {} | {mean:.1} | {lowest:.1} |",
        rows.len(),
        bytes / 1000
    );
}

fn require_good_avif(rows: &[Row]) -> Result<()> {
    let of_site = |format| {
        let rows = rows
            .iter()
            .filter(move |row| row.maker == SITE_NAME && row.format == format);
        rows.map(|row| (&row.photograph, row))
    };
    let jpegs: BTreeMap<_, _> = of_site(Format::Jpeg).collect();
    let mut faults = Vec::new();
    let mut closest = f64::INFINITY;
    for (name, avif) in of_site(Format::Avif) {
        let jpeg = jpegs[name];
        closest = closest.min(avif.score - jpeg.score);
        if avif.bytes > jpeg.bytes || avif.score < jpeg.score {
            faults.push(format!(
                "{name}: AVIF {} bytes, {:.2}; JPEG {} bytes, {:.2}",
                avif.bytes, avif.score, jpeg.bytes, jpeg.score
            ));
        }
    }
    println!("\nAVIF minus JPEG of {SITE_NAME}: SSIMULACRA2 {closest:+.2} at the least\n");
    ensure!(
        faults.is_empty(),
        "an AVIF file must be no larger than its JPEG, and no worse:\n{}",
        faults.join("\n")
    );
    Ok(())
}

/// Prints processor time and memory for large photographs, made from the largest of these by scaling.
fn compare_costs(makers: &[Maker], photographs: &[PathBuf], rounds: usize) -> Result<()> {
    let sizes = photographs
        .iter()
        .map(|photograph| Ok((size_of(photograph)?, photograph)));
    let mut sizes = sizes.collect::<Result<Vec<_>>>()?;
    sizes.sort_by_key(|(size, _)| u32::from(size.width) * u32::from(size.height));
    let (size, largest) = sizes.last().context("no photograph is given")?;
    println!("| megapixels | made by | processor time, s | from, to | memory, MiB |");
    println!("|---|---|---|---|---|");
    let folder = tempdir()?;
    for megapixels in MEGAPIXELS {
        let picture = folder.path().join("scaled.jpg");
        // Cameras halve the colour.
        thumbnail(
            largest,
            scaled(*size, megapixels),
            &picture,
            "Q=92,subsample_mode=on,strip",
        )?;
        let mut costs = vec![Vec::new(); makers.len()];
        for round in 1..=rounds {
            eprintln!("bench: {megapixels} megapixels, round {round}");
            for (maker, costs) in makers.iter().zip(&mut costs) {
                costs.push(maker.make(&picture, tempdir()?.path())?);
            }
        }
        for (maker, mut costs) in makers.iter().zip(costs) {
            costs.sort_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
            let [median, first, last] = [costs.len() / 2, 0, costs.len() - 1].map(|at| costs[at].cpu_seconds);
            let memory = costs.iter().map(|cost| cost.memory_mib).fold(0.0, f64::max);
            println!(
                "| {megapixels} | {} | {median:.2} | {first:.2}, {last:.2} | {memory:.0} |",
                maker.name()
            );
        }
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a side of a picture fits in 16 bits"
)]
fn scaled(Size { width, height }: Size, megapixels: f64) -> Size {
    let (width, height) = (f64::from(width), f64::from(height));
    let factor = (megapixels * 1e6 / (width * height)).sqrt();
    Size {
        width: (width * factor).round() as u16,
        height: (height * factor).round() as u16,
    }
}
