//! Every chart of any history is drawn: well-formed SVG whose curves stay inside it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../core/tests/common/properties.rs"]
mod properties;

use counterpoint::metrics::Metrics;
use counterpoint_report::Report;
use properties::cases;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_oneof, proptest};
use proptest::sample::select;
use roxmltree::{Document, Node};

const ODD: [f64; 14] = [
    0.0,
    -0.0,
    1.0,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    -5e-324,
    1e-300,
    1e300,
    9_007_199_254_740_993.0,
];

/// One value of a metric.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![4 => -1.0..1.0_f64, 2 => select(&ODD[..]), 1 => any::<f64>()]
}

/// The values of a metric, `None` where it was not measured.
fn values() -> impl Strategy<Value = Vec<Option<f64>>> {
    let length = prop_oneof![Just(0_usize), 1..5_usize, 5..500_usize, 500..3000_usize, Just(3000)];
    let constant = |(length, value): (usize, f64)| vec![Some(value); length];
    let alternating = |(length, a, b): (usize, Option<f64>, Option<f64>)| {
        (0..length).map(|i| if i % 2 == 0 { a } else { b }).collect::<Vec<_>>()
    };
    let maybe = || prop_oneof![4 => value().prop_map(Some), 1 => Just(None)];
    prop_oneof![
        length.clone().prop_flat_map(move |length| vec(maybe(), length)),
        (length.clone(), value()).prop_map(constant),
        (length, maybe(), maybe()).prop_map(alternating),
    ]
}

/// A history of metrics that share a chart, that have one alone, and that place the steps in time.
fn history(reward: &[Option<f64>], others: [&[Option<f64>]; 3], steps: [u64; 2]) -> Vec<(u64, Metrics)> {
    let names = ["reward", "rewards/a/mean", "rewards/b/mean", "time/update"];
    let columns = [reward, others[0], others[1], others[2]];
    let step = |i: usize| {
        let mut metrics = Metrics::new();
        for (name, column) in names.iter().zip(columns) {
            if let Some(value) = column.get(i).copied().flatten() {
                metrics.insert(*name, value);
            }
        }
        (steps[0].saturating_add(steps[1].saturating_mul(i as u64)), metrics)
    };
    (0..reward.len()).map(step).collect()
}

/// The charts in a page.
fn charts(html: &str) -> impl Iterator<Item = &str> {
    html.split("<svg").skip(1).map(|rest| {
        let end = rest.find("</svg>").expect("an end of the chart");
        &html[rest.as_ptr() as usize - html.as_ptr() as usize - 4..][..end + 10]
    })
}

/// The numbers of a curve's or dot's coordinates.
fn coordinates(node: Node) -> Vec<f64> {
    let texts = ["points", "cx", "cy", "r", "x", "y", "x1", "x2", "y1", "y2", "width", "height"];
    let texts = texts.iter().filter_map(|name| node.attribute(*name));
    texts.flat_map(|text| text.split([' ', ','])).filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect()
}

/// Why the charts of the report of `history` are not right.
fn wrong(history: &[(u64, Metrics)]) -> Option<String> {
    let html = Report::new("x").history(history).to_html().unwrap();
    charts(&html).find_map(|svg| {
        let document = match Document::parse(svg) {
            Ok(document) => document,
            Err(error) => return Some(format!("{error}: {svg}")),
        };
        let view: Vec<f64> =
            document.root_element().attribute("viewBox").unwrap().split(' ').map(|n| n.parse().unwrap()).collect();
        let longest = view[2].max(view[3]);
        let mut all = document.descendants().flat_map(coordinates);
        let outside = all.find(|c| !c.is_finite() || *c < -10.0 || *c > longest + 10.0);
        outside.map(|c| format!("coordinate {c} outside {view:?}: {svg}"))
    })
}

/// Curves drawn in the charts of `history`.
fn curves(history: &[(u64, Metrics)]) -> usize {
    let html = Report::new("x").history(history).to_html().unwrap();
    let drawn = |svg: &str| {
        svg.matches("<polyline fill=\"none\" opacity=\"1\" stroke=\"#1F66D1\"").count() + svg.matches("<circle").count()
    };
    charts(&html).map(drawn).sum()
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn any_history_is_drawn_as_well_formed_svg(
        reward in values(),
        others in [values(), values(), values()],
        steps in select(vec![[0, 1], [0, 0], [7, 1000], [u64::MAX - 5, 1], [0, u64::MAX / 1000]]),
    ) {
        let wrong = wrong(&history(&reward, [&others[0], &others[1], &others[2]], steps));
        prop_assert!(wrong.is_none(), "{wrong:?}");
    }
}

#[test]
fn a_series_whose_every_second_value_is_a_gap_is_drawn() {
    let values: Vec<Option<f64>> = (0..802).map(|i| Some(if i % 2 == 0 { f64::from(i) } else { f64::NAN })).collect();
    let history = history(&values, [&[], &[], &[]], [0, 1]);
    assert_eq!(wrong(&history), None);
    assert!(curves(&history) > 0, "nothing is drawn");
}

#[test]
fn each_kind_of_number_is_drawn_at_each_length() {
    for value in ODD {
        for length in [0, 1, 2, 3000] {
            let constant = vec![Some(value); length];
            let gaps: Vec<_> = (0..length).map(|i| Some(if i % 2 == 0 { value } else { f64::NAN })).collect();
            for values in [constant, gaps] {
                let wrong = wrong(&history(&values, [&values, &[], &values], [0, 1]));
                assert_eq!(wrong, None, "{length} times {value}");
            }
        }
    }
}
