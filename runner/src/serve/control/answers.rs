//! What is answered to a request about dead letters, page by page, so that a listing of thousands takes
//! the memory of a few. The same for a client of the running process and for a command that has the state
//! folder to itself.

use super::{Format, Request, Verb, show};
use crate::limits::store as limits;
use crate::store::{Kept, Payloads, Store, StoreError};

/// An answer under way.
pub struct Answers<'a> {
    store: &'a Store,
    request: Request<'a>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Begun,
    /// Listed up to this number.
    Page {
        after: i64,
        letters: u64,
    },
    Ended,
}

/// Lines, and what follows them.
type Page = (String, State);

impl<'a> Answers<'a> {
    /// The answer to a request about letters. Nothing is done before the first line is asked for.
    pub fn new(store: &'a Store, request: Request<'a>) -> Self {
        Self { store, request, state: State::Begun }
    }

    /// The next lines; the last of all is an [`super::End`]. Dropped half-way, letters are marked or let
    /// go of, or not.
    pub async fn next(&mut self) -> Option<String> {
        let page = match self.state {
            State::Ended => return None,
            State::Begun => self.begin().await,
            State::Page { after, letters } => self.page(String::new(), after, letters).await,
        };
        match page {
            Ok((lines, state)) => {
                self.state = state;
                Some(lines)
            }
            Err(error) => {
                self.state = State::Ended;
                Some(show::end(0, &error))
            }
        }
    }

    async fn begin(&self) -> Result<Page, String> {
        let json = self.request.format == Format::Json;
        match self.request.verb {
            Verb::Status => Err("the status is not about dead letters".into()),
            Verb::Show => self.show().await,
            Verb::Retry => self.retry().await,
            Verb::Drop => self.drop().await,
            Verb::List if !json => self.page(show::heading(), 0, 0).await,
            Verb::List | Verb::Export => self.page(String::new(), 0, 0).await,
        }
    }

    async fn page(&self, mut lines: String, after: i64, letters: u64) -> Result<Page, String> {
        let (payloads, most) = match self.request.verb {
            Verb::Export => (Payloads::With, limits::LETTERS_WITH_PAYLOAD_PER_PAGE),
            _ => (Payloads::Without, limits::LETTERS_PER_PAGE),
        };
        let found = self.store.dead_letters(self.request.pick(), after, most, payloads);
        let found = found.await.map_err(sentence)?;
        let letters = letters + found.len() as u64;
        for kept in &found {
            lines += &match (self.request.verb, self.request.format) {
                (Verb::List, Format::Table) => show::row(kept),
                (Verb::Export, _) => show::json(kept, Payloads::With),
                _ => show::json(kept, Payloads::Without),
            };
        }
        let state = match found.last() {
            Some(last) if found.len() == most as usize => State::Page { after: last.id, letters },
            _ => {
                lines += &show::end(letters, "");
                State::Ended
            }
        };
        Ok((lines, state))
    }

    async fn show(&self) -> Result<Page, String> {
        let kept = self.named().await?;
        let mut lines = match self.request.format {
            Format::Table => show::whole(&kept),
            Format::Json => show::json(&kept, Payloads::With),
        };
        lines += &show::end(1, "");
        Ok((lines, State::Ended))
    }

    /// The one letter that the request names.
    async fn named(&self) -> Result<Kept, String> {
        let id = self.request.id.ok_or("which one? give its number")?;
        let kept = self.store.dead_letter(id).await.map_err(sentence)?;
        kept.ok_or_else(|| format!("there is no dead letter {id}"))
    }

    async fn retry(&self) -> Result<Page, String> {
        if self.request.id.is_some() {
            self.named().await?;
        }
        let marked = self.store.retry_dead_letters(self.request.pick()).await;
        let (marked, cut) = marked.map_err(sentence)?;
        let mut lines = match self.request.format {
            Format::Json => format!("{{\"retried\":{marked},\"cut\":{cut}}}\n"),
            Format::Table => format!("{} will be tried again\n", letters(marked)),
        };
        let error = match cut {
            0 => String::new(),
            _ => format!(
                "{} cannot be tried again: only the first bytes were kept, the message was too large",
                letters(cut)
            ),
        };
        lines += &show::end(marked, &error);
        Ok((lines, State::Ended))
    }

    async fn drop(&self) -> Result<Page, String> {
        if self.request.id.is_some() {
            self.named().await?;
        }
        let dropped = self.store.drop_dead_letters(self.request.pick()).await.map_err(sentence)?;
        let mut lines = match self.request.format {
            Format::Json => format!("{{\"dropped\":{dropped}}}\n"),
            Format::Table => format!("{} dropped\n", letters(dropped)),
        };
        lines += &show::end(dropped, "");
        Ok((lines, State::Ended))
    }
}

fn sentence(error: StoreError) -> String {
    error.to_string()
}

fn letters(number: u64) -> String {
    match number {
        1 => "1 dead letter".into(),
        _ => format!("{number} dead letters"),
    }
}
