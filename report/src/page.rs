//! The page around its parts.

use std::fmt::Write;

use counterpoint::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::plot::{SHADES, Shade};
use crate::{Report, curves, notes, series, summary};

const STYLE: &str = include_str!("style.css");

/// The browser itself refuses whatever is not in the file: no script, no request.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// The whole page.
pub fn html(report: &Report) -> Result<Markup> {
    let galleries = report.galleries.iter().map(crate::Gallery::html).collect::<Result<Vec<_>>>()?;
    let history = report.history.as_deref();
    let places = history.map(series::places).unwrap_or_default();
    let has_curves = history.is_some() || !report.arms.is_empty();
    let curves = has_curves.then(|| curves::html(history, &places, &report.arms)).transpose()?;
    let parts = [
        ("curves", "Curves", curves),
        ("notes", "Notes", history.and_then(notes::html)),
        ("images", "Images", (!galleries.is_empty()).then(|| html! { @for gallery in galleries { (gallery) } })),
        ("tables", "Tables", (!report.tables.is_empty()).then(|| html! { @for t in &report.tables { (t.html()) } })),
        ("config", "Config", report.config.as_deref().map(config)),
        ("machine", "Versions and machine", (!report.facts.is_empty()).then(|| facts(&report.facts))),
    ];
    let parts: Vec<_> = parts.into_iter().filter_map(|(id, title, part)| Some((id, title, part?))).collect();
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (report.title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(colours())) (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (report.title) }
                    @if parts.len() > 1 {
                        nav aria-label="Parts of the report" {
                            @for (id, title, _) in &parts { a href={ "#" (id) } { (title) } " " }
                        }
                    }
                }
                main {
                    @if history.is_some() || !report.checks.is_empty() { (overview(report, &places)) }
                    @for (id, title, part) in &parts {
                        section id=(id) aria-labelledby={ (id) "-title" } {
                            h2 id={ (id) "-title" } { (title) }
                            (part)
                        }
                    }
                }
            }
        }
    })
}

/// The box on top.
fn overview(report: &Report, places: &[series::Place]) -> Markup {
    let history = report.history.as_deref();
    let figures = history.map_or(Vec::new(), |history| {
        let reward = summary::reward(history).map(|(value, note)| ("Reward", value, note));
        let (count, which) = summary::steps(history);
        let time = summary::wall_clock(places).map(|(value, note)| ("Wall-clock", value, note));
        reward.into_iter().chain([("Steps", count, which)]).chain(time).collect()
    });
    let checks: Vec<_> = history.map(summary::checks).unwrap_or_default();
    let checks: Vec<_> = checks.iter().chain(&report.checks).collect();
    html! {
        section.summary aria-label="Summary" {
            dl {
                @for (name, value, note) in figures {
                    div { dt { (name) } dd { span.value { (value) } span.note { (note) } } }
                }
            }
            @if !checks.is_empty() {
                ul.checks aria-label="Checks" {
                    @for check in checks {
                        li {
                            @if check.passed { span.right { "✓" span.hidden { " passed: " } } }
                            @else { span.wrong { "✗" span.hidden { " not passed: " } } }
                            " " b { (check.name) } " " (check.detail)
                        }
                    }
                }
            }
        }
    }
}

fn config(text: &str) -> Markup {
    html! {
        details {
            summary { "The resolved config" }
            pre tabindex="0" { code { (text) } }
        }
    }
}

fn facts(facts: &[(String, String)]) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table.facts { tbody { @for (name, value) in facts { tr { th scope="row" { (name) } td { (value) } } } } }
        }
    }
}

/// The colours of the charts as variables, in both modes, and the rules that put them in place of what was drawn.
fn colours() -> String {
    let hex = |(r, g, b): (u8, u8, u8)| format!("#{r:02X}{g:02X}{b:02X}");
    let variables = |colour: fn(&Shade) -> (u8, u8, u8)| {
        SHADES.iter().map(|shade| format!("{}:{};", shade.name, hex(colour(shade)))).collect::<String>()
    };
    let mut css = format!(":root{{{}}}\n", variables(|s| s.light));
    _ = writeln!(css, "@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}", variables(|s| s.dark));
    for Shade { name, light, .. } in &SHADES {
        for property in ["stroke", "fill"] {
            _ = writeln!(css, ".chart [{property}=\"{}\"]{{{property}:var({name})}}", hex(*light));
        }
    }
    css
}
