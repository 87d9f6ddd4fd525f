//! Which route takes a path: exact segments before captures before a wildcard, from left to right, so that the route
//! that says most wins. Pure.

use std::cmp::Ordering;
use std::fmt;

use crate::limits::http as limits;

/// A route: segments, some of which match any, and perhaps whatever follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    segments: Vec<Segment>,
    /// Whatever follows belongs to it.
    has_tail: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Exact(String),
    Capture(String),
}

/// What is no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// It has too many bytes.
    #[error("a route has at most {0} bytes")]
    TooLong(usize),
    /// A wildcard that is not its end.
    #[error("`...` and `*` stand at the end, as a segment of their own, like /files/...")]
    Wildcard,
    /// A capture without a proper name.
    #[error("`:{0}` captures nothing: a name has letters, digits, `-` and `_`, like /users/:id")]
    Capture(String),
    /// A name given twice.
    #[error("`:{0}` stands there twice")]
    Twice(String),
    /// What no path has.
    #[error("{0:?} is in no path: a route has printable ASCII without blanks, `?` and `#`")]
    Character(char),
}

impl Route {
    /// Reads a route as a manifest has it: without a slash at its beginning it gets one, one at its end is ignored.
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        if text.len() > limits::ROUTE_BYTES_MAX {
            return Err(RouteError::TooLong(limits::ROUTE_BYTES_MAX));
        }
        let stranger = |c: &char| !c.is_ascii_graphic() || matches!(c, '?' | '#');
        if let Some(stranger) = text.chars().find(stranger) {
            return Err(RouteError::Character(stranger));
        }
        let mut route = Self { segments: Vec::new(), has_tail: false };
        for segment in split(text) {
            if route.has_tail {
                return Err(RouteError::Wildcard);
            }
            match segment {
                "..." | "*" => route.has_tail = true,
                _ => route.push(segment)?,
            }
        }
        Ok(route)
    }

    fn push(&mut self, segment: &str) -> Result<(), RouteError> {
        let Some(name) = segment.strip_prefix(':') else {
            if segment.contains("...") || segment.contains('*') {
                return Err(RouteError::Wildcard);
            }
            self.segments.push(Segment::Exact(segment.to_owned()));
            return Ok(());
        };
        let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(is_fine) {
            return Err(RouteError::Capture(name.to_owned()));
        }
        let segment = Segment::Capture(name.to_owned());
        if self.segments.contains(&segment) {
            return Err(RouteError::Twice(name.to_owned()));
        }
        self.segments.push(segment);
        Ok(())
    }

    /// The route without what follows: where its component is at home.
    pub fn base(&self) -> String {
        let base = Self { has_tail: false, ..self.clone() };
        match base.segments.is_empty() {
            true => String::new(),
            false => base.to_string(),
        }
    }

    /// The same route below another, which is plain.
    pub fn below(&self, base: &Self) -> Self {
        let segments = base.segments.iter().chain(&self.segments).cloned().collect();
        Self { segments, has_tail: self.has_tail }
    }

    /// Whether it ends in a wildcard.
    pub fn is_open(&self) -> bool {
        self.has_tail
    }

    /// Whether it takes one path and no other.
    pub fn is_plain(&self) -> bool {
        !self.has_tail && self.segments.iter().all(|it| matches!(it, Segment::Exact(_)))
    }

    /// Whether its first segments are these, and nothing else would do.
    pub fn begins_with(&self, segments: &[&str]) -> bool {
        let is = |(at, text): (usize, &&str)| matches!(self.segments.get(at), Some(Segment::Exact(it)) if it == text);
        segments.iter().enumerate().all(is)
    }

    fn order(&self) -> Vec<u8> {
        let rank = |segment: &Segment| match segment {
            Segment::Exact(_) => 0,
            Segment::Capture(_) => 1,
        };
        let end = if self.has_tail { 3 } else { 2 };
        self.segments.iter().map(rank).chain([end]).collect()
    }

    /// Whether every path that one takes the other would take too.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |(one, other): (&Segment, &Segment)| match (one, other) {
            (Segment::Exact(one), Segment::Exact(other)) => one == other,
            (Segment::Capture(_), Segment::Capture(_)) => true,
            _ => false,
        };
        self.has_tail == other.has_tail
            && self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(same)
    }

    fn matches<'a>(&'a self, path: &[&'a str]) -> Option<Vec<(&'a str, &'a str)>> {
        let fits = match self.has_tail {
            true => path.len() >= self.segments.len(),
            false => path.len() == self.segments.len(),
        };
        if !fits {
            return None;
        }
        let mut captures = Vec::new();
        for (segment, found) in self.segments.iter().zip(path) {
            match segment {
                Segment::Exact(text) if text == found => {}
                Segment::Capture(name) if !found.is_empty() => captures.push((&**name, *found)),
                _ => return None,
            }
        }
        Some(captures)
    }
}

/// As it is understood: with a slash first, and none at its end.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Exact(text) => write!(f, "/{text}")?,
                Segment::Capture(name) => write!(f, "/:{name}")?,
            }
        }
        match (self.has_tail, self.segments.is_empty()) {
            (true, _) => f.write_str("/..."),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

/// The segments of a path or route.
fn split(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    (!path.is_empty()).then(|| path.split('/')).into_iter().flatten()
}

/// Routes, and what each leads to.
#[derive(Clone, Debug)]
pub struct Router<T> {
    /// Those that say more first.
    routes: Vec<(Route, T)>,
}

/// A route that takes a path.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'a, T> {
    /// What it leads to.
    pub to: &'a T,
    /// It.
    pub route: &'a Route,
    /// What its captures stand for.
    pub captures: Vec<(&'a str, &'a str)>,
    /// What its wildcard stands for, with a slash first; empty if it has none.
    pub rest: String,
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self { routes: Vec::new() }
    }
}

