//! `loadgen fit`: a device file with constants fitted to measurements, and their errors beside them.

use crate::fidelity::errors::Errors;
use crate::fidelity::fit::{Measured, Step, predict};
use crate::fidelity::reference::{Known, Reference, read_csv};
use crate::fidelity::steps::{kernels, name};
use crate::fidelity::whole::Whole;
use crate::fidelity::write_whole;
use crate::files::{PendingFile, bad, bad_lines};
use crate::report::print;
use anyhow::Result;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use warmpath_core::engine::physics::{Constants, Device, Precision};
use warmpath_launch::profiles;

/// Below it stands what a fit wrote, and the next one writes anew.
const MARK: &str = "# ---- fitted below this line, by `loadgen fit` ----";

/// What is fitted, and to what.
#[derive(Debug)]
pub struct Params<'a> {
    /// Step times (CSV).
    pub steps: &'a Path,
    /// A device's name or file.
    pub device: &'a str,
    /// Times of single kernels (CSV) to start from.
    pub kernels: Option<&'a Path>,
    /// Where the device file is written.
    pub output: &'a Path,
}

pub fn run(asked: &Params<'_>) -> Result<()> {
    let here = Path::new("");
    let hardware = profiles::device(asked.device, here).map_err(bad_lines)?;
    let text = profiles::device_text(asked.device, here).map_err(bad_lines)?;
    let output = PendingFile::create(asked.output)?;
    let reference = Reference {
        steps: read_csv(asked.steps)?,
        kernels: asked.kernels.map(read_csv).transpose()?.unwrap_or_default(),
        ..Reference::default()
    };
    let mut known = Known::default();
    // Rows may call it by any of its names.
    for called in hardware.aliases.iter().chain([&hardware.name]) {
        known.devices.insert(called.clone(), hardware.clone());
    }
    let is_it = |gpu: &str| {
        let names = hardware.aliases.iter().chain([&hardware.name]);
        names.into_iter().any(|name| name.eq_ignore_ascii_case(gpu))
    };
    let rows = reference.steps.iter().filter(|row| is_it(&row.gpu) && row.is_of_this_engine());
    // Whole steps, with host and launching, say what an engine makes of the kernels.
    let whole = rows.clone().filter(|row| row.is_whole());
    let whole: Vec<Whole> = whole.filter_map(|row| Whole::understand(row, &mut known)).collect();
    if !whole.is_empty() {
        let (text, said) = write_whole::fitted(&text, MARK, &hardware, &whole, &known);
        print(&said)?;
        return finish(output, &text);
    }
    let steps: Vec<Step> = rows.filter_map(|row| Step::understand(row, &mut known)).collect();
    let steps: Vec<&Step> = steps.iter().filter(|step| step.is_to_be_fitted()).collect();
    if steps.is_empty() {
        let (path, device) = (asked.steps.display(), &hardware.name);
        return Err(bad(format!("{path}: no usable step, expected steps of device {device}")));
    }
    let timed = kernels(&reference, &mut known);
    let timed: Vec<_> =
        timed.into_iter().filter(|(gpu, _)| is_it(gpu)).flat_map(|(_, all)| all).collect();
    let measured = Measured { hardware: &hardware, models: &known.models, kernels: &timed };
    let mut fitted = measured.fit(&steps);
    let mut notes = format!("# {} steps, {} kernels.\n", steps.len(), timed.len());
    describe(&mut fitted, &known, &steps, &mut notes);
    for (what, rows) in &known.unknown {
        writeln!(notes, "# Left out: {rows} rows of {what}.")?;
    }
    print(&notes.replace("# ", ""))?;
    finish(output, &render(&text, &notes, &fitted))
}

fn finish(output: PendingFile, text: &str) -> Result<()> {
    // What was written can be read.
    let again: Device = toml::from_str(text)?;
    again.check().map_err(|error| bad(format!("the fit gave {error}")))?;
    output.finish(text.as_bytes())
}

