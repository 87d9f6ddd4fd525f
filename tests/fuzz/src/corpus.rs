//! Writes the seeds as libFuzzer wants them: `corpus TO FROM...` makes components of what is in the folders and
//! files FROM and puts them into the folder TO: text (`.wat`) is translated, components (`.wasm`) are copied.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let to = arguments.next().ok_or("usage: corpus TO FROM...")?;
    fs::create_dir_all(&to)?;
    let mut seeds = Vec::new();
    for from in arguments {
        collect(&from, &mut seeds).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    for (name, bytes) in &seeds {
        fs::write(to.join(name).with_extension("wasm"), bytes)?;
    }
    let bytes: usize = seeds.iter().map(|(_, bytes)| bytes.len()).sum();
    println!("{} seeds, {} KiB", seeds.len(), bytes >> 10);
    Ok(())
}

fn collect(from: &Path, seeds: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    if from.is_dir() {
        return fs::read_dir(from)?.try_for_each(|entry| collect(&entry?.path(), seeds));
    }
    let ending = from.extension().and_then(|ending| ending.to_str());
    let name = from.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match ending {
        Some("wat") => seeds.push((name, wat::parse_file(from)?)),
        Some("wasm") => seeds.push((name, fs::read(from)?)),
        _ => {}
    }
    Ok(())
}
