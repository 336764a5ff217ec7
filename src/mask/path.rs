//! Field paths of the policy.
//!
//! | path | names |
//! |---|---|
//! | `card.number` | the field `number` of the field `card` of a document |
//! | `**.pan` | the field `pan`, however deep |
//! | `card.*` | every field of `card` |
//! | `items.iban`, `items[*].iban` | the same: arrays are looked through, whether or not the path says so |
//! | `"a.b".c` | the field `c` of a field whose name has a dot |
//! | `$value` | the whole value, whatever it is; `$value.card` is `card` |
//! | `$key`, `$key.id` | the record's key, whole; a field of a key that is JSON |
//! | `headers.NAME` | the headers of that name, dots and all |
//!
//! Names are compared byte for byte.

use std::fmt;
use std::str::FromStr;

/// A path, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    text: String,
    target: Target,
}

/// What of a record a path is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Fields of the value; no segment: all of it.
    Value(Vec<Segment>),
    /// Fields of the key; no segment: all of it.
    Key(Vec<Segment>),
    /// The headers of this name.
    Header(String),
}

/// One step of a path, from an object to its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// `x`: the fields of this name.
    Name(String),
    /// `*`: every field.
    Any,
    /// `**`: any number of steps, none included.
    Deep,
}

/// What is wrong with a path, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at character {at}")]
pub struct PathError {
    /// Which character, counted from one.
    pub at: usize,
    /// What is wrong there.
    pub problem: PathProblem,
}

/// What can be wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// Nothing between two dots.
    #[error("a field's name is missing")]
    Empty,
    /// `[0]` and the like.
    #[error("only `[*]` can stand in brackets: all elements of an array are masked alike")]
    Brackets,
    /// A quote that is not closed, or text behind it.
    #[error("a quoted name has to end with a quote, and a dot has to follow")]
    Quote,
    /// `**` without a name behind it.
    #[error("`**` needs a field's name behind it")]
    Open,
    /// `$x`.
    #[error("only `$key` and `$value` begin with a dollar sign; quote a field's name that does")]
    Dollar,
    /// More segments than any document is deep.
    #[error("more than {} segments", Path::SEGMENTS_MAX)]
    Long,
}

impl Path {
    /// Segments of a path: more than schemas nest.
    pub const SEGMENTS_MAX: usize = 64;

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it is about.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let target = if let Some(name) = text.strip_prefix("headers.") {
            if name.is_empty() {
                return Err(Reader { text, at: text.len() }.error(PathProblem::Empty));
            }
            Target::Header(name.to_owned())
        } else if let Some(rest) = after_root(text, "$key") {
            Target::Key(segments(text, rest)?)
        } else if let Some(rest) = after_root(text, "$value") {
            Target::Value(segments(text, rest)?)
        } else if text.starts_with('$') {
            return Err(PathError { at: 1, problem: PathProblem::Dollar });
        } else {
            Target::Value(segments(text, Some(0))?)
        };
        Ok(Path { text: text.to_owned(), target })
    }
}

