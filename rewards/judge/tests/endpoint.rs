//! The judge against a server of the tests' own: what it sends, and what it makes of every way to fail.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use counterpoint::{Judges, Reward, Sample, Score, Task};
use counterpoint_judge::{About, EndpointConfig, Entry, Judge, JudgeRewardConfig, Question};
use image::RgbImage;
use serde_json::json;
use server::{Reply, Server};

fn config(server: &Server) -> EndpointConfig {
    EndpointConfig {
        base_url: Some(server.address()),
        model: Some("tiny-judge".to_owned()),
        key_env: "COUNTERPOINT_NO_SUCH_KEY".to_owned(),
        timeout_s: 5.0,
        ..EndpointConfig::default()
    }
}

fn questions(n: usize) -> Vec<Question> {
    (0..n).map(|i| Question::new("Grade.", format!("question {i}"))).collect()
}

#[test]
fn answers_come_in_the_order_of_the_questions() {
    // Later questions are answered sooner.
    let server = Server::start(|request, _| {
        let text = request["messages"][1]["content"].as_str().unwrap().to_owned();
        let number: u64 = text.rsplit(' ').next().unwrap().parse().unwrap();
        std::thread::sleep(Duration::from_millis(5 * (8 - number)));
        Reply::answer(&format!("answer {number}"))
    });
    let judge = Judge::new(config(&server)).unwrap();
    let answers: Vec<String> = judge.ask(&questions(8)).unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, (0..8).map(|i| format!("answer {i}")).collect::<Vec<_>>());
    let request = &server.requests()[0];
    assert_eq!((&request["model"], &request["temperature"]), (&json!("tiny-judge"), &json!(0)));
    assert!(judge.calls() == 8 && (2..=4).contains(&server.most_at_once()), "{}", server.most_at_once());
}

#[test]
fn a_ledger_answers_the_second_time_and_another_judge_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, call| Reply::answer(&format!("answer {call}")));
    let config = EndpointConfig { ledger: Some(folder.path().join("ledger")), ..config(&server) };
    let first = Judge::new(config.clone()).unwrap();
    let answers = first.ask(&questions(3)).unwrap();
    assert_eq!((first.ask(&questions(3)).unwrap(), first.calls()), (answers.clone(), 3));
    let second = Judge::new(config.clone()).unwrap();
    assert_eq!((second.ask(&questions(3)).unwrap(), second.calls(), server.requests().len()), (answers, 0, 3));
    // Another model is another judge.
    let other = Judge::new(EndpointConfig { model: Some("other".into()), ..config }).unwrap();
    other.ask(&questions(3)).unwrap();
    assert_eq!(other.calls(), 3);

    let mut files = walk(&folder.path().join("ledger"));
    assert_eq!(files.len(), 6);
    let entry: Entry = serde_json::from_str(&std::fs::read_to_string(&files[0]).unwrap()).unwrap();
    assert!(entry.text.starts_with("question ") && entry.usage.prompt_tokens == 7, "{entry:?}");
    // A damaged entry is said, with its file, and not taken for a question that was never asked.
    let damaged = files.remove(0);
    for file in walk(&folder.path().join("ledger")) {
        std::fs::write(file, "{").unwrap();
    }
    let error = second.ask(&questions(3)).unwrap_err().to_string();
    assert!(error.contains("remove it") && damaged.exists(), "{error}");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_busy_endpoint_is_asked_again_after_as_long_as_it_says() {
    let server = Server::start(|_, call| match call {
        0 => Reply::status(429, "slow down").after("1"),
        1 => Reply::status(503, "").after("0"),
        2 => Reply::text("not json").after("0"),
        3 => Reply::text("{\"choices\": []}").after("0"),
        _ => Reply::answer("1"),
    });
    let judge = Judge::new(config(&server)).unwrap();
    let started = Instant::now();
    assert_eq!(judge.ask(&questions(1)).unwrap(), [Ok("1".to_owned())]);
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(judge.calls(), 5);
}

#[test]
fn what_will_never_work_is_not_tried_again() {
    let server = Server::start(|_, _| Reply::status(401, "no such key"));
    let judge = Judge::new(config(&server)).unwrap();
    let refusal = judge.ask(&questions(1)).unwrap().remove(0).unwrap_err().to_string();
    assert!(refusal.contains("status 401") && refusal.contains("no such key"), "{refusal}");
    assert_eq!(judge.calls(), 1);
}

#[test]
fn an_endpoint_that_hangs_breaks_off_or_is_gone_is_given_up_with_its_reason() {
    let hanging = Server::start(|_, _| {
        std::thread::sleep(Duration::from_millis(600));
        Reply::answer("1")
    });
    let short = EndpointConfig { timeout_s: 0.2, attempts: 1, ..config(&hanging) };
    let refusal = Judge::new(short).unwrap().ask(&questions(1)).unwrap().remove(0).unwrap_err().to_string();
    assert!(refusal.contains("timeout"), "{refusal}");

    let broken = Server::start(|_, _| Reply::broken());
    let once = EndpointConfig { attempts: 1, ..config(&broken) };
    let refusal = Judge::new(once).unwrap().ask(&questions(1)).unwrap().remove(0).unwrap_err().to_string();
    assert!(refusal.contains("1 times"), "{refusal}");

    let gone = EndpointConfig { base_url: Some("http://127.0.0.1:1".into()), attempts: 1, ..config(&broken) };
    let refusal = Judge::new(gone).unwrap().ask(&questions(1)).unwrap().remove(0).unwrap_err().to_string();
    assert!(refusal.contains("http://127.0.0.1:1"), "{refusal}");
}

