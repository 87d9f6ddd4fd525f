//! The boards that are in the program, by name: every file of `board-configs/`.

use crate::files::config::{Error, unknown};

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../../board-configs/", $name, ".toml")))),*]
    };
}

/// Name and text of every file in `board-configs/`; a test holds folder and list in step.
pub const SHIPPED: &[(&str, &str)] = shipped![
    "beaglebone-black",
    "generic-aarch64",
    "generic-arm",
    "generic-riscv64",
    "generic-x86_64",
    "pi-3",
    "pi-4",
    "pi-5",
    "pi-zero",
    "pi-zero-2w",
    "qemu-virt-aarch64",
    "qemu-virt-arm",
];

pub(super) fn unknown_board(name: &str) -> Error {
    let known: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    Error::about_file("--board", unknown("board", name, &known))
        .with_help(format!("known: {}; or name a file that ends in .toml", known.join(", ")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::files::board::Board;

    #[test]
    fn every_file_in_board_configs_is_shipped_and_nothing_else() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../board-configs");
        let names = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<String> =
            names.map(|name| name.strip_suffix(".toml").unwrap().to_owned()).collect();
        files.sort();
        let shipped: Vec<String> = SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files, shipped);
    }

    #[test]
    fn every_shipped_board_is_valid() {
        for (name, _) in SHIPPED {
            assert_eq!(Board::shipped(name).map(|board| board.name), Ok((*name).to_owned()));
        }
    }

    #[test]
    fn every_shipped_board_holds_as_many_default_components_as_it_runs() {
        for (name, _) in SHIPPED {
            let board = Board::shipped(name).unwrap();
            let beside = crate::limits::engine::INSTANCE_BYTES as u64;
            let each = board.component.memory_bytes.default + board.memory.stack_bytes + beside;
            let sum = board.memory.host_bytes + each * u64::from(board.instances_max);
            assert!(sum <= board.memory.budget_bytes, "{name}: {sum}");
        }
    }

    #[test]
    fn the_default_board_is_shipped() {
        assert!(Board::shipped(Board::default_name()).is_ok());
    }

    #[test]
    fn header_pins_are_used_once_on_every_board() {
        for (name, _) in SHIPPED {
            let board = Board::shipped(name).unwrap();
            let mut pins: Vec<_> =
                board.chips.iter().flat_map(|c| c.lines.values().map(|l| l.pin.clone())).collect();
            let all = pins.len();
            pins.sort();
            pins.dedup();
            assert_eq!(pins.len(), all, "{name}");
        }
    }

    #[test]
    fn an_unknown_board_is_told_the_nearest_one() {
        let error = Board::find("pi-zero2w").unwrap_err().to_string();
        assert!(
            error.starts_with("--board: unknown board \"pi-zero2w\"; did you mean \"pi-zero-2w\"?"),
            "{error}"
        );
    }
}
