//! What a browser sends when somebody fills in the form, taken apart and judged.

/// As many characters as the form's fields take.
pub const NAME_CHARS_MAX: usize = 40;
pub const TEXT_CHARS_MAX: usize = 500;

/// What somebody wrote, fit to be kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    pub name: String,
    pub text: String,
}

/// The form in a body; or a sentence that says what is wrong with it.
pub fn written(body: &[u8]) -> Result<Written, String> {
    let name = tidy(&field(body, "name")?).replace('\n', " ");
    let text = tidy(&field(body, "text")?);
    fits("name", &name, NAME_CHARS_MAX)?;
    fits("text", &text, TEXT_CHARS_MAX)?;
    Ok(Written { name, text })
}

fn fits(what: &str, text: &str, max: usize) -> Result<(), String> {
    match text.chars().count() {
        0 => Err(format!("The {what} is empty.")),
        count if count > max => Err(format!("The {what} has {count} characters; {max} fit.")),
        _ => Ok(()),
    }
}

/// Lines as `\n`, nothing around them, and no other character that controls something.
fn tidy(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    lines.trim().chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

fn field(body: &[u8], name: &str) -> Result<String, String> {
    let fields = body.split(|byte| *byte == b'&');
    let value = fields
        .filter_map(|field| field.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .next()
        .ok_or_else(|| format!("The form has no field {name:?}."))?;
    let bytes = decoded(value)
        .ok_or_else(|| format!("The field {name:?} has a % without two hexadecimal digits."))?;
    String::from_utf8(bytes).map_err(|_| format!("The field {name:?} is not UTF-8."))
}

/// Without the escapes of `application/x-www-form-urlencoded`.
fn decoded(value: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => (digit(rest.next()?)? << 4) | digit(rest.next()?)?,
            other => *other,
        });
    }
    Some(bytes)
}

fn digit(byte: &u8) -> Option<u8> {
    char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_a_name_and_a_text() {
        let found = written(b"name=J%C3%BCrgen+K&text=+one%0D%0Atwo%07+").unwrap();
        assert_eq!(found, Written { name: "Jürgen K".into(), text: "one\ntwo".into() });
    }

    #[test]
    fn what_is_wrong_with_a_form_is_said_in_a_sentence() {
        let long = format!("name={}&text=x", "n".repeat(41));
        for (body, sentence) in [
            ("", "The form has no field \"name\"."),
            ("name=a", "The form has no field \"text\"."),
            ("name=+%0a&text=x", "The name is empty."),
            ("name=a&text=", "The text is empty."),
            ("name=%4&text=x", "The field \"name\" has a % without two hexadecimal digits."),
            ("name=%ff&text=x", "The field \"name\" is not UTF-8."),
            (&*long, "The name has 41 characters; 40 fit."),
        ] {
            assert_eq!(written(body.as_bytes()).unwrap_err(), sentence, "{body}");
        }
    }
}
