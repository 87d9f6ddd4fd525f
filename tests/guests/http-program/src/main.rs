//! Answers as programs do, by what the path behind its route says: `/say` what it finds in its environment, its arguments
//! and its standard input; `/status`, `/moved`; `/bare`, `/silent`, `/fail` and `/late`: how not to answer; `/make/N`: N bytes.

use std::io::{Read as _, Write as _};

fn main() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let path = variable("PATH_INFO");
    let mut out = std::io::stdout();
    match path.as_str() {
        "/status" => print!("Status: 404 Not Found\nContent-Type: text/plain\n\nnothing here\n"),
        "/moved" => print!("Location: /elsewhere\n\n"),
        "/bare" => println!("no fields at all"),
        "/silent" => {}
        "/fail" => std::process::exit(3),
        "/late" => {
            print!("Content-Type: text/plain\n\nhalf");
            out.flush().unwrap();
            std::process::exit(3);
        }
        _ => match path.strip_prefix("/make/").and_then(|bytes| bytes.parse::<usize>().ok()) {
            Some(bytes) => {
                print!("Content-Type: text/plain\n\n");
                for _ in 0..bytes / 1_000 {
                    out.write_all(&[b'x'; 1_000]).unwrap();
                }
            }
            None => say(variable),
        },
    }
}

fn say(variable: impl Fn(&str) -> String) {
    let mut body = String::new();
    std::io::stdin().read_to_string(&mut body).unwrap();
    print!("Content-Type: text/plain\r\nX-Program: yes\r\n\r\n");
    for name in [
        "REQUEST_METHOD",
        "SCRIPT_NAME",
        "PATH_INFO",
        "QUERY_STRING",
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "SERVER_NAME",
        "SERVER_PORT",
        "SERVER_PROTOCOL",
        "GATEWAY_INTERFACE",
        "REMOTE_ADDR",
        "X_FULL_URL",
        "HTTP_X_A",
        "HTTP_PROXY",
    ] {
        println!("{name}={}", variable(name));
    }
    println!("arguments: {}", std::env::args().collect::<Vec<_>>().join(","));
    println!("body: {body}");
    eprintln!("this is for the log");
}
