//! `wasi:cli`: environment, arguments, the three standard streams, exit. There is no terminal and
//! nothing to read, unless the guest is a program that answers a request.

use wasmtime::component::Resource;

use super::streams::{InputStream, OutputStream};
use super::{Door, Host, interface};
use crate::engine::door::Answer;
use crate::engine::fault::Fault;

/// `resource terminal-input`; no value of it exists.
enum TerminalInput {}

/// `resource terminal-output`; no value of it exists.
enum TerminalOutput {}

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    let mut environment = interface(door, "cli/environment")?;
    environment.at_once("get-environment", |host, (): ()| {
        let mut all = host.wasi_grant().environment.clone();
        all.extend(host.program().into_iter().flat_map(|it| it.environment.iter().cloned()));
        Ok((all,))
    })?;
    environment.at_once("get-arguments", |host, (): ()| {
        let own = &host.wasi_grant().arguments;
        Ok((host.program().map_or(own, |program| &program.arguments).clone(),))
    })?;
    environment.at_once("initial-cwd", |_, (): ()| Ok((None::<String>,)))?;

    let mut exit = interface(door, "cli/exit")?;
    exit.at_once("exit", |_, (status,): (Result<(), ()>,)| {
        exit_with_code(if status.is_ok() { 0 } else { 1 })
    })?;
    exit.at_once("exit-with-code", |_, (code,): (u8,)| exit_with_code(code))?;

    offer_streams(door)?;
    offer_terminals(door)
}

fn offer_streams(door: &mut Door) -> Answer<()> {
    interface(door, "cli/stdin")?.at_once("get-stdin", |host, (): ()| {
        let body = host.program().map(|program| InputStream::Body(program.input()));
        Ok((host.push(body.unwrap_or(InputStream::Empty))?,))
    })?;
    interface(door, "cli/stdout")?.at_once("get-stdout", |host, (): ()| {
        let printed = host.program().map(|program| OutputStream::Printed(program.output()));
        Ok((host.push(printed.unwrap_or(OutputStream::Log(host.wasi().out.clone())))?,))
    })?;
    interface(door, "cli/stderr")?.at_once("get-stderr", |host, (): ()| {
        Ok((host.push(OutputStream::Log(host.wasi().err.clone()))?,))
    })
}

fn offer_terminals(door: &mut Door) -> Answer<()> {
    interface(door, "cli/terminal-input")?.resource::<TerminalInput>("terminal-input")?;
    interface(door, "cli/terminal-output")?.resource::<TerminalOutput>("terminal-output")?;
    interface(door, "cli/terminal-stdin")?
        .at_once("get-terminal-stdin", no_terminal::<TerminalInput>)?;
    interface(door, "cli/terminal-stdout")?
        .at_once("get-terminal-stdout", no_terminal::<TerminalOutput>)?;
    interface(door, "cli/terminal-stderr")?
        .at_once("get-terminal-stderr", no_terminal::<TerminalOutput>)
}

fn no_terminal<T: 'static>(_: &Host, (): ()) -> Answer<(Option<Resource<T>>,)> {
    Ok((None,))
}

fn exit_with_code(code: u8) -> Answer<()> {
    Fault::Exit(code).end()
}
