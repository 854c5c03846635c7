//! The screen: a view becomes lines. Pure but for the frame that it draws on.

use chrono::{DateTime, Utc};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table, Wrap};

use super::status::{ReceivedApi, ReceivedStatus};
use super::text::{HEADINGS, alerts, cells, counts, details, moment, title};
use super::view::{Screen, TopView, Unanswered};
use crate::text::humanize::span;

/// How many lines before the table say why APIs fail.
const ALERTS_MAX: usize = 4;
/// In a terminal with fewer rows the table gets them instead.
const ALERTS_ROWS_MIN: u16 = 14;
/// The widths of all columns but the name's, which takes the rest.
const WIDTHS: [Constraint; 6] = [
    Constraint::Length(8),
    Constraint::Fill(1),
    Constraint::Length(12),
    Constraint::Length(12),
    Constraint::Length(9),
    Constraint::Length(9),
];
const KEYS: &str = "q quit  / search  f filter  Enter details  arrows, PgUp, PgDn scroll";
const KEYS_OF_DETAILS: &str = "q quit  Esc back  arrows, PgUp, PgDn scroll";
const KEYS_OF_SEARCH: &str = "Enter keep  Esc clear";

/// Draws what there is to see now.
pub fn draw(view: &TopView, frame: &mut Frame<'_>, now: DateTime<Utc>) {
    let mut head = head(view, now);
    if frame.area().height >= ALERTS_ROWS_MIN && !matches!(view.screen, Screen::Details(_)) {
        let alerts = view.status.as_ref().map(alerts).unwrap_or_default();
        head.extend(alerts.into_iter().take(ALERTS_MAX).map(|alert| Line::styled(alert, Style::new().fg(Color::Red))));
    }
    let lines = u16::try_from(head.len()).unwrap_or(u16::MAX);
    let areas = Layout::vertical([Constraint::Length(lines), Constraint::Min(0), Constraint::Length(1)]);
    let [above, middle, below] = areas.areas(frame.area());
    frame.render_widget(Paragraph::new(head), above);
    match (view.screen, &view.status) {
        (Screen::Details(from), Some(status)) => draw_details(view, status, from, frame, middle),
        (_, Some(status)) => draw_table(view, status, frame, middle),
        (_, None) => {}
    }
    frame.render_widget(Paragraph::new(foot(view)), below);
}

/// Which fetcher, how many APIs in which state; and first of all whether that is still so.
fn head(view: &TopView, now: DateTime<Utc>) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(Unanswered { since, cause }) = &view.silence {
        let text = format!(
            "NO ANSWER since {} ({}): {cause}",
            moment(Some(*since), now),
            span(now.signed_duration_since(*since))
        );
        lines.push(Line::styled(text, Style::new().fg(Color::Red).add_modifier(Modifier::BOLD | Modifier::REVERSED)));
    }
    match &view.status {
        None if view.silence.is_none() => lines.push(Line::raw("asking the fetcher …")),
        None => {}
        Some(status) => {
            let as_of = if view.silence.is_some() { "what follows is of " } else { "" };
            lines.push(Line::raw(format!("{as_of}{}", title(status))));
            lines.push(Line::styled(counts(status), Style::new().add_modifier(Modifier::BOLD)));
        }
    }
    lines
}

fn foot(view: &TopView) -> Line<'static> {
    let keys = |text| Span::styled(text, Style::new().add_modifier(Modifier::DIM));
    let filter = view.filter.map(|state| format!("[{state}] ")).unwrap_or_default();
    let search = if view.search.is_empty() { String::new() } else { format!("[/{}] ", view.search) };
    match view.screen {
        Screen::Search => Line::from(vec![Span::raw(format!("/{}▏  ", view.search)), keys(KEYS_OF_SEARCH)]),
        Screen::Details(_) => Line::from(keys(KEYS_OF_DETAILS)),
        Screen::Table => Line::from(vec![Span::raw(filter + &search), keys(KEYS)]),
    }
}

fn draw_table(view: &TopView, status: &ReceivedStatus, frame: &mut Frame<'_>, area: Rect) {
    let chosen = view.chosen();
    if chosen.is_empty() {
        let text = if status.apis.is_empty() { "No API runs." } else { "No API matches. Esc shows all." };
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    // The selected row stands in the middle, where there are more rows than fit.
    let (selected, height) = (view.selected_row(), usize::from(area.height.saturating_sub(1)));
    let first = selected.saturating_sub(height / 2).min(chosen.len().saturating_sub(height));
    let row = |(at, api): (usize, &&ReceivedApi)| {
        let style = Style::new().fg(color(api.state.as_str()));
        let is_selected = first + at == selected;
        let style = if is_selected { style.add_modifier(Modifier::REVERSED) } else { style };
        Row::new(cells(api, status.now)).style(style)
    };
    let rows = chosen.iter().skip(first).take(height).enumerate().map(row);
    let heading = Row::new(HEADINGS).style(Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED));
    frame.render_widget(Table::new(rows, WIDTHS).header(heading).column_spacing(1), area);
}

