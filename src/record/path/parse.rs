//! The text of a path, taken apart: its steps, or what only RFC 9535 can say.

use jsonpath_rust::parser::parse_json_path;

use super::{Part, PathError, PathForm, PathSegment};

pub(super) fn form(text: &str, rooted: bool, parts: Vec<Part>) -> Result<PathForm, PathError> {
    let steps: Option<Vec<PathSegment>> = parts
        .iter()
        .map(|part| match part {
            Part::Segment(step) => Some(step.clone()),
            Part::Descend | Part::Bracket(_) => None,
        })
        .collect();
    let Some(steps) = steps else {
        if let Some(filter) = filter_of(&parts) {
            return Ok(filter);
        }
        if rooted && parse_json_path(text).is_ok() {
            return query(text);
        }
        return query(&rfc9535(&parts));
    };
    let is_that_key = matches!(steps.as_slice(), [PathSegment::Key(key)] if key == text);
    let literal = (!rooted && !is_that_key).then(|| text.to_owned());
    Ok(PathForm::Steps { literal, steps })
}

/// A path with one filter, which looks at nothing but the element itself: nothing in it refers to the page (`$`).
fn filter_of(parts: &[Part]) -> Option<PathForm> {
    let steps = |parts: &[Part]| -> Option<Vec<PathSegment>> {
        let step = |part: &Part| if let Part::Segment(step) = part { Some(step.clone()) } else { None };
        parts.iter().map(step).collect()
    };
    let at = parts.iter().position(|part| !matches!(part, Part::Segment(_)))?;
    let Part::Bracket(inner) = parts.get(at)? else { return None };
    // Several selectors would each be asked of the whole list.
    if !inner.starts_with('?') || inner.contains('$') || first_outside(inner, ',').is_some() {
        return None;
    }
    let filter = parse_json_path(&format!("$[{inner}]")).ok()?;
    Some(PathForm::Filter { above: steps(parts.get(..at)?)?, filter, below: steps(parts.get(at + 1..)?)? })
}

pub(super) fn query(text: &str) -> Result<PathForm, PathError> {
    let query = parse_json_path(text).map_err(|_| PathError::NotRfc9535)?;
    Ok(PathForm::Query { query, many: text.contains(['?', '*', ':']) })
}

/// The parts written out with every name in brackets, as RFC 9535 takes any name.
pub(super) fn rfc9535(parts: &[Part]) -> String {
    let mut text = "$".to_owned();
    for part in parts {
        match part {
            Part::Descend => text.push_str(".."),
            Part::Bracket(inner) => text.push_str(&format!("[{inner}]")),
            Part::Segment(PathSegment::Index(index)) => text.push_str(&format!("[{index}]")),
            Part::Segment(PathSegment::Each) => text.push_str("[*]"),
            Part::Segment(PathSegment::Key(key)) => {
                text.push_str(&format!("['{}']", key.replace('\\', "\\\\").replace('\'', "\\'")));
            }
        }
    }
    text
}

/// Reads the parts of a path behind its `$`.
pub(super) fn parts(body: &str, rooted: bool) -> Result<Vec<Part>, PathError> {
    let mut parts = Vec::new();
    let mut rest = body;
    let mut name_due = !rooted;
    while let Some(first) = rest.chars().next() {
        match first {
            '.' if rest.starts_with("..") => {
                parts.push(Part::Descend);
                rest = rest.get(2..).unwrap_or_default();
                name_due = true;
                if rest.starts_with('.') {
                    return Err(PathError::NameMissing);
                }
            }
            '.' => {
                rest = rest.get(1..).unwrap_or_default();
                name_due = true;
                if rest.is_empty() || rest.starts_with('.') {
                    return Err(PathError::NameMissing);
                }
            }
            '[' => {
                let (part, left) = bracket(rest)?;
                parts.push(part);
                (rest, name_due) = (left, false);
            }
            '\'' | '"' if name_due => {
                let (key, left) = quoted(rest, first)?;
                parts.push(Part::Segment(PathSegment::Key(key)));
                (rest, name_due) = (left, false);
            }
            _ => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (name, left) = rest.split_at_checked(end).unwrap_or((rest, ""));
                parts.push(Part::Segment(if name == "*" {
                    PathSegment::Each
                } else {
                    PathSegment::Key(name.to_owned())
                }));
                (rest, name_due) = (left, false);
            }
        }
    }
    if name_due && !parts.is_empty() { Err(PathError::NameMissing) } else { Ok(parts) }
}

/// Reads one `[…]` and gives back what follows it.
fn bracket(text: &str) -> Result<(Part, &str), PathError> {
    let inner_and_rest = text.get(1..).unwrap_or_default();
    let end = first_outside(inner_and_rest, ']').ok_or(PathError::NotClosed('['))?;
    let inner = inner_and_rest.get(..end).unwrap_or_default().trim();
    let rest = inner_and_rest.get(end + 1..).unwrap_or_default();
    let part = if inner == "*" {
        Part::Segment(PathSegment::Each)
    } else if let Ok(index) = inner.parse::<i64>() {
        Part::Segment(PathSegment::Index(index))
    } else if let Some(quote) = inner.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        match quoted(inner, quote)? {
            (key, "") => Part::Segment(PathSegment::Key(key)),
            _ => Part::Bracket(inner.to_owned()),
        }
    } else if inner.is_empty() {
        return Err(PathError::NameMissing);
    } else if inner.contains(['?', ':', ',', '@', '(']) {
        Part::Bracket(inner.to_owned())
    } else {
        Part::Segment(PathSegment::Key(inner.to_owned()))
    };
    Ok((part, rest))
}

/// Where a character stands first that is neither in quotes nor in brackets.
pub(super) fn first_outside(text: &str, wanted: char) -> Option<usize> {
    let (mut quote, mut escaped, mut depth) = (None, false, 0_usize);
    for (at, char) in text.char_indices() {
        match (quote, char) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if char == open => quote = None,
            (Some(_), _) => {}
            (None, _) if depth == 0 && char == wanted => return Some(at),
            (None, '\'' | '"') => quote = Some(char),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    None
}

/// Reads a quoted name and gives back what follows it.
fn quoted(text: &str, quote: char) -> Result<(String, &str), PathError> {
    let mut name = String::new();
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        if escaped {
            name.push(char);
            escaped = false;
        } else if char == '\\' {
            escaped = true;
        } else if char == quote {
            return Ok((name, text.get(at + 1..).unwrap_or_default()));
        } else {
            name.push(char);
        }
    }
    Err(PathError::NotClosed(quote))
}
