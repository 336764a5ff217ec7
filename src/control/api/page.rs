//! Pages: how many items somebody asks for, and where a page begins.
//!
//! A cursor is a place in its list, which stays what it is whatever comes later; its form is nobody's business.

use std::str::FromStr;

use crate::control::problem::Problem;
use crate::limits::{API_PAGE, API_PAGE_MAX};

/// How many items, within what one page may hold.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    limit_up_to(asked, API_PAGE_MAX)
}

/// The same with another most.
pub(super) fn limit_up_to(asked: Option<usize>, most: usize) -> Result<usize, Problem> {
    match asked.unwrap_or(API_PAGE) {
        limit if (1..=most).contains(&limit) => Ok(limit),
        limit => Err(Problem::bad_request(format!("limit is {limit}; a page has 1 to {most} items"))),
    }
}

/// A moment, ns since the Unix epoch, as a clock can show one.
pub(super) fn moment(asked: Option<u64>) -> Result<Option<u64>, Problem> {
    match asked {
        Some(ns) if i64::try_from(ns).is_err() => {
            Err(Problem::bad_request(format!("{ns} ns is no time, it is too late")))
        }
        moment => Ok(moment),
    }
}

/// Where the page begins.
pub(super) fn cursor<C: FromStr<Err = String>>(asked: Option<String>) -> Result<Option<C>, Problem> {
    asked.map(|text| text.parse()).transpose().map_err(Problem::bad_request)
}

/// Where something stands in a list by age: when it came to be, and its id.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ByAge(pub(super) u64, pub(super) String);

/// The page of a list by age, the latest first, that begins where the cursor says; and the cursor of the next one.
pub(super) fn by_age<T>(
    mut all: Vec<T>,
    limit: usize,
    asked: Option<String>,
    place: impl Fn(&T) -> ByAge,
) -> Result<(Vec<T>, Option<String>), Problem> {
    if let Some(from) = cursor::<ByAge>(asked)? {
        all.retain(|one| place(one) < from);
    }
    let next_cursor = all.get(limit - 1).filter(|_| all.len() > limit).map(|last| place(last).to_string());
    all.truncate(limit);
    Ok((all, next_cursor))
}

impl std::fmt::Display for ByAge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}-{}", self.0, self.1)
    }
}

impl FromStr for ByAge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-').and_then(|(at, id)| Some((u64::from_str_radix(at, 16).ok()?, id)));
        let (at_ns, id) = parts.ok_or_else(|| "that cursor is not one of this list".to_owned())?;
        Ok(ByAge(at_ns, id.to_owned()))
    }
}
