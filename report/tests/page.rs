//! The page is one file, says what it was given and nothing else gets into it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{CELLS, CHARTS, history, report};
use counterpoint::metrics::Metrics;
use counterpoint_report::{Arm, Report, machine};

const HOSTILE: &str = r#"</script></style><script>alert("1")</script><img src='http://x/y' onerror=a> & <ada>"#;

/// Values of the attribute `name`, quoted with `"`.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    html.split(start.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn the_page_needs_nothing_else() {
    let html = report("").to_html().unwrap();
    let sources = attributes(&html, "src");
    assert_eq!(sources.len(), 2 * CELLS);
    assert!(sources.iter().all(|s| s.starts_with("data:image/png;base64,")), "{sources:.80?}");
    let links = attributes(&html, "href");
    assert!(links.len() > 4 && links.iter().all(|l| l.starts_with('#') || *l == "data:,"), "{links:?}");
    assert!(!html.contains("://") && !html.contains("http:") && !html.contains("https:"), "an address");
    assert!(!html.contains("url(") && !html.contains("@import") && !html.contains("<script"), "a resource");
    assert!(html.contains(r#"content="default-src 'none'; img-src data:; style-src 'unsafe-inline'""#));
}

#[test]
fn whatever_it_is_given_stays_text() {
    let html = report(HOSTILE).to_html().unwrap();
    assert!(!html.contains("<script") && !html.contains("<ada>") && !html.contains("<img src='"), "{HOSTILE}");
    assert_eq!(html.matches("<img").count(), 2 * CELLS);
    assert_eq!(html.matches("</style>").count(), 1);
    let escaped = "&lt;/script&gt;&lt;/style&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&lt;img";
    // Title twice, check, gallery's title and note, 24 cells (prompt, truth, two reasonings and colours; two texts of
    // images), table (title, note, 3 rows), config, device.
    assert_eq!(html.matches(escaped).count(), 2 + 1 + 2 + CELLS * 8 + 5 + 1 + 1);
    let mut odd = Metrics::new();
    odd.insert(HOSTILE, 1.0);
    let html = Report::new("x").history(&[(0, odd)]).to_html().unwrap();
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;"), "{html}");
}

#[test]
fn what_a_run_noted_is_listed_once_with_its_steps() {
    let step = |step: u64| {
        let mut metrics = Metrics::new();
        metrics.note("reward `plug` failed: <NaN>");
        if step == 2 {
            metrics.note("no group worth learning from");
        }
        (step, metrics)
    };
    let html = Report::new("x").history(&[step(1), step(2)]).to_html().unwrap();
    assert!(html.contains("<td>reward `plug` failed: &lt;NaN&gt;</td><td>2</td><td>1</td>"), "{html}");
    assert!(html.contains("<td>no group worth learning from</td><td>1</td><td>2</td>"), "{html}");
    assert!(!report("").to_html().unwrap().contains("id=\"notes\""));
}

#[test]
fn a_page_with_forty_eight_images_is_small() {
    let size = report("").to_html().unwrap().len();
    assert!((100_000..2_000_000).contains(&size), "{size} bytes");
}

#[test]
fn every_chart_has_both_axes_and_a_missing_metric_has_none() {
    let html = report("").to_html().unwrap();
    assert_eq!(html.matches("<svg class=\"chart by-steps\"").count(), CHARTS);
    assert_eq!(html.matches("<svg class=\"chart by-time\"").count(), CHARTS);
    assert!(html.contains("<h3>KL against the reference</h3>") && !html.contains("<h3>Entropy</h3>"));
    assert!(html.contains("1 not finite"));

    let untimed: Vec<_> = history(20).into_iter().map(|(s, m)| (s, m.without_timings())).collect();
    let html = Report::new("x").history(&untimed).to_html().unwrap();
    assert!(!html.contains("<svg class=\"chart by-time\"") && !html.contains("along-time\""), "no time was measured");
}

#[test]
fn runs_of_any_length_are_drawn_and_an_empty_one_is_said() {
    let one = Report::new("x").history(&history(1)).to_html().unwrap();
    assert!(one.contains("<circle") && one.contains("One step."), "{one}");
    let long = Report::new("x").history(&history(900)).to_html().unwrap();
    assert!(
        long.contains("Faint: means of 3 steps each.") && long.contains("the mean of 91 measured steps"),
        "a long run"
    );
    let none = Report::new("x").history(&[]).to_html().unwrap();
    assert!(none.contains("No steps were recorded") && !none.contains("<svg"), "{none}");
    let empty = Report::new("x").to_html().unwrap();
    assert!(!empty.contains("<section") && empty.contains("<h1>x</h1>"), "{empty}");
}

#[test]
fn arms_are_compared_in_means_over_their_runs() {
    let (short, long) = (history(12), history(12));
    let mut half = history(12);
    half.iter_mut().for_each(|(_, metrics)| metrics.insert("reward", 0.0));
    let without: Vec<_> = history(12)
        .into_iter()
        .map(|(step, old)| {
            let mut metrics = Metrics::new();
            old.iter().filter(|(name, _)| !name.starts_with("dgs/")).for_each(|(name, v)| metrics.insert(name, v));
            (step, metrics)
        })
        .collect();
    let full = Arm::new("full", [short.as_slice(), &half]);
    let html = Report::new("x").arm(full).arm(Arm::new("w/o DGS", [without.as_slice()])).to_html().unwrap();
    let mean = long.last().unwrap().1.get("reward").unwrap() / 2.0;
    assert!(html.contains(&format!("full <b>{mean:.2}")), "{mean}");
    assert_eq!(html.matches("w/o DGS <b>").count(), 1, "the arm without the filter has a reward and no threshold");
    for title in ["Reward", "Threshold of Dynamic Group Scaling", "Pass rate of Dynamic Group Scaling"] {
        assert!(html.contains(&format!("<h3>{title}</h3>")), "{title}");
    }
    assert_eq!(html.matches("id=\"along-time\"").count(), 1);
    // Beside a run of its own, there is one switch for all.
    let both = Report::new("x").history(&history(9)).arm(Arm::new("a", [short.as_slice()])).to_html().unwrap();
    assert_eq!(both.matches("id=\"along-time\"").count(), 1);
    assert!(both.matches("<h3>Reward</h3>").count() == 2);
}

#[test]
fn the_file_is_replaced_in_one_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs/a/report.html");
    Report::new("first").write(&path).unwrap();
    let second = Report::new("second").facts(machine());
    second.write(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), second.to_html().unwrap());
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    let error = Report::new("x").write(&path.join("below/a/file.html")).unwrap_err();
    assert_eq!(error.kind(), counterpoint::ErrorKind::Io);
}
