//! Configs that change while replicas run: some have the new one, others the old one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Utc;

use crate::fetchers::{
    Fetcher, MockListener, MockServer, Reply, Running, general, minutes_ago, page, record, wait_until,
};
use crate::harness::Etcd;

const APIS: usize = 8;

/// How often each API was asked, and when last, by the version of its entry and its number.
type Asked = BTreeMap<(String, String), (usize, Instant)>;

struct Rollout {
    etcd: Etcd,
    api: MockServer,
    listener: MockListener,
    asked: Arc<Mutex<Asked>>,
}

impl Rollout {
    async fn start() -> Self {
        let own = Arc::<Mutex<Asked>>::default();
        let times = Arc::clone(&own);
        let api = MockServer::start(move |asked, _| {
            let (version, number) = asked.path.trim_start_matches('/').split_once('/').unwrap();
            let mut times = times.lock().unwrap();
            let of = times.entry((version.to_owned(), number.to_owned())).or_insert((0, Instant::now()));
            *of = (of.0 + 1, Instant::now());
            let date = Utc::now().to_rfc3339();
            Reply::json(&format!(r#"{{"data":[{{"id":"{number}-{date}","date":"{date}"}}]}}"#))
        });
        Self {
            etcd: Etcd::one().await,
            api: api.forgetful(),
            listener: MockListener::start().may_be_idle(),
            asked: own,
        }
    }

    /// A config with entries of a version.
    fn config(&self, version: &str, apis: usize) -> String {
        let mut config = format!(
            "logzio: {{url: '{}', token: shipping-token-1}}\ncluster: {{etcd: ['{}'], member: MEMBER}}\nauth_apis:\n",
            self.listener.url(),
            self.etcd.endpoints()[0]
        );
        for number in 0..apis {
            config.push_str(&format!(
                "- {{type: general, name: api-{number}, credentials: {{id: a, key: b}}, start_date_name: since, \
                 settings: {{time_interval: 0.2s}}, json_paths: {{data: data, data_date: date, id: id}}, \
                 http_request: {{url: '{}/{version}/{number}'}}}}\n",
                self.api.url()
            ));
        }
        config
    }

    fn fetcher(&self, member: &str, version: &str) -> Running {
        Fetcher::new(&self.config(version, APIS).replace("MEMBER", member)).start()
    }

    /// How often the APIs were asked by a version.
    fn count(&self, version: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|((of, _), _)| of == version).map(|(_, (count, _))| count).sum()
    }

    /// Waits until every API was asked by a version, later than now.
    #[track_caller]
    fn wait_for_all(&self, version: &str) {
        let begun = Instant::now();
        wait_until(&format!("all APIs by {version}"), || {
            let asked = self.asked.lock().unwrap();
            asked.iter().filter(|((of, _), (_, at))| of == version && *at > begun).count() == APIS
        });
    }

    fn status(&self, config: &str) -> String {
        Fetcher::new(&config.replace("MEMBER", "asker")).arguments(&["status"]).run("cluster").stdout
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_entry_runs_by_its_former_version_as_long_as_a_member_has_that() {
    let rollout = Rollout::start().await;
    let old = rollout.fetcher("m0", "v1");
    rollout.wait_for_all("v1");
    let new = rollout.fetcher("m1", "v2");
    // It has taken slots, and leaves those with APIs that ran by v1.
    new.wait_for_log("which that member still has", 1);
    for _ in 0..5 {
        rollout.wait_for_all("v1");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(rollout.count("v2"), 0, "nothing ran by the new version\n{}", new.log());
    let status = rollout.status(&rollout.config("v1", APIS));
    assert!(status.contains("m1 leaves") && status.contains("api-"), "{status}");
    assert!(status.contains("don't have the same config"), "{status}");
    old.stop().assert_code(0);
    rollout.wait_for_all("v2");
    let before = rollout.count("v1");
    rollout.wait_for_all("v2");
    assert_eq!(rollout.count("v1"), before);
    let status = rollout.status(&rollout.config("v2", APIS));
    assert!(!status.contains("m1 leaves"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_is_edited_on_all_members_runs_everywhere_and_all_say_so() {
    let rollout = Rollout::start().await;
    let members = ["m0", "m1"].map(|member| rollout.fetcher(member, "v1"));
    rollout.wait_for_all("v1");
    let first = rollout.status(&rollout.config("v1", APIS));
    for (member, name) in members.iter().zip(["m0", "m1"]) {
        // One API more than before, too.
        let config = rollout.config("v2", APIS + 1).replace("MEMBER", name);
        std::fs::write(member.directory().join("config.yaml"), config).unwrap();
    }
    let is_asked = |version: &str, number: usize| {
        rollout.asked.lock().unwrap().contains_key(&(version.to_owned(), number.to_string()))
    };
    wait_until("every API by v2", || (0..=APIS).all(|number| is_asked("v2", number)));
    let digests = |status: &str| -> Vec<String> {
        let of_line = |line: &str| Some(line.split_once(" config ")?.1.to_owned());
        status.lines().filter_map(of_line).collect()
    };
    wait_until("the members' new digests", || {
        let digests = digests(&rollout.status(&rollout.config("v2", APIS)));
        digests.len() == 2 && digests.iter().all(|digest| !first.contains(digest.as_str()))
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_taken_out_and_put_back_amid_its_iteration_goes_on_and_doubles_nothing() {
    let (etcd, listener, date) = (Etcd::one().await, MockListener::start(), minutes_ago(30));
    let goes_on = Arc::new(AtomicBool::new(false));
    let may_go_on = Arc::clone(&goes_on);
    let api = MockServer::start(move |asked, _| {
        if asked.query.contains("second") {
            wait_until("the second page may come", || may_go_on.load(Ordering::Relaxed));
            return page(&[&record(1, &date), &record(2, &date)], None);
        }
        page(&[&record(1, &date)], Some("/events?second=page"))
    });
    let cluster = format!("cluster: {{etcd: ['{}'], member: one}}\n", etcd.endpoints()[0]);
    let with = general(api.url(), listener.url(), &cluster);
    let without = with.replace("    name: events\n", "    name: events\n    enabled: false\n");
    let member = Fetcher::new(&with).start();
    wait_until("it waits for the second page", || api.asked().iter().any(|asked| asked.query.contains("second")));
    for (times, config) in [(1, &without), (2, &with)] {
        std::fs::write(member.config_path(), config).unwrap();
        member.signal("HUP");
        member.wait_for_log("config reloaded", times);
    }
    goes_on.store(true, Ordering::Relaxed);
    member.wait_for_log("iteration done", 3);
    let mut ids = listener.ids();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2], "{}", member.log());
    member.stop().assert_code(0);
}
