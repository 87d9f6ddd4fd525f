//! What a component may use and what runs it, and what all of an app may use: the wish if the board can, else the board's
//! default.

use std::collections::BTreeMap;

use super::load::Hands;
use super::{AppLimits, ComponentLimits};
use crate::files::board::{AppBounds, ArtifactKind, BoardMemory, Bound};
use crate::files::config::{Bytes, Error, Rate, Seconds};
use crate::files::manifest::{Component, EngineChoice};
use crate::limits::{ATTEMPTS_DEFAULT, LOG_RATE_DEFAULT};

pub(super) fn of(hands: &Hands<'_>, component: &Component) -> Result<ComponentLimits, Error> {
    let bounds = &hands.board.component;
    let tool = &component.tool;
    let wish = Wish::of(hands, component);
    Ok(ComponentLimits {
        memory_bytes_max: wish.bytes("memory", tool.memory_bytes, bounds.memory_bytes)?,
        stack_bytes_max: hands.board.memory.stack_bytes,
        deadline: wish.grant(
            "deadline",
            tool.deadline,
            bounds.deadline,
            |a, b| a > b,
            |time| Seconds(*time).to_string(),
        )?,
        rate: wish.grant("rate", tool.rate, bounds.rate, Rate::exceeds, Rate::to_string)?,
        // One unless it asks: then its events are no longer in order.
        instances_max: wish.number(
            "instances",
            tool.instances,
            Bound { default: 1, max: hands.board.instances_max },
        )?,
        log_rate: tool.log_rate.unwrap_or(LOG_RATE_DEFAULT),
        attempts_max: tool.attempts_max.unwrap_or(ATTEMPTS_DEFAULT),
        state_bytes_max: wish.bytes("state", tool.state_bytes, bounds.state_bytes)?,
        database_bytes_max: wish.bytes("database", tool.database_bytes, bounds.database_bytes)?,
    })
}

/// What all of the app may use: what the board has, where neither it nor the manifest says less.
pub(super) fn of_app(hands: &Hands<'_>) -> Result<AppLimits, Error> {
    let AppBounds { memory_bytes, instances, rate, state_bytes } = hands.board.app;
    let tool = &hands.manifest.application.tool;
    let wish =
        Wish { hands, table: "application.tool.pirn".to_owned(), lines: &tool.lines, line: 1 };
    let BoardMemory { budget_bytes, host_bytes, .. } = hands.board.memory;
    let all = |max| Bound { default: max, max };
    let rate = match (tool.rate, rate) {
        (wish, None) => wish,
        (asked, Some(bound)) => {
            Some(wish.grant("rate", asked, bound, Rate::exceeds, Rate::to_string)?)
        }
    };
    Ok(AppLimits {
        memory_bytes_max: wish.bytes(
            "memory",
            tool.memory_bytes,
            memory_bytes.unwrap_or(all(budget_bytes.saturating_sub(host_bytes))),
        )?,
        instances_max: wish.number(
            "instances",
            tool.instances,
            instances.unwrap_or(Bound {
                default: hands.board.instances_max,
                max: hands.board.instances_max,
            }),
        )?,
        rate,
        state_bytes_max: wish.bytes(
            "state",
            tool.state_bytes,
            state_bytes.unwrap_or(all(u64::MAX)),
        )?,
    })
}

/// Of each component one instance must find room in what its app may use.
pub(super) fn check_room(
    hands: &Hands<'_>,
    app: AppLimits,
    components: &[super::ComponentPlan],
) -> Result<(), Error> {
    let tool = &hands.manifest.application.tool;
    if tool.memory_bytes.is_none() && hands.board.app.memory_bytes.is_none() {
        // The board's own sum will tell.
        return Ok(());
    }
    let largest = components.iter().max_by_key(|plan| plan.limits.instance_bytes());
    let Some(plan) = largest.filter(|plan| plan.limits.instance_bytes() > app.memory_bytes_max)
    else {
        return Ok(());
    };
    let (room, needed) = (Bytes(app.memory_bytes_max), Bytes(plan.limits.instance_bytes()));
    let message = format!(
        "{room} for all instances of the app, and one of {} may take {needed} with its stack and tables",
        plan.id
    );
    let line = tool.lines.get("memory").copied().unwrap_or(1);
    let error = Error::at(&hands.manifest.file, line, "application.tool.pirn", "memory", message);
    Err(error.with_help(format!(
        "give the app more, or the component less: `memory` in [component.{}.tool.pirn]",
        plan.id
    )))
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
            let error = Wish::of(hands, component).error("engine", message);
            Err(error.with_help(
                "nothing generates code for its processor; remove the key, or write \"pulley\" or \"interpreted\"",
            ))
        }
    }
}

struct Wish<'a> {
    hands: &'a Hands<'a>,
    table: String,
    lines: &'a BTreeMap<&'static str, u32>,
    line: u32,
}

impl<'a> Wish<'a> {
    fn of(hands: &'a Hands<'a>, component: &'a Component) -> Self {
        let table = format!("component.{}.tool.pirn", component.id);
        Self { hands, table, lines: &component.tool.lines, line: component.line }
    }

    fn bytes(&self, key: &str, wish: Option<u64>, bound: Bound<u64>) -> Result<u64, Error> {
        self.grant(key, wish, bound, |a, b| a > b, |bytes| Bytes(*bytes).to_string())
    }

    fn number(&self, key: &str, wish: Option<u32>, bound: Bound<u32>) -> Result<u32, Error> {
        self.grant(key, wish, bound, |a, b| a > b, u32::to_string)
    }

    fn grant<T>(
        &self,
        key: &str,
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

    fn refused(&self, key: &str, wish: &str, max: &str) -> Error {
        let board = &self.hands.board.name;
        self.error(key, format!("asks for {wish}; the board {board:?} grants at most {max}"))
    }

    fn error(&self, key: &str, message: String) -> Error {
        let line = self.lines.get(key).copied().unwrap_or(self.line);
        Error::at(&self.hands.manifest.file, line, &self.table, key, message)
    }
}
