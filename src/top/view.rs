//! What the reader of `top` has chosen, and what the fetcher answered last: a key or an answer makes it another. Pure.

use chrono::{DateTime, Utc};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::status::{ReceivedApi, ReceivedStatus};
use crate::status::STATES;

/// How long a search may be.
const SEARCH_CHARS_MAX: usize = 100;

/// What follows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterKey {
    /// Goes on.
    Stay,
    /// Ends.
    Quit,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Screen {
    /// The table.
    #[default]
    Table,
    /// The table, while a search is typed.
    Search,
    /// Everything about the selected API, from this line on.
    Details(u16),
}

/// A fetcher that doesn't answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unanswered {
    /// Since the first of the questions in a row that had no answer.
    pub(super) since: DateTime<Utc>,
    /// Why.
    pub(super) cause: String,
}

/// All that the screen is made of.
#[derive(Clone, Debug, Default)]
pub struct TopView {
    pub(super) status: Option<ReceivedStatus>,
    pub(super) silence: Option<Unanswered>,
    pub(super) screen: Screen,
    pub(super) search: String,
    pub(super) filter: Option<&'static str>,
    /// The name of the selected API: it stays selected when others move.
    selected: Option<String>,
    /// How many rows a page has.
    page: usize,
}

impl TopView {
    /// Takes what the fetcher answered, or why it didn't.
    pub fn answer(&mut self, answer: Result<ReceivedStatus, String>, now: DateTime<Utc>) {
        match answer {
            Ok(status) => {
                self.status = Some(status);
                self.silence = None;
            }
            Err(cause) => {
                let since = self.silence.as_ref().map_or(now, |silence| silence.since);
                self.silence = Some(Unanswered { since, cause });
            }
        }
    }

    /// Takes the height of the terminal.
    pub fn resize(&mut self, rows: u16) {
        self.page = usize::from(rows / 2).max(1);
    }

    /// Takes a key.
    pub fn press(&mut self, key: KeyEvent) -> AfterKey {
        if key.kind == KeyEventKind::Release {
            return AfterKey::Stay;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { AfterKey::Quit } else { AfterKey::Stay };
        }
        match self.screen {
            Screen::Search => self.type_search(key.code),
            Screen::Details(from) => return self.press_in_details(key.code, from),
            Screen::Table => return self.press_in_table(key.code),
        }
        AfterKey::Stay
    }

