//! Tells the crate its commit and its day, for `--version`, and takes the files of the directory `catalog` in.
//!
//! Enters: `LOGZIO_FETCHER_COMMIT`, where the build has no checkout, and `SOURCE_DATE_EPOCH`, where it is to be repeatable.
//! Without them the checkout that the package lies in is asked, and the clock. Leaves: `BUILD_COMMIT` (empty where nobody
//! knows), `BUILD_DATE` and `BUILD_VERSION`. An unchanged tree is not built again, and a commit always is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// How much of a commit's name is shown: no two of this project's begin with the same so soon.
const COMMIT_CHARS: usize = 12;
const SECONDS_PER_DAY: u64 = 86_400;

fn main() -> Result<(), String> {
    for file in ["build.rs", "Cargo.toml", "Cargo.lock", "catalog", "src"] {
        println!("cargo::rerun-if-changed={file}");
    }
    for (directory, file) in [("catalog", "catalog.rs"), ("catalog/apis", "catalog_of_apis.rs")] {
        write_catalog(directory, file).map_err(|error| format!("{directory}: {error}"))?;
    }
    let commit = match variable("LOGZIO_FETCHER_COMMIT") {
        Some(commit) => Some(checked(&commit)?),
        None => commit_of_checkout(),
    };
    let seconds = match variable("SOURCE_DATE_EPOCH") {
        Some(seconds) => seconds.trim().parse().map_err(|_| format!("SOURCE_DATE_EPOCH is no number: {seconds}"))?,
        None => SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?.as_secs(),
    };
    let date = day(seconds / SECONDS_PER_DAY);
    let version = std::env::var("CARGO_PKG_VERSION").map_err(|error| error.to_string())?;
    let of_commit = commit.as_ref().map(|commit| format!("{commit}, ")).unwrap_or_default();
    println!("cargo::rustc-env=BUILD_COMMIT={}", commit.unwrap_or_default());
    println!("cargo::rustc-env=BUILD_DATE={date}");
    println!("cargo::rustc-env=BUILD_VERSION={version} ({of_commit}built {date})");
    Ok(())
}

/// Writes a list of the types in a directory: each file's name without its ending, and its text.
fn write_catalog(directory: &str, list: &str) -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join(directory);
    let files = std::fs::read_dir(&directory)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    let mut types: Vec<(String, PathBuf)> = Vec::new();
    for file in files.into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "yaml")) {
        let name = file.file_stem().and_then(|name| name.to_str()).ok_or("the name of a file is not UTF-8")?;
        types.push((name.to_owned(), file));
    }
    types.sort();
    let rows: String = types
        .iter()
        .map(|(name, file)| format!("({name:?}, include_str!({:?})),\n", file.display().to_string()))
        .collect();
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join(list), format!("&[\n{rows}]\n"))?;
    Ok(())
}

/// A variable that is set to something; the build is repeated when it changes.
fn variable(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn checked(commit: &str) -> Result<String, String> {
    let commit = commit.trim();
    if !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("LOGZIO_FETCHER_COMMIT is no commit: {commit}"));
    }
    Ok(commit.chars().take(COMMIT_CHARS).collect())
}

/// The commit that is checked out; nothing where there is no git, or no checkout of this package's own.
fn commit_of_checkout() -> Option<String> {
    // Inside another project's checkout its commit says nothing of this package.
    if !Path::new(".git").exists() {
        return None;
    }
    // What a commit changes: the branch's own file, or one for many branches. In a further worktree git knows where.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs", "reftable/tables.list"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name]).map(PathBuf::from);
        // A file that isn't there would count as changed in every build. A branch's own appears in its folder.
        let watched = match path {
            Some(path) if path.exists() => Some(path),
            Some(path) if Some(name) == branch.as_deref() => {
                path.ancestors().skip(1).find(|folder| folder.exists()).map(Path::to_owned)
            }
            _ => None,
        };
        if let Some(path) = watched {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(&["rev-parse", &format!("--short={COMMIT_CHARS}"), "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    Some(line).filter(|line| !line.is_empty())
}

/// A day since 1970-01-01 as a date: `civil_from_days` of Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms",
/// for days from 1970 on. Years begin in March there, so that a leap day is a year's last.
fn day(since_1970: u64) -> String {
    const DAYS_PER_ERA: u64 = 146_097; // 400 years
    const FROM_0000_03_01_TO_1970: u64 = 719_468;
    let days = since_1970 + FROM_0000_03_01_TO_1970;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for days in 0..60_000 {
            let date = chrono::DateTime::from_timestamp(days * 86_400, 0).unwrap().format("%Y-%m-%d").to_string();
            assert_eq!(day(days.unsigned_abs()), date);
        }
    }

    #[test]
    fn a_commit_is_cut_and_anything_else_refused() {
        assert_eq!(checked("1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d\n").as_deref(), Ok("1a2b3c4d5e6f"));
        assert!(checked("main").is_err());
    }
}
