//! The charts of the page, each over steps and over wall-clock.

use counterpoint::Result;
use counterpoint::metrics::Metrics;
use maud::{Markup, PreEscaped, html};

use crate::Arm;
use crate::chart::{Chart, charts, compared};
use crate::plot::{Along, svg, value};
use crate::series::{self, Place, neighbours, window};

/// All charts: of `history`, and of the arms that are compared.
pub fn html(history: Option<&[(u64, Metrics)]>, places: &[Place], arms: &[Arm]) -> Result<Markup> {
    if history.is_some_and(<[_]>::is_empty) && arms.is_empty() {
        return Ok(html! { p.note { "No steps were recorded, so there is nothing to draw." } });
    }
    let end = |history: &[(u64, Metrics)]| series::places(history).last().map_or(0.0, |place| place.seconds);
    let arms_end = arms.iter().map(|arm| end(&arm.history)).fold(0.0, f64::max);
    let time = |seconds: f64| (seconds > 0.0).then(|| Along::time(seconds));
    let time_of_run = time(places.last().map_or(0.0, |place| place.seconds));
    let time_of_arms = time(arms_end);
    let longest = arms.iter().map(|arm| arm.history.len()).max().unwrap_or(0);
    let compared = compared(arms);
    let compared = compared.iter().map(|chart| figure(chart, time_of_arms, window(longest) > 1));
    let compared = compared.collect::<Result<Vec<_>>>()?;
    let of_run = history
        .filter(|history| !history.is_empty())
        .map(|history| of_run(history, places, time_of_run))
        .transpose()?;
    Ok(html! {
        @if time_of_run.is_some() || time_of_arms.is_some() {
            fieldset.switch {
                legend.hidden { "Horizontal axis" }
                input type="radio" name="along" id="along-steps" checked;
                label for="along-steps" { "over steps" }
                input type="radio" name="along" id="along-time";
                label for="along-time" { "over wall-clock" }
            }
        }
        @if let Some(of_run) = of_run { (of_run) }
        @if !compared.is_empty() {
            (note(longest, "One curve for each arm: the mean of its runs, one for each seed. "))
            div.charts { @for figure in compared { (figure) } }
        }
    })
}

/// The charts of one run.
fn of_run(history: &[(u64, Metrics)], places: &[Place], time: Option<Along>) -> Result<Markup> {
    let charts = charts(history, places);
    let draw = |main: bool| {
        let chosen = charts.iter().filter(|c| c.main == main);
        chosen.map(|chart| figure(chart, time, window(history.len()) > 1)).collect::<Result<Vec<_>>>()
    };
    let (main, more) = (draw(true)?, draw(false)?);
    Ok(html! {
        (note(history.len(), ""))
        div.charts { @for figure in main { (figure) } }
        @if !more.is_empty() {
            details {
                summary { "More curves (" (more.len()) ")" }
                div.charts { @for figure in more { (figure) } }
            }
        }
    })
}

/// How curves of so many steps are to be read.
fn note(steps: usize, what: &str) -> Markup {
    let window = window(steps);
    html! {
        p.note {
            (what)
            @if window > 1 {
                @if neighbours(steps) > 1 { "Faint: means of " (neighbours(steps)) " steps each. " }
                @else { "Faint: every step. " }
                "Strong: the mean of " (window) " measured steps around it, fewer at the ends. "
            }
            "The number after a name is the last one measured. Numbers that are not finite are gaps."
        }
    }
}

fn figure(chart: &Chart, time: Option<Along>, smoothed: bool) -> Result<Markup> {
    let steps = svg(chart, Along::Steps, smoothed, "chart by-steps")?;
    let time = time.map(|along| svg(chart, along, smoothed, "chart by-time")).transpose()?;
    let said = chart.curves.iter().map(|c| format!("{} ends at {}", c.label, value(chart, c.last)));
    let said = format!("{}: {}.", chart.title, said.collect::<Vec<_>>().join(", "));
    Ok(html! {
        figure.plot {
            figcaption {
                h3 { (chart.title) }
                ul.legend {
                    @for (i, curve) in chart.curves.iter().enumerate() {
                        li style={ "--curve:var(--curve-" (i) ")" } {
                            (curve.label) " " b { (value(chart, curve.last)) }
                            @if curve.non_finite > 0 { span.wrong { " " (curve.non_finite) " not finite" } }
                        }
                    }
                }
            }
            div role="img" aria-label=(said) {
                (PreEscaped(steps))
                @if let Some(time) = time { (PreEscaped(time)) }
            }
        }
    })
}