/// Where the segments behind `root` begin, if `text` begins with it: none where nothing follows.
#[allow(clippy::option_option, reason = "not this root; this root alone; this root and segments")]
fn after_root(text: &str, root: &str) -> Option<Option<usize>> {
    match text.strip_prefix(root)?.bytes().next() {
        None => Some(None),
        Some(b'.') => Some(Some(root.len() + 1)),
        Some(b'[') => Some(Some(root.len())),
        Some(_) => None,
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// Reads the segments from `start` on.
fn segments(text: &str, start: Option<usize>) -> Result<Vec<Segment>, PathError> {
    let Some(start) = start else { return Ok(Vec::new()) };
    let mut reader = Reader { text, at: start };
    let mut segments = Vec::new();
    loop {
        let began = reader.at;
        let segment = reader.segment()?;
        let elements = reader.elements()?;
        match segment {
            Some(segment) => segments.push(segment),
            // A document that is an array: `[*].x`.
            None if elements && began == start => {}
            None => return Err(Reader { text, at: began }.error(PathProblem::Empty)),
        }
        if segments.len() > Path::SEGMENTS_MAX {
            return Err(reader.error(PathProblem::Long));
        }
        match reader.rest().bytes().next() {
            None if segments.last() == Some(&Segment::Deep) => return Err(reader.error(PathProblem::Open)),
            None => return Ok(segments),
            Some(b'.') => reader.at += 1,
            Some(b']') => return Err(reader.error(PathProblem::Brackets)),
            Some(_) => return Err(reader.error(PathProblem::Quote)),
        }
    }
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn error(&self, problem: PathProblem) -> PathError {
        PathError { at: self.text[..self.at].chars().count() + 1, problem }
    }

    /// A name, `*` or `**`; none where there is nothing.
    fn segment(&mut self) -> Result<Option<Segment>, PathError> {
        if self.rest().starts_with('"') {
            return self.quoted().map(Some);
        }
        let end = self.rest().find(['.', '[', ']', '"']).unwrap_or(self.rest().len());
        let segment = match &self.rest()[..end] {
            "" => None,
            "*" => Some(Segment::Any),
            "**" => Some(Segment::Deep),
            name => Some(Segment::Name(name.to_owned())),
        };
        self.at += end;
        Ok(segment)
    }

    /// A name in quotes, in which `\"` and `\\` stand for themselves.
    fn quoted(&mut self) -> Result<Segment, PathError> {
        let (mut name, mut escaped) = (String::new(), false);
        for (i, c) in self.rest().char_indices().skip(1) {
            match c {
                _ if escaped => {
                    name.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.at += i + 1;
                    return Ok(Segment::Name(name));
                }
                c => name.push(c),
            }
        }
        Err(self.error(PathProblem::Quote))
    }

    /// Any number of `[*]`; whether there was one.
    fn elements(&mut self) -> Result<bool, PathError> {
        let mut any = false;
        while self.rest().starts_with('[') {
            if !self.rest().starts_with("[*]") {
                return Err(self.error(PathProblem::Brackets));
            }
            self.at += "[*]".len();
            any = true;
        }
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(names: &[&str]) -> Vec<Segment> {
        let segment = |name: &&str| match *name {
            "*" => Segment::Any,
            "**" => Segment::Deep,
            name => Segment::Name(name.to_owned()),
        };
        names.iter().map(segment).collect()
    }

    #[test]
    fn paths_of_every_form_are_read() {
        let value = |text: &str, expected: &[&str]| {
            assert_eq!(text.parse::<Path>().unwrap().target, Target::Value(names(expected)), "{text}");
        };
        value("pan", &["pan"]);
        value("card.number", &["card", "number"]);
        value("**.pan", &["**", "pan"]);
        value("a.**.b.*", &["a", "**", "b", "*"]);
        value("items[*].iban", &["items", "iban"]);
        value("rows[*][*].x[*]", &["rows", "x"]);
        value("[*].x", &["x"]);
        value(r#""a.b".c"#, &["a.b", "c"]);
        value(r#""a\"\\[".ü"#, &["a\"\\[", "ü"]);
        value("$value", &[]);
        value("$value.headers.x", &["headers", "x"]);
        value("a$.b-c d", &["a$", "b-c d"]);
        value(r#""$x""#, &["$x"]);
        assert_eq!("$key".parse::<Path>().unwrap().target, Target::Key(vec![]));
        assert_eq!("$key.id".parse::<Path>().unwrap().target, Target::Key(names(&["id"])));
        assert_eq!("headers.x-user.id".parse::<Path>().unwrap().target, Target::Header("x-user.id".to_owned()));
        assert_eq!("**.pan".parse::<Path>().unwrap().to_string(), "**.pan");
    }

    #[test]
    fn what_is_wrong_with_a_path_is_said_with_its_place() {
        let error = |text: &str, at: usize, problem: PathProblem| {
            assert_eq!(text.parse::<Path>().unwrap_err(), PathError { at, problem }, "{text}");
        };
        error("", 1, PathProblem::Empty);
        error("a..b", 3, PathProblem::Empty);
        error("ü.", 3, PathProblem::Empty);
        error("$key.", 6, PathProblem::Empty);
        error("headers.", 9, PathProblem::Empty);
        error("a.[*]", 3, PathProblem::Empty);
        error("items[0].x", 6, PathProblem::Brackets);
        error("items[*.x", 6, PathProblem::Brackets);
        error("items].x", 6, PathProblem::Brackets);
        error(r#"a."b"#, 3, PathProblem::Quote);
        error(r#""a"b"#, 4, PathProblem::Quote);
        error("a[*]b", 5, PathProblem::Quote);
        error("a.**", 5, PathProblem::Open);
        error("$x", 1, PathProblem::Dollar);
        error("$keys", 1, PathProblem::Dollar);
        error(&["a"; 65].join("."), 130, PathProblem::Long);
        assert_eq!("a..b".parse::<Path>().unwrap_err().to_string(), "a field's name is missing at character 3");
    }
}