fn draw_details(view: &TopView, status: &ReceivedStatus, from: u16, frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<Line<'_>> = match view.selected_api() {
        None => vec![Line::raw("This API is no longer in the config. Esc goes back.")],
        Some(api) => {
            let bold = Style::new().add_modifier(Modifier::BOLD);
            let title = Line::styled(api.name.to_string(), bold.fg(color(api.state.as_str())));
            let pair = |(heading, text): (&'static str, String)| {
                Line::from(vec![Span::styled(format!("{heading:<15}"), bold), Span::raw(text)])
            };
            [title, Line::raw("")].into_iter().chain(details(api, status.now).into_iter().map(pair)).collect()
        }
    };
    // The last line stays in sight.
    let last = u16::try_from(lines.len().saturating_sub(1)).unwrap_or(u16::MAX);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).scroll((from.min(last), 0)), area);
}

fn color(state: &str) -> Color {
    match state {
        "ok" => Color::Reset,
        "starting" | "stopped" => Color::DarkGray,
        "waiting" => Color::Cyan,
        "warning" | "retrying" => Color::Yellow,
        _ => Color::Red,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent};

    use super::super::status::tests::status;
    use super::*;
    use crate::status::test::NOW;

    fn drawn(view: &TopView, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(view, frame, *NOW + TimeDelta::seconds(34))).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let line = |row| (0..width).map(|column| buffer[(column, row)].symbol()).collect::<String>();
        (0..height).map(|row| line(row).trim_end().to_owned()).collect()
    }

    fn view(apis: &[(&str, u32)]) -> TopView {
        let mut view = TopView::default();
        view.resize(24);
        view.answer(Ok(status(apis)), *NOW);
        view
    }

    #[test]
    fn eighty_columns_hold_the_table() {
        let screen = drawn(&view(&[("cisco-events-of-tenant", 0), ("graph", 3)]), 80, 24);
        assert_eq!(screen[1], "2 APIs: 1 failing, 1 OK");
        assert!(screen[2].starts_with("401 from login.example.com: 1 API"), "{screen:#?}");
        assert!(screen[3].starts_with("State    API") && screen[3].ends_with("Records/h"), "{screen:#?}");
        assert!(screen[4].starts_with("failing  graph ") && screen[5].starts_with("OK       cisco-events-of-tenant "));
        assert_eq!(screen[23], KEYS);
    }

    #[test]
    fn what_is_old_says_so() {
        let mut view = view(&[("a", 0)]);
        view.answer(Err("connection refused".to_owned()), *NOW);
        let screen = drawn(&view, 80, 24);
        assert!(screen[0].starts_with("NO ANSWER since ") && screen[0].ends_with("(34 s): connection refused"));
        assert!(screen[1].starts_with("what follows is of "), "{screen:#?}");
        let mut never = TopView::default();
        assert_eq!(drawn(&never, 80, 24)[0], "asking the fetcher …");
        never.answer(Err("no fetcher".to_owned()), *NOW);
        assert!(drawn(&never, 80, 24)[0].contains("no fetcher"));
    }

    #[test]
    fn details_show_the_error_with_the_step_to_take() {
        let mut view = view(&[("a", 0), ("graph", 3)]);
        view.press(KeyEvent::from(KeyCode::Enter));
        let screen = drawn(&view, 80, 30).join("\n");
        for text in ["graph", "Failing since", "expired", "What to do     check the credentials", "Esc back"] {
            assert!(screen.contains(text), "`{text}` is missing in {screen}");
        }
    }

    #[test]
    fn the_selected_row_is_in_sight_among_many() {
        let names: Vec<String> = (0..300).map(|number| format!("api-{number:03}")).collect();
        let apis: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 0)).collect();
        let mut view = view(&apis);
        for (key, name) in [(KeyCode::End, "api-299"), (KeyCode::PageUp, "api-287"), (KeyCode::Home, "api-000")] {
            view.press(KeyEvent::from(key));
            let screen = drawn(&view, 80, 24).join("\n");
            assert!(screen.contains(name), "{screen}");
        }
    }

    #[test]
    fn no_size_is_too_small() {
        let mut shown = view(&[("a", 0), ("日本語の名前", 3), ("c", 1)]);
        shown.answer(Err("no".to_owned()), *NOW);
        let mut details = shown.clone();
        details.press(KeyEvent::from(KeyCode::Enter));
        for (width, height) in [(1, 1), (1, 50), (200, 1), (2, 2), (7, 3), (20, 5), (79, 13), (400, 100)] {
            for view in [&shown, &details, &TopView::default()] {
                assert_eq!(drawn(view, width, height).len(), usize::from(height));
            }
        }
    }
}