impl<T> Router<T> {
    /// One more route. What it takes the place of, if there was one like it.
    pub fn add(&mut self, route: Route, to: T) -> Option<(Route, T)> {
        let same = self.routes.iter_mut().find(|(known, _)| known.is_same(&route));
        if let Some(same) = same {
            return Some(std::mem::replace(same, (route, to)));
        }
        let order = route.order();
        let before = |(known, _): &(Route, T)| known.order().cmp(&order) != Ordering::Greater;
        let at = self.routes.partition_point(before);
        self.routes.insert(at, (route, to));
        None
    }

    /// All of them, those that say more first.
    pub fn routes(&self) -> impl Iterator<Item = (&Route, &T)> {
        self.routes.iter().map(|(route, to)| (route, to))
    }

    /// The route that takes this path.
    pub fn find<'a>(&'a self, path: &'a str) -> Option<Found<'a, T>> {
        let segments: Vec<&str> = split(path).collect();
        self.routes.iter().find_map(|(route, to)| {
            let captures = route.matches(&segments)?;
            let rest = match route.has_tail {
                true => rest(&segments[route.segments.len()..], path),
                false => String::new(),
            };
            Some(Found { to, route, captures, rest })
        })
    }
}

fn rest(segments: &[&str], path: &str) -> String {
    let mut rest: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
    if path.ends_with('/') {
        rest.push('/');
    }
    rest
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn router(routes: &[&str]) -> Router<String> {
        let mut router = Router::default();
        for route in routes {
            router.add(Route::parse(route).unwrap(), (*route).to_owned());
        }
        router
    }

    /// The route that takes the path, its captures and the rest.
    fn found(router: &Router<String>, path: &str) -> Option<(String, String, String)> {
        let found = router.find(path)?;
        let captures: Vec<String> =
            found.captures.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Some((found.to.clone(), captures.join(","), found.rest))
    }

    #[test]
    fn the_route_that_says_most_takes_a_path() {
        let router = router(&[
            "/...", "/a", "a/b/", "/a/:x", "/a/:x/c", "/a/...", "/a/b/...", "/:y/z", "/f/:n/*",
        ]);
        for (path, route, captures, rest) in [
            ("/", "/...", "", "/"),
            ("/q/r?", "/...", "", "/q/r?"),
            ("/a", "/a", "", ""),
            ("/a/", "/a", "", ""),
            ("/a/b", "a/b/", "", ""),
            ("/a/b/c", "/a/b/...", "", "/c"),
            ("/a/q", "/a/:x", "x=q", ""),
            ("/a/q/c", "/a/:x/c", "x=q", ""),
            ("/a/q/d/", "/a/...", "", "/q/d/"),
            ("/a//", "/a/...", "", "//"),
            ("/q/z", "/:y/z", "y=q", ""),
            ("/f/1", "/f/:n/*", "n=1", ""),
            ("/f/1/", "/f/:n/*", "n=1", "/"),
            ("/f/1/2/3", "/f/:n/*", "n=1", "/2/3"),
            ("/%61", "/...", "", "/%61"),
        ] {
            let expected = (route.to_owned(), captures.to_owned(), rest.to_owned());
            assert_eq!(found(&router, path), Some(expected), "{path}");
        }
    }

    #[test]
    fn what_no_route_takes_is_not_found() {
        let router = router(&["/a", "/b/:x"]);
        for path in ["/", "/b", "/b/", "/A", "/a/b", "/ab", "//a"] {
            assert_eq!(found(&router, path), None, "{path}");
        }
    }

    #[test]
    fn of_two_routes_alike_the_later_takes_the_place() {
        let mut router = router(&["/a/:x", "/b"]);
        let replaced = router.add(Route::parse("a/:y/").unwrap(), "new".into());
        assert_eq!(replaced.map(|(_, to)| to).as_deref(), Some("/a/:x"));
        assert_eq!(found(&router, "/a/1").unwrap().0, "new");
        assert_eq!(router.routes().count(), 2);
    }

    #[test]
    fn a_route_is_shown_as_it_is_understood() {
        for (text, shown, base) in [
            ("", "/", ""),
            ("/", "/", ""),
            ("a/b/", "/a/b", "/a/b"),
            ("/...", "/...", ""),
            ("/a/:id/*", "/a/:id/...", "/a/:id"),
        ] {
            let route = Route::parse(text).unwrap();
            assert_eq!((route.to_string(), route.base()), (shown.into(), base.into()), "{text}");
        }
        let begins = |route: &str| Route::parse(route).unwrap().begins_with(&["a", "b"]);
        assert!(begins("/a/b/c") && begins("/a/b") && begins("/a/b/..."));
        assert!(!begins("/a") && !begins("/a/:b/c") && !begins("/a/..."));
    }

    #[test]
    fn what_is_no_route_is_refused_in_a_sentence() {
        for (text, sentence) in [
            ("/.../a", "at the end"),
            ("/*/a", "at the end"),
            ("/a*", "at the end"),
            ("/a...", "at the end"),
            ("/:", "captures nothing"),
            ("/:a b", "is in no path"),
            ("/:ä", "is in no path"),
            ("/:a/:a", "twice"),
            ("/a?b", "is in no path"),
            ("/a#b", "is in no path"),
        ] {
            let error = Route::parse(text).unwrap_err().to_string();
            assert!(error.contains(sentence), "{text}: {error}");
        }
        assert!(Route::parse(&"/a".repeat(600)).is_err());
    }
}
