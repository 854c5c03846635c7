//! Where an API goes on: by a date, or by values that answers gave. Pure.

use chrono::{DateTime, Utc};

use super::account::ApiState;
use crate::paging::{Continuation, ValueKind};
use crate::record::{Zone, date};
use crate::template::{AnswerValues, Captured, CapturedValues, DateStyle};

impl ApiState {
    /// Keeps what the next iteration goes on with; nothing drops what was kept.
    pub fn keep(&mut self, captured: CapturedValues, now: DateTime<Utc>) {
        if self.captured != captured {
            self.captured_since = (!captured.is_empty()).then_some(now);
            self.captured = captured;
        }
    }

    /// Keeps a cursor, and the other values as they are.
    pub fn keep_cursor(&mut self, cursor: Option<Captured>, now: DateTime<Utc>) {
        let others = self.captured.iter().filter(|(name, _)| *name != CapturedValues::CURSOR);
        let others = others.map(|(name, value)| (name.to_owned(), value.clone()));
        let cursor = cursor.map(|cursor| (CapturedValues::CURSOR.to_owned(), cursor));
        self.keep(others.chain(cursor).collect(), now);
    }

    /// How records write their dates, as far as it is known; one that names no zone is meant in this one.
    #[must_use]
    pub fn date_style(&self, zone: Zone) -> Option<DateStyle> {
        DateStyle::of(&self.date_text.as_ref()?.as_written(), zone)
    }

    /// Whether the start date stands in the request of an iteration, in the place of a value.
    #[must_use]
    pub fn goes_on_by_date(&self, rule: &Continuation) -> bool {
        let may_be_date = self.value_kind.is_none_or(ValueKind::is_date);
        may_be_date && self.checkpoint.is_some() && rule.date_value().is_some()
    }

    /// The values of the first request of an iteration that goes on with its start date and with what the one before left.
    /// `None` where it can't, and begins like the first one.
    #[must_use]
    pub fn continued(&self, rule: &Continuation, start: DateTime<Utc>) -> Option<AnswerValues> {
        if rule.values.is_empty() {
            return self.last_complete.is_some().then(AnswerValues::default);
        }
        let start = self.goes_on_by_date(rule).then(|| self.start_value(start, rule.zone));
        rule.values_of(&self.captured, start)
    }

    /// A start date in the form of the records' dates.
    fn start_value(&self, start: DateTime<Utc>, zone: Zone) -> Captured {
        let Some(style) = self.date_style(zone) else { return Captured::of_text(&date::format(start)) };
        let text = style.write(start);
        let is_number = self.date_text.as_ref().is_some_and(|text| !text.json().starts_with('"'));
        let number = Captured::of_value(&text).filter(|_| is_number && style.is_number());
        number.unwrap_or_else(|| Captured::of_text(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paging::{CarriedValue, ValueSource};
    use crate::record::path::JsonPath;
    use crate::template::AnswerValue;

    fn at(text: &str) -> DateTime<Utc> {
        date::parse(text).expect("a date")
    }

    fn rule() -> Continuation {
        let field = JsonPath::parse("at").expect("a path");
        let value = AnswerValue::parse("d[0].at", false).expect("a value");
        let source = ValueSource::NewestRecord { field, is_date: true };
        Continuation { values: vec![CarriedValue { value, source }], guesses_date: true, zone: Zone::Utc }
    }

    /// What stands in the place of the value, as JSON, where the newest date was written like this.
    fn sent(account: &ApiState) -> Option<String> {
        let values = account.continued(&rule(), at("2026-05-28T11:59:59.5Z"))?;
        values.iter().next().map(|(_, value)| value.json().to_owned())
    }

    #[test]
    fn the_start_date_stands_in_the_place_of_a_value_that_is_a_date_in_the_form_of_the_records() {
        let mut account = ApiState { checkpoint: Some(at("2026-05-28T12:00:00Z")), ..ApiState::blank() };
        assert_eq!(sent(&account).as_deref(), Some("\"2026-05-28T11:59:59.500Z\""), "as the line of a user says");
        for (text, expected) in [
            (r#""2026-05-28T12:00:00.000000+00:00""#, r#""2026-05-28T11:59:59.500000+00:00""#),
            ("1779969600000", "1779969599500"),
            (r#""1779969600000""#, r#""1779969599500""#),
            (r#""/Date(1779969600000)/""#, r#""/Date(1779969599500)/""#),
        ] {
            account.date_text = Captured::of_value(text);
            assert_eq!(sent(&account).as_deref(), Some(expected), "{text}");
        }
        account.value_kind = Some(ValueKind::Number);
        assert_eq!(sent(&account), None, "a date that somebody wrote is no number");
        account.keep([("res.d[0].at".to_owned(), Captured::of_text("7"))].into_iter().collect(), at("2026-05-28"));
        assert_eq!(sent(&account).as_deref(), Some("\"7\""));
        assert_eq!(sent(&ApiState::blank()), None, "nothing is known yet");
    }

    #[test]
    fn a_cursor_is_kept_beside_other_values() {
        let (mut account, now) = (ApiState::blank(), at("2026-05-28"));
        account.keep([("res.a".to_owned(), Captured::of_text("x"))].into_iter().collect(), now);
        account.keep_cursor(Some(Captured::of_text("c")), now);
        assert_eq!(account.captured.json(), r#"{"cursor":"c","res.a":"x"}"#);
        account.keep_cursor(None, now);
        assert_eq!(account.captured.json(), r#"{"res.a":"x"}"#);
    }
}
