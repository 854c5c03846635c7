//! The plan of an iteration: that of the config, with what only the records tell. Pure.

use std::sync::Arc;

use crate::plan::{Plan, StartPolicy};
use crate::state::ApiState;

/// The plan with its dates written as records write theirs, as far as that is known.
pub(super) fn at_work(plan: &Arc<Plan>, account: &ApiState) -> Arc<Plan> {
    let style = plan.follows_date_text().then(|| account.date_style(plan.paths.zone)).flatten();
    let Some(style) = style else { return Arc::clone(plan) };
    let goes_on_by_date = plan.next_iteration.as_ref().is_some_and(|rule| account.goes_on_by_date(rule));
    let mut request = plan.request.clone();
    let mut granularity = if goes_on_by_date { style.granularity() } else { plan.start.granularity };
    if request.writes_like_records() {
        request.write_like_records(&Arc::new(style));
        granularity = request.granularity();
    }
    let start = StartPolicy { granularity, ..plan.start };
    Arc::new(Plan { request, start, ..Plan::clone(plan) })
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::config::{self, Environment};
    use crate::record::date;
    use crate::template::{Captured, Granularity};

    fn at(text: &str) -> DateTime<Utc> {
        date::parse(text).expect("a date")
    }

    #[test]
    fn before_a_record_is_known_dates_are_written_as_the_start_in_the_filters() {
        for written in ["2026-05-01T00:00:00.000000Z", "2026-05-01 02:00:00+02:00", "1777593600000"] {
            let text = format!(
                "logzio: {{url: 'https://listener.example', token: t}}\nauth_apis: [{{type: general, name: a, credentials: \
                 {{id: i, key: k}}, settings: {{time_interval: 1}}, http_request: {{url: \
                 'https://api.example/?at={{start_date:like_records}}'}}, start_date_name: at, filters: {{at: '{written}'}}, \
                 json_paths: {{data: d, data_date: at, next_url: n}}}}]"
            );
            let around = Environment { variable: &|_| None, directory: std::path::Path::new(".") };
            let plan = Arc::clone(&config::compile(&text, &around).config.expect("a config").apis[0]);
            let request = at_work(&plan, &ApiState::blank()).request.build_first(at("2026-05-01"), at("2026-05-28"));
            let url = request.expect("a request").url;
            let sent = crate::text::form_decoded(&url.query().unwrap_or_default().replace('+', "%2B"));
            assert_eq!(sent, format!("at={written}"), "{url}");
        }
    }

    #[test]
    fn dates_are_written_as_the_newest_record_wrote_its_own() {
        let text = "logzio: {url: 'https://listener.example', token: t}\nauth_apis: [{type: general, name: a, \
                    credentials: {id: i, key: k}, settings: {time_interval: 1}, http_request: {url: 'https://api.example'}, \
                    filters: {since: '{start_date:like_records}'}, json_paths: {data: d, data_date: at, next_url: n}}]";
        let around = Environment { variable: &|_| None, directory: std::path::Path::new(".") };
        let plan = Arc::clone(&config::compile(text, &around).config.expect("a config").apis[0]);
        let sent = |account: &ApiState| {
            let plan = at_work(&plan, account);
            let start = at("2026-05-28T12:00:00.25Z");
            let request = plan.request.build_first(start, start).expect("a request");
            (crate::text::form_decoded(request.url.query().unwrap_or_default()), plan.start.granularity)
        };
        let mut account = ApiState::blank();
        assert_eq!(sent(&account), ("since=2026-05-28T12:00:00.250Z".to_owned(), Granularity::Second));
        account.date_text = Some(Captured::of_text("2026-05-28T13:59:00.1234567+02:00"));
        let fine = Granularity::PartOfSecond(100);
        assert_eq!(sent(&account), ("since=2026-05-28T14:00:00.2500000+02:00".to_owned(), fine));
        account.date_text = Captured::of_json("1716897600123");
        assert_eq!(sent(&account), ("since=1779969600250".to_owned(), Granularity::PartOfSecond(1_000_000)));
    }
}
