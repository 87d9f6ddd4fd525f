//! Lines drawn: a table, or the board's header with its two columns of pins.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Row;
use crate::ui::{FAINT, GOOD, NAME, escaped};

/// The lines as a picture: those on a header where its pins are, the others below in a table.
pub(crate) fn draw(rows: &[Row]) -> String {
    let mut headers: BTreeMap<&str, BTreeMap<u32, &Row>> = BTreeMap::new();
    let mut others = Vec::new();
    for row in rows {
        match place(&row.header) {
            Some((header, pin)) => drop(headers.entry(header).or_default().insert(pin, row)),
            None => others.push(row),
        }
    }
    let mut text = String::new();
    for (name, pins) in &headers {
        header(&mut text, name, pins);
    }
    table(&mut text, &others);
    text
}

/// `11` is pin 11 of the only header, `P8_07` pin 7 of the header P8.
fn place(header: &str) -> Option<(&str, u32)> {
    let (name, pin) = header.rsplit_once('_').unwrap_or(("", header));
    Some((name, pin.parse().ok()?))
}

/// Odd pins on the left, even ones on the right, as on the boards. Pins that are no lines (power,
/// ground) are dots.
fn header(text: &mut String, name: &str, pins: &BTreeMap<u32, &Row>) {
    if !name.is_empty() {
        let _ = writeln!(text, "{FAINT}{name}{FAINT:#}");
    }
    let width = pins.values().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let last = pins.keys().max().copied().unwrap_or(0);
    for odd in (1..=last).step_by(2) {
        let (left, right) = (pins.get(&odd), pins.get(&(odd + 1)));
        let _ = writeln!(
            text,
            "{} {odd:>2} {} {} {:<2} {}",
            label(left, width, Side::Left),
            lamp(left),
            lamp(right),
            odd + 1,
            label(right, width, Side::Right)
        );
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

fn label(row: Option<&&Row>, width: usize, side: Side) -> String {
    let Some(row) = row else { return " ".repeat(if side == Side::Left { width + 4 } else { 0 }) };
    let name = escaped(&row.name);
    let padding = " ".repeat(width.saturating_sub(name.chars().count()));
    let style = if row.way == "-" { FAINT } else { NAME };
    let way = if row.way == "-" { "   " } else { way(row) };
    match side {
        Side::Left => format!("{padding}{style}{name}{style:#} {way}"),
        Side::Right => format!("{way} {style}{name}{style:#}"),
    }
}

fn way(row: &Row) -> &'static str {
    if row.way == "out" { "out" } else { "in " }
}

fn lamp(row: Option<&&Row>) -> String {
    match row {
        Some(row) if row.is_high() => format!("{GOOD}●{GOOD:#}"),
        Some(row) if row.way != "-" => "○".to_owned(),
        Some(_) => format!("{FAINT}○{FAINT:#}"),
        None => format!("{FAINT}·{FAINT:#}"),
    }
}

fn table(text: &mut String, rows: &[&Row]) {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    for row in rows {
        let name = escaped(&row.name);
        let padding = " ".repeat(width.saturating_sub(name.chars().count()));
        let (lamp, way) = (lamp(Some(row)), way(row));
        let _ = writeln!(text, "{NAME}{name}{NAME:#}{padding} {way} {lamp} {}", row.level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, header: &str, way: &str, level: &str) -> Row {
        let [name, header, way, level] = [name, header, way, level].map(str::to_owned);
        Row { name, header, way, level }
    }

    #[test]
    fn pins_stand_where_they_are_on_the_header_and_others_below() {
        let rows = [
            row("GPIO2", "3", "-", "low"),
            row("BUTTON", "4", "in", "high"),
            row("LAMP", "P8_02", "out", "low"),
            row("DOOR", "", "in", "low"),
        ];
        let drawn = anstream::adapter::strip_str(&draw(&rows)).to_string();
        let expected = "            1 · · 2  \n GPIO2      3 ○ ● 4  in  BUTTON\nP8\n          1 · ○ 2  out LAMP\nDOOR in  ○ low\n";
        assert_eq!(drawn, expected, "\n{drawn}");
    }
}