/// Notes for each precision what it was fitted to, and how well.
fn describe(device: &mut Device, known: &Known, steps: &[&Step], notes: &mut String) {
    let predicted = predict(device, &known.models, steps);
    for (&precision, constants) in &mut device.precision {
        let of_it = || {
            steps
                .iter()
                .zip(&predicted)
                .filter(move |(step, _)| step.placement.precision == precision)
        };
        let errors = |phase: Option<&str>| {
            let wanted = of_it().filter(|(step, _)| phase.is_none_or(|one| step.row.phase == one));
            Errors::of(
                &wanted.map(|(step, ms)| (name(step), ms / step.row.ms - 1.0)).collect::<Vec<_>>(),
            )
        };
        let models: BTreeSet<&str> =
            of_it().map(|(step, _)| known.models[&step.model].name.as_str()).collect();
        let families: BTreeSet<_> =
            of_it().map(|(step, _)| known.models[&step.model].family).collect();
        let Some(all) = errors(None) else { continue };
        for phase in ["prefill", "decode", "mixed"] {
            let Some(Errors { rows, median_percent, p95_percent, worst, worst_percent, .. }) =
                errors(Some(phase))
            else {
                continue;
            };
            let _ = writeln!(
                notes,
                "# {precision} {phase}: {rows} steps, median error {median_percent:.1} %, p95 \
                 {p95_percent:.1} %; worst {worst_percent:+.0} %, {worst}."
            );
        }
        constants.fitted = Some(warmpath_core::engine::physics::Fitted {
            models: models.into_iter().map(str::to_owned).collect(),
            families: families.into_iter().collect(),
            rows: all.rows as u32,
            median_percent: tidy(all.median_percent),
            p95_percent: tidy(all.p95_percent),
        });
    }
}

/// The file's own text up to the mark, then what was fitted.
fn render(text: &str, notes: &str, device: &Device) -> String {
    let head = text.split(MARK).next().unwrap_or(text).trim_end();
    // Sections that the fit writes must not stand in the head too.
    let cut = ["[attention", "[all_reduce", "[precision"];
    let keep = head.lines().position(|line| cut.iter().any(|section| line.starts_with(section)));
    let head = match keep {
        Some(line) => head.lines().take(line).collect::<Vec<_>>().join("\n"),
        None => head.to_owned(),
    };
    let mut out = format!("{}\n\n{MARK}\n{notes}", head.trim_end());
    let attention = &device.attention;
    section(
        &mut out,
        "attention",
        &[
            ("prefill_launch_us", attention.prefill_launch_us),
            ("decode_launch_us", attention.decode_launch_us),
            ("extra_keys", attention.extra_keys),
            ("narrow_heads", attention.narrow_heads),
            ("latent_compute", attention.latent_compute),
        ],
    );
    for (name, per_kv) in [("bf16", attention.bf16), ("fp8", attention.fp8)] {
        section(
            &mut out,
            &format!("attention.{name}"),
            &[("compute", per_kv.compute), ("bandwidth", per_kv.bandwidth)],
        );
    }
    section(
        &mut out,
        "all_reduce",
        &[("launch_us", device.all_reduce.launch_us), ("efficiency", device.all_reduce.efficiency)],
    );
    for (&precision, constants) in &device.precision {
        write_constants(&mut out, precision, constants);
    }
    out
}

fn write_constants(out: &mut String, precision: Precision, constants: &Constants) {
    let Constants { gemm, elementwise, moe, fitted } = constants;
    let named = |part: &str| format!("precision.{precision}.{part}");
    section(
        out,
        &named("gemm"),
        &[
            ("compute", gemm.compute),
            ("bandwidth", gemm.bandwidth),
            ("launch_us", gemm.launch_us),
            ("sharpness", gemm.sharpness),
            ("single_token_us", gemm.single_token_us),
            ("conversion", gemm.conversion),
        ],
    );
    section(
        out,
        &named("elementwise"),
        &[("launch_us", elementwise.launch_us), ("traffic", elementwise.traffic)],
    );
    section(
        out,
        &named("moe"),
        &[
            ("compute", moe.compute),
            ("bandwidth", moe.bandwidth),
            ("launch_us", moe.launch_us),
            ("sharpness", moe.sharpness),
            ("traffic", moe.traffic),
        ],
    );
    let Some(fitted) = fitted else { return };
    let quoted = |items: Vec<String>| format!("[{}]", items.join(", "));
    let models = fitted.models.iter().map(|model| format!("\"{model}\"")).collect();
    let families = fitted
        .families
        .iter()
        .map(|family| serde_json::to_string(family).expect("a family has a name"));
    let _ = write!(
        out,
        "\n[{}]\nmodels = {}\nfamilies = {}\nrows = {}\nmedian_percent = {}\np95_percent = {}\n",
        named("fitted"),
        quoted(models),
        quoted(families.collect()),
        fitted.rows,
        number(fitted.median_percent),
        number(fitted.p95_percent),
    );
}

fn section(out: &mut String, name: &str, values: &[(&str, f64)]) {
    let _ = writeln!(out, "\n[{name}]");
    for (key, value) in values {
        let _ = writeln!(out, "{key} = {}", number(*value));
    }
}

/// Four significant digits, with a decimal point, so that TOML reads a float.
fn number(value: f64) -> String {
    format!("{:?}", tidy(value))
}

fn tidy(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}
