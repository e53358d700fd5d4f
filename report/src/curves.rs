//! The charts of the page, each over steps and over wall-clock.

use counterpoint::Result;
use counterpoint::metrics::Metrics;
use maud::{Markup, PreEscaped, html};

use crate::chart::{Chart, charts};
use crate::plot::{Along, svg, value};
use crate::series::{Place, neighbours, window};

/// All charts of `history`.
pub fn html(history: &[(u64, Metrics)], places: &[Place]) -> Result<Markup> {
    if history.is_empty() {
        return Ok(html! { p.note { "No steps were recorded, so there is nothing to draw." } });
    }
    let seconds = places.last().map_or(0.0, |place| place.seconds);
    let time = (seconds > 0.0).then(|| Along::time(seconds));
    let window = window(history.len());
    let charts = charts(history, places);
    let draw = |main: bool| {
        let chosen = charts.iter().filter(|c| c.main == main);
        chosen.map(|chart| figure(chart, time, window > 1)).collect::<Result<Vec<_>>>()
    };
    let (main, more) = (draw(true)?, draw(false)?);
    Ok(html! {
        @if time.is_some() {
            fieldset.switch {
                legend.hidden { "Horizontal axis" }
                input type="radio" name="along" id="along-steps" checked;
                label for="along-steps" { "over steps" }
                input type="radio" name="along" id="along-time";
                label for="along-time" { "over wall-clock" }
            }
        }
        p.note {
            @if window > 1 {
                @if neighbours(history.len()) > 1 { "Faint: means of " (neighbours(history.len())) " steps each. " }
                @else { "Faint: every step. " }
                "Strong: the mean of " (window) " measured steps around it, fewer at the ends. "
            }
            "The number after a name is the last one measured. Numbers that are not finite are gaps."
        }
        div.charts { @for figure in main { (figure) } }
        @if !more.is_empty() {
            details {
                summary { "More curves (" (more.len()) ")" }
                div.charts { @for figure in more { (figure) } }
            }
        }
    })
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
