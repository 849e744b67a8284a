//! The figures beside their limits, on the terminal and in docs/benchmarks.md.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::Context;

#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
    notes: Vec<String>,
}

pub struct Row {
    pub figure: String,
    pub measured: String,
    /// What it is compared with, measured in the same run.
    pub peer: String,
    pub ratio: Option<f64>,
    pub limit: String,
    /// `None`: shown without a limit.
    pub kept: Option<bool>,
}

impl Row {
    pub fn shown(figure: impl Into<String>, measured: impl Into<String>) -> Self {
        Self {
            figure: figure.into(),
            measured: measured.into(),
            peer: String::new(),
            ratio: None,
            limit: String::new(),
            kept: None,
        }
    }

    pub fn beside(self, peer: impl Into<String>, ratio: f64) -> Self {
        Self { peer: peer.into(), ratio: Some(ratio), ..self }
    }

    pub fn limit(self, limit: impl Into<String>, kept: bool) -> Self {
        Self { limit: limit.into(), kept: Some(kept), ..self }
    }

    fn cells(&self) -> [String; 6] {
        let ratio = match self.ratio {
            None => String::new(),
            Some(ratio) if ratio < 10.0 => format!("{ratio:.2}"),
            Some(ratio) => format!("{ratio:.0}"),
        };
        let verdict = match self.kept {
            None => "",
            Some(true) => "ok",
            Some(false) => "MISSED",
        };
        [
            self.figure.clone(),
            self.measured.clone(),
            self.peer.clone(),
            ratio,
            self.limit.clone(),
            verdict.to_owned(),
        ]
    }
}

const HEAD: [&str; 6] = ["figure", "measured", "beside it, in the same run", "ratio", "limit", ""];

impl Table {
    pub fn add(&mut self, row: Row) {
        let [figure, measured, peer, ratio, ..] = row.cells();
        eprintln!("  {figure}: {measured} ({peer}) {ratio}");
        self.rows.push(row);
    }

    /// What does not fit into a row.
    pub fn note(&mut self, note: String) {
        eprintln!("  {note}");
        self.notes.push(note);
    }

    pub fn broken(&mut self, group: &str, error: &str) {
        self.rows.push(Row::shown(format!("{group}: {error}"), "not measured").limit("", false));
    }

    pub fn to_text(&self, machine: &Machine) -> String {
        let mut lines = vec![HEAD.map(str::to_owned)];
        lines.extend(self.rows.iter().map(Row::cells));
        let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        let mut text = format!("\n{machine}\n\n");
        for line in &lines {
            let cells: Vec<String> =
                line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{note}");
        }
        let missed = self.rows.iter().filter(|row| row.kept == Some(false)).count();
        let limits = self.rows.iter().filter(|row| row.kept.is_some()).count();
        let _ = writeln!(text, "\n{} of {limits} limits kept, {missed} MISSED", limits - missed);
        text
    }

    fn to_markdown(&self, machine: &Machine) -> String {
        let mut text = format!("{machine}\n\n");
        let mut line = |cells: [String; 6]| {
            let _ = writeln!(text, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
        };
        line(HEAD.map(str::to_owned));
        line(["---"; 6].map(str::to_owned));
        for row in &self.rows {
            line(row.cells().map(|cell| if cell == "MISSED" { "**missed**".to_owned() } else { cell }));
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{note}");
        }
        text
    }
}

/// What the figures were measured on, without anything that names it.
pub struct Machine(String);

impl Machine {
    pub fn look(postgres: bool) -> anyhow::Result<Self> {
        let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
        let model = model.trim_start_matches(['\t', ' ', ':']);
        let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
        let memory = std::fs::read_to_string("/proc/meminfo")?;
        let total: u64 = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok())
            .unwrap_or(0);
        let ceph = Command::new("ceph").arg("--version").output()?;
        let ceph = String::from_utf8_lossy(&ceph.stdout);
        let version = ceph.split_whitespace().nth(2).unwrap_or("?");
        let release = ceph.split_whitespace().nth(4).unwrap_or("");
        let database = if postgres { "PostgreSQL" } else { "SQLite" };
        Ok(Self(format!(
            "{cores} cores ({model}), {:.0} GiB of memory; Ceph {version} ({release}) with one OSD on loopback, \
             on the same cores as the service and its clients; rows in {database}.",
            total as f64 / (1 << 20) as f64
        )))
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

const BEGIN: &str = "<!-- begin: made by `make bench WRITE=1` -->";
const END: &str = "<!-- end -->";

/// Puts the table between the two marks of the document.
pub fn write(path: &str, table: &Table, machine: &Machine) -> anyhow::Result<()> {
    let old = std::fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))?;
    let (before, rest) = old.split_once(BEGIN).context("docs/benchmarks.md: no mark where to begin")?;
    let (_, after) = rest.split_once(END).context("docs/benchmarks.md: no mark where to end")?;
    std::fs::write(path, format!("{before}{BEGIN}\n{}{END}{after}", table.to_markdown(machine)))?;
    Ok(())
}