    fn type_search(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(char) if self.search.chars().count() < SEARCH_CHARS_MAX => self.search.push(char),
            KeyCode::Backspace => drop(self.search.pop()),
            KeyCode::Enter => self.screen = Screen::Table,
            KeyCode::Esc => {
                self.search.clear();
                self.screen = Screen::Table;
            }
            _ => {}
        }
    }

    fn press_in_details(&mut self, key: KeyCode, from: u16) -> AfterKey {
        let page = u16::try_from(self.page).unwrap_or(u16::MAX);
        self.screen = match key {
            KeyCode::Char('q') => return AfterKey::Quit,
            KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace | KeyCode::Left => Screen::Table,
            KeyCode::Up => Screen::Details(from.saturating_sub(1)),
            KeyCode::Down => Screen::Details(from.saturating_add(1)),
            KeyCode::PageUp => Screen::Details(from.saturating_sub(page)),
            KeyCode::PageDown => Screen::Details(from.saturating_add(page)),
            KeyCode::Home => Screen::Details(0),
            _ => Screen::Details(from),
        };
        AfterKey::Stay
    }

    fn press_in_table(&mut self, key: KeyCode) -> AfterKey {
        let (at, page) = (self.selected_row(), self.page);
        match key {
            KeyCode::Char('q') => return AfterKey::Quit,
            KeyCode::Char('/') => self.screen = Screen::Search,
            KeyCode::Char('f') => self.filter = self.next_filter(),
            KeyCode::Esc => (self.filter, self.search) = (None, String::new()),
            KeyCode::Up => self.select(at.saturating_sub(1)),
            KeyCode::Down => self.select(at.saturating_add(1)),
            KeyCode::PageUp => self.select(at.saturating_sub(page)),
            KeyCode::PageDown => self.select(at.saturating_add(page)),
            KeyCode::Home => self.select(0),
            KeyCode::End => self.select(usize::MAX),
            KeyCode::Enter if self.selected_api().is_some() => {
                self.select(at);
                self.screen = Screen::Details(0);
            }
            _ => {}
        }
        AfterKey::Stay
    }

    /// The next state of those that there are, the worst first; after the last one all are shown.
    fn next_filter(&self) -> Option<&'static str> {
        let after = self.filter.and_then(|state| STATES.iter().position(|known| *known == state));
        let apis = self.status.as_ref().map(|status| status.apis.as_slice()).unwrap_or_default();
        let rest = STATES.into_iter().skip(after.map_or(0, |at| at + 1));
        rest.into_iter().find(|state| apis.iter().any(|api| api.state.as_str() == *state))
    }

    fn select(&mut self, row: usize) {
        let chosen = self.chosen();
        let row = row.min(chosen.len().saturating_sub(1));
        let name = chosen.get(row).map(|api| api.name.to_string());
        self.selected = name;
    }

    /// The APIs that are shown, in order.
    pub(super) fn chosen(&self) -> Vec<&ReceivedApi> {
        let sought = self.search.to_lowercase();
        let apis = self.status.iter().flat_map(|status| &status.apis);
        let is_chosen = |api: &&ReceivedApi| {
            self.filter.is_none_or(|state| api.state.as_str() == state) && (sought.is_empty() || api.holds(&sought))
        };
        apis.filter(is_chosen).collect()
    }

    /// In which of the shown rows the selected API is; in the first if it isn't among them.
    pub(super) fn selected_row(&self) -> usize {
        let Some(name) = &self.selected else { return 0 };
        self.chosen().iter().position(|api| api.name.as_str() == name).unwrap_or_default()
    }

    /// The API that is selected.
    pub(super) fn selected_api(&self) -> Option<&ReceivedApi> {
        if let (Screen::Details(_), Some(name)) = (self.screen, &self.selected) {
            // Whatever it is now: it may have left what is searched for.
            return self.status.as_ref()?.apis.iter().find(|api| api.name.as_str() == name);
        }
        self.chosen().get(self.selected_row()).copied()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::status::tests::status;
    use super::*;
    use crate::status::test::NOW;

    fn press(view: &mut TopView, keys: &[KeyCode]) -> AfterKey {
        keys.iter().map(|key| view.press(KeyEvent::from(*key))).last().unwrap_or(AfterKey::Stay)
    }

    fn typed(text: &str) -> Vec<KeyCode> {
        text.chars().map(KeyCode::Char).collect()
    }

    fn view() -> TopView {
        let mut view = TopView::default();
        view.answer(Ok(status(&[("ok 1", 0), ("ok 2", 0), ("bad", 3), ("shaky", 1)])), *NOW);
        view.resize(4);
        view
    }

    fn names(view: &TopView) -> Vec<&str> {
        view.chosen().into_iter().map(|api| api.name.as_str()).collect()
    }

    #[test]
    fn a_selected_api_stays_selected_when_the_rows_move() {
        let mut view = view();
        press(&mut view, &[KeyCode::Down, KeyCode::Down]);
        assert_eq!(view.selected_api().unwrap().name.as_str(), "ok 1");
        view.answer(Ok(status(&[("ok 1", 3), ("ok 2", 0), ("bad", 0)])), *NOW);
        assert_eq!((view.selected_api().unwrap().name.as_str(), view.selected_row()), ("ok 1", 0));
        press(&mut view, &[KeyCode::PageDown]);
        assert_eq!(view.selected_row(), 2);
        press(&mut view, &[KeyCode::PageDown, KeyCode::Down]);
        assert_eq!(view.selected_row(), 2, "it is the last one");
        press(&mut view, &[KeyCode::PageUp, KeyCode::Up, KeyCode::Up]);
        assert_eq!(view.selected_row(), 0);
        press(&mut view, &[KeyCode::End, KeyCode::Home]);
        assert_eq!(view.selected_row(), 0);
    }

    #[test]
    fn a_search_and_a_filter_choose_rows_until_escape() {
        let mut view = view();
        press(&mut view, &[KeyCode::Char('/')]);
        assert_eq!(press(&mut view, &typed("OK q")), AfterKey::Stay, "a q is typed");
        press(&mut view, &[KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!(names(&view), ["ok 1", "ok 2"]);
        press(&mut view, &[KeyCode::Esc]);
        let mut seen = Vec::new();
        for _ in 0..4 {
            press(&mut view, &typed("f"));
            seen.push((view.filter, names(&view).len()));
        }
        assert_eq!(seen, [(Some("failing"), 1), (Some("retrying"), 1), (Some("ok"), 2), (None, 4)]);
        press(&mut view, &typed("/x"));
        press(&mut view, &[KeyCode::Esc]);
        assert_eq!(names(&view).len(), 4);
    }

    #[test]
    fn details_are_of_one_api_while_it_is_there() {
        let mut view = view();
        press(&mut view, &[KeyCode::Enter, KeyCode::Down]);
        assert_eq!((view.screen, view.selected_api().unwrap().name.as_str()), (Screen::Details(1), "bad"));
        view.answer(Ok(status(&[("ok 1", 0)])), *NOW);
        assert!(view.selected_api().is_none());
        press(&mut view, &[KeyCode::Esc]);
        assert_eq!((view.screen, view.selected_row()), (Screen::Table, 0));
    }

    #[test]
    fn q_and_control_c_quit_and_a_released_key_is_none() {
        let mut view = view();
        assert_eq!(press(&mut view, &typed("q")), AfterKey::Quit);
        press(&mut view, &typed("/"));
        assert_eq!(view.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), AfterKey::Quit);
        let released = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(view.press(released), AfterKey::Stay);
        let mut empty = TopView::default();
        let keys = [KeyCode::Enter, KeyCode::Down, KeyCode::End, KeyCode::PageUp, KeyCode::Char('f')];
        assert_eq!((press(&mut empty, &keys), empty.screen), (AfterKey::Stay, Screen::Table));
    }

    #[test]
    fn a_fetcher_is_silent_since_the_first_question_without_an_answer() {
        let mut view = view();
        let later = *NOW + TimeDelta::seconds(2);
        view.answer(Err("refused".to_owned()), *NOW);
        view.answer(Err("timeout".to_owned()), later);
        assert_eq!(view.silence, Some(Unanswered { since: *NOW, cause: "timeout".to_owned() }));
        assert_eq!(names(&view).len(), 4);
        view.answer(Ok(status(&[("a", 0)])), later);
        assert_eq!(view.silence, None);
    }
}