#[test]
fn a_budget_is_never_overrun_and_what_it_bought_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Reply::answer("1"));
    let config = EndpointConfig { ledger: Some(folder.path().into()), ..config(&server) };
    let poor = Judge::new(EndpointConfig { max_calls: Some(5), ..config.clone() }).unwrap();
    let answers = poor.ask(&questions(8)).unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5);
    let refusal = answers.into_iter().find_map(Result::err).unwrap().to_string();
    assert!(refusal.contains("budget of 5 calls"), "{refusal}");
    // The rest costs three calls.
    let rich = Judge::new(config).unwrap();
    assert!(rich.ask(&questions(8)).unwrap().iter().all(Result::is_ok));
    assert_eq!((rich.calls(), server.requests().len()), (3, 8));
}

fn sample(number: u64, image: bool) -> Sample {
    let params = json!({ "answer": "a red hat", "concept": "<ada>", "facts": ["a red hat", "a cup"] });
    let task = Task::new(number, "?").with_params(params);
    let image = image.then(|| Arc::new(RgbImage::from_pixel(3, 2, image::Rgb([9, 9, 9]))));
    Sample::new(&task, number, "draw <ada> a hat".into(), format!("said {number}"), image)
}

#[test]
fn a_reward_grades_what_it_can_and_invents_nothing() {
    // Of eight, one is answered in prose and one not at all.
    let server = Server::start(|request, _| {
        let text = request["messages"][1]["content"].as_str().unwrap().to_owned();
        match () {
            () if text.contains("said 3") => Reply::answer("It is rather good."),
            () if text.contains("said 5") => Reply::status(400, "bad"),
            () if text.contains("said 6") => Reply::answer("0.5"),
            () => Reply::answer("1.0"),
        }
    });
    let config = JudgeRewardConfig { endpoint: config(&server), ..JudgeRewardConfig::new(About::Answers) };
    let mut reward = config.init(std::path::Path::new(".")).unwrap();
    let scores = reward.score(&(0..8).map(|i| sample(i, false)).collect::<Vec<_>>()).unwrap();
    assert_eq!(scores.iter().filter_map(Score::value).collect::<Vec<_>>(), [1.0, 1.0, 1.0, 1.0, 0.5, 1.0]);
    assert!(matches!(&scores[3], Score::Fail(why) if why.contains("rather good")), "{:?}", scores[3]);
    assert!(matches!(&scores[5], Score::Fail(why) if why.contains("400")), "{:?}", scores[5]);
    assert_eq!(reward.judges(), Judges::Understanding);
    let request = server.requests().remove(0);
    let text = request["messages"][1]["content"].as_str().unwrap();
    assert!(text.contains("What is right: a red hat\nWhat was said: said "), "{text}");
}

#[test]
fn images_are_sent_and_what_is_not_known_is_abstained_from() {
    let server = Server::start(|_, _| Reply::answer("7"));
    let config = JudgeRewardConfig {
        endpoint: config(&server),
        question: Some("{concept} {facts} {prompt} {mood}".into()),
        ..JudgeRewardConfig::new(About::Images)
    };
    let mut reward = config.clone().init(std::path::Path::new(".")).unwrap();
    let lacking = reward.score(&[sample(0, true)]).unwrap().remove(0);
    assert_eq!(lacking, Score::Abstain("nothing is known of `mood`".into()));

    let known = JudgeRewardConfig {
        question: Some("{concept}: {facts} {prompt}".into()),
        grade: toml::from_str::<toml::Table>("grade = { least = 0.0, most = 10.0 }").unwrap()["grade"]
            .clone()
            .try_into()
            .unwrap(),
        ..config
    };
    let mut reward = known.init(std::path::Path::new(".")).unwrap();
    let scores = reward.score(&[sample(0, false), sample(1, true)]).unwrap();
    assert_eq!(scores, [Score::Abstain("no image to judge".into()), Score::Value(7.0)]);
    let content = server.requests().remove(0)["messages"][1]["content"].clone();
    assert_eq!(content[0]["text"], "<ada>: a red hat a cup draw <ada> a hat");
    assert!(content[1]["image_url"]["url"].as_str().unwrap().starts_with("data:image/png;base64,"));
}

#[test]
fn a_config_selects_it_by_name() {
    let table = r#"about = "answers"
endpoint = { base_url = "http://localhost:9", model = "m", max_calls = 3 }
grade = [0.0, 1.0]"#;
    let config: JudgeRewardConfig = toml::from_str(table).unwrap();
    assert_eq!((config.endpoint.max_calls, config.about), (Some(3), About::Answers));
    assert!(counterpoint::registry::rewards().contains(&"judge"));
    let flat = JudgeRewardConfig {
        grade: toml::from_str::<JudgeRewardConfig>(&table.replace("[0.0, 1.0]", "[1.0]")).unwrap().grade,
        ..config
    };
    assert!(flat.init(std::path::Path::new(".")).unwrap_err().to_string().contains("grade"));
}
