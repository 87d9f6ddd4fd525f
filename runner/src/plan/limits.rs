//! What a component may use and what runs it: its wish if the board can, else the board's default.

use super::ComponentLimits;
use super::load::Hands;
use crate::files::board::{ArtifactKind, Bound};
use crate::files::config::{Bytes, Error, Rate, Seconds};
use crate::files::manifest::{Component, EngineChoice};
use crate::limits::{ATTEMPTS_DEFAULT, LOG_RATE_DEFAULT};

pub(super) fn of(hands: &Hands<'_>, component: &Component) -> Result<ComponentLimits, Error> {
    let bounds = &hands.board.component;
    let tool = &component.tool;
    let wish = Wish { hands, component };
    let bytes = |bytes: &u64| Bytes(*bytes).to_string();
    Ok(ComponentLimits {
        memory_bytes_max: wish.grant(
            "memory",
            tool.memory_bytes,
            bounds.memory_bytes,
            |a, b| a > b,
            bytes,
        )?,
        stack_bytes_max: hands.board.memory.stack_bytes,
        deadline: wish.grant(
            "deadline",
            tool.deadline,
            bounds.deadline,
            |a, b| a > b,
            |time| Seconds(*time).to_string(),
        )?,
        rate: wish.grant("rate", tool.rate, bounds.rate, Rate::exceeds, Rate::to_string)?,
        instances_max: instances(&wish)?,
        log_rate: tool.log_rate.unwrap_or(LOG_RATE_DEFAULT),
        attempts_max: tool.attempts_max.unwrap_or(ATTEMPTS_DEFAULT),
        state_bytes_max: wish.grant(
            "state",
            tool.state_bytes,
            bounds.state_bytes,
            |a, b| a > b,
            bytes,
        )?,
    })
}

/// One unless it asks: then its events are no longer in order.
fn instances(wish: &Wish<'_>) -> Result<u32, Error> {
    let max = wish.hands.board.instances_max;
    wish.grant(
        "instances",
        wish.component.tool.instances,
        Bound { default: 1, max },
        |a, b| a > b,
        u32::to_string,
    )
}

/// What a component is compiled to: what its engine and the board have in common.
pub(super) fn artifact(hands: &Hands<'_>, component: &Component) -> Result<ArtifactKind, Error> {
    let board = &hands.board;
    match (component.tool.engine, board.artifact) {
        (EngineChoice::Auto, kind) | (EngineChoice::Native, kind @ ArtifactKind::Native) => {
            Ok(kind)
        }
        (EngineChoice::Pulley, _) => Ok(board.pulley()),
        (EngineChoice::Interpreted, _) => Ok(ArtifactKind::Wasm),
        (
            EngineChoice::Native,
            ArtifactKind::Pulley32 | ArtifactKind::Pulley64 | ArtifactKind::Wasm,
        ) => {
            let message = format!("the board {:?} has no native code", board.name);
            let error = Wish { hands, component }.error("engine", message);
            Err(error.with_help(
                "nothing generates code for its processor; remove the key, or write \"pulley\" or \"interpreted\"",
            ))
        }
    }
}

struct Wish<'a> {
    hands: &'a Hands<'a>,
    component: &'a Component,
}

impl Wish<'_> {
    fn grant<T>(
        &self,
        key: &'static str,
        wish: Option<T>,
        bound: Bound<T>,
        exceeds: impl Fn(&T, &T) -> bool,
        print: impl Fn(&T) -> String,
    ) -> Result<T, Error> {
        match wish {
            None => Ok(bound.default),
            Some(wish) if !exceeds(&wish, &bound.max) => Ok(wish),
            Some(wish) => Err(self.refused(key, &print(&wish), &print(&bound.max))),
        }
    }

    fn refused(&self, key: &'static str, wish: &str, max: &str) -> Error {
        let board = &self.hands.board.name;
        self.error(key, format!("asks for {wish}; the board {board:?} grants at most {max}"))
    }

    fn error(&self, key: &'static str, message: String) -> Error {
        let line = self.component.tool.lines.get(key).copied().unwrap_or(self.component.line);
        let table = format!("component.{}.tool.pirn", self.component.id);
        Error::at(&self.hands.manifest.file, line, &table, key, message)
    }
}
