//! One chart as SVG: text is real text in the reader's font, colours are replaced by the page's style.

use std::ops::Range;

use counterpoint::{Error, ErrorKind, Result};
use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, PathElement};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle};

use crate::chart::Chart;
use crate::series::{Place, Point};

/// Units of the SVG, before [`FINE`].
const SIZE: (u32, u32) = (400, 240);
/// The drawing library rounds to whole units: it draws in quarters of one.
const FINE: u32 = 4;

/// Numbers further from 0 are drawn as this one, and numbers closer to it as 0: the width of an axis has to be a number too.
const LARGEST: f64 = 1e300;
const SMALLEST: f64 = 1e-300;

/// A colour that a chart is drawn in, and what the page's style shows in its place.
pub struct Shade {
    /// The CSS variable.
    pub name: &'static str,
    /// On a light ground, and as it is drawn.
    pub light: (u8, u8, u8),
    /// On a dark ground.
    pub dark: (u8, u8, u8),
}

const fn shade(name: &'static str, light: (u8, u8, u8), dark: (u8, u8, u8)) -> Shade {
    Shade { name, light, dark }
}

/// Text of the axes, the grid, then the curves, which people who cannot tell red from green can tell apart.
pub const SHADES: [Shade; 8] = [
    shade("--axis", (0x52, 0x5B, 0x66), (0xA9, 0xB4, 0xC0)),
    shade("--grid", (0xE1, 0xE5, 0xEA), (0x30, 0x37, 0x41)),
    shade("--curve-0", (0x1F, 0x66, 0xD1), (0x6C, 0xB0, 0xFF)),
    shade("--curve-1", (0xC2, 0x55, 0x08), (0xFF, 0xA6, 0x57)),
    shade("--curve-2", (0x0B, 0x7A, 0x5E), (0x3D, 0xD6, 0xA8)),
    shade("--curve-3", (0xB8, 0x2E, 0x86), (0xFF, 0x8A, 0xD0)),
    shade("--curve-4", (0x6B, 0x4F, 0xC9), (0xB9, 0xA3, 0xFF)),
    shade("--curve-5", (0x6B, 0x64, 0x0E), (0xE3, 0xD4, 0x4A)),
];
const AXIS: RGBColor = rgb(SHADES[0].light);
const GRID: RGBColor = rgb(SHADES[1].light);

const fn rgb((r, g, b): (u8, u8, u8)) -> RGBColor {
    RGBColor(r, g, b)
}

/// What runs along the horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Along {
    Steps,
    /// In this unit: its name and its seconds.
    Time(&'static str, f64),
}

impl Along {
    /// Wall-clock in the unit that suits a run of `seconds`.
    pub fn time(seconds: f64) -> Self {
        match seconds {
            s if s < 180.0 => Self::Time("s", 1.0),
            s if s < 3.0 * 3600.0 => Self::Time("min", 60.0),
            _ => Self::Time("h", 3600.0),
        }
    }

    fn of(self, place: Place) -> f64 {
        match self {
            Self::Steps => place.step,
            Self::Time(_, seconds) => drawn(place.seconds / seconds),
        }
    }

    /// The axis' title.
    fn title(self) -> String {
        match self {
            Self::Steps => "step".to_owned(),
            Self::Time(unit, _) => format!("wall-clock, {unit}"),
        }
    }

    /// A tick's text: steps are whole numbers.
    fn tick(self, x: f64, unit: f64) -> String {
        if self == Self::Steps && (x - x.round()).abs() > 1e-6 { String::new() } else { rounded(x, unit) }
    }
}

/// The SVG element of `chart`; `smoothed` draws the running mean, and the steps faintly; without it each step has a dot.
///
/// # Errors
/// When the drawing library refuses.
pub fn svg(chart: &Chart, along: Along, smoothed: bool, class: &str) -> Result<String> {
    let mut text = String::new();
    draw(&mut text, chart, along, smoothed).map_err(|e| {
        let what = format!("cannot draw the chart `{}`: {e}", chart.title);
        Error::new(ErrorKind::Data, what)
    })?;
    // In a page the element needs no namespace, and it takes its width from the style.
    let (_, body) = text.split_once('>').unwrap_or_default();
    let (width, height) = (SIZE.0 * FINE, SIZE.1 * FINE);
    Ok(format!(r#"<svg class="{class}" viewBox="0 0 {width} {height}" aria-hidden="true">{body}"#))
}

fn draw(text: &mut String, chart: &Chart, along: Along, smoothed: bool) -> std::result::Result<(), String> {
    let points = || chart.curves.iter().flat_map(|c| &c.points).filter(|p| !p.raw.is_nan());
    let (x, x_unit) = scaled(around(points().map(|p| along.of(p.place)), 0.02));
    let (y, y_unit) = scaled(heights(chart));
    let (wide, high) = ((x.end - x.start) / 20.0, (y.end - y.start) / 20.0);
    let label = ("sans-serif", 16 * FINE).into_font().color(&AXIS);
    let area = SVGBackend::with_string(text, (SIZE.0 * FINE, SIZE.1 * FINE)).into_drawing_area();
    let mut builder = ChartBuilder::on(&area);
    builder.margin_top(8 * FINE).margin_right(10 * FINE).margin_left(2 * FINE).margin_bottom(2 * FINE);
    builder.x_label_area_size(40 * FINE).y_label_area_size(66 * FINE);
    let mut context = builder.build_cartesian_2d(x, y).map_err(|e| e.to_string())?;
    let mut mesh = context.configure_mesh();
    mesh.max_light_lines(0).disable_x_mesh().bold_line_style(GRID.stroke_width(FINE));
    mesh.axis_style(GRID.stroke_width(FINE)).set_all_tick_mark_size(3 * FINE);
    mesh.label_style(label.clone()).axis_desc_style(label).x_labels(6).y_labels(5);
    mesh.x_desc(along.title()).y_desc(chart.unit);
    let x_tick = |x: &f64| along.tick(x * x_unit, wide * x_unit);
    let y_tick = |y: &f64| rounded(y * y_unit, high * y_unit);
    mesh.x_label_formatter(&x_tick).y_label_formatter(&y_tick);
    mesh.draw().map_err(|e| e.to_string())?;

    for (i, curve) in chart.curves.iter().enumerate() {
        let colour = rgb(SHADES[2 + i % (SHADES.len() - 2)].light);
        let place = |p: &Point, value: f64| (along.of(p.place) / x_unit, drawn(value) / y_unit);
        let strong = colour.stroke_width(2 * FINE);
        let raw = if smoothed { colour.mix(0.45).stroke_width(FINE) } else { strong };
        for piece in curve.pieces() {
            let mut line = |f: fn(&Point) -> f64, style: ShapeStyle| {
                let path: Vec<(f64, f64)> = piece.iter().map(|p| place(p, f(p))).collect();
                context.draw_series([PathElement::new(path, style)]).map(drop).map_err(|e| e.to_string())
            };
            line(|p| p.raw, raw)?;
            if smoothed {
                line(|p| p.smooth, strong)?;
            }
            if !smoothed || piece.len() == 1 {
                let dot = |p: &Point| Circle::new(place(p, p.raw), 3 * FINE, colour.filled());
                context.draw_series(piece.iter().map(dot)).map_err(|e| e.to_string())?;
            }
        }
    }
    drop(context);
    area.present().map_err(|e| e.to_string())
}

/// `value` as it is drawn.
fn drawn(value: f64) -> f64 {
    if value.abs() < SMALLEST { 0.0 } else { value.clamp(-LARGEST, LARGEST) }
}

/// The same range in a unit that is a power of 10, and that unit: the drawing library looks for ticks among numbers
/// that are neither huge nor tiny, and may look for ever elsewhere.
fn scaled(range: Range<f64>) -> (Range<f64>, f64) {
    let unit = 10.0_f64.powi(range.start.abs().max(range.end.abs()).log10().floor() as i32);
    (range.start / unit..range.end / unit, unit)
}

/// A range that holds all values with a little space around them, never an empty one.
fn around(values: impl Iterator<Item = f64>, space: f64) -> Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let width = high - low;
    if width > 1e-9 * high.abs().max(low.abs()) {
        low - space * width..high + space * width
    } else if high == 0.0 || width.is_infinite() {
        -space..1.0
    } else {
        low - 0.5 * high.abs()..high + 0.5 * high.abs()
    }
}

/// The range of the vertical axis of `chart`.
fn heights(chart: &Chart) -> Range<f64> {
    let points = chart.curves.iter().flat_map(|c| &c.points).filter(|p| !p.raw.is_nan());
    around(points.map(|p| drawn(p.raw)), 0.06)
}

/// A value of `chart` for its legend, three digits finer than its axis is long.
pub fn value(chart: &Chart, value: f64) -> String {
    let range = heights(chart);
    rounded(value, (range.end - range.start) / 1000.0)
}

/// A number in few characters.
pub fn number(x: f64) -> String {
    rounded(x, x.abs() * 1e-4)
}

/// `x` in few characters, to about `unit`: what is smaller than that is 0.
fn rounded(x: f64, unit: f64) -> String {
    let size = x.abs();
    let decimals = (-unit.log10()).ceil().clamp(0.0, 9.0) as usize;
    match size {
        _ if size <= unit * 1e-3 || x == 0.0 => "0".to_owned(),
        _ if !(1e-3..1e5).contains(&size) => short(&format!("{x:.2e}")),
        _ => short(&format!("{x:.decimals$}")),
    }
}

/// The same number without zeros at the end of its fraction.
fn short(number: &str) -> String {
    let (digits, power) = number.split_once('e').map_or((number, String::new()), |(d, p)| (d, format!("e{p}")));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{}{power}", if digits == "-0" { "0" } else { digits })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use counterpoint::metrics::Metrics;

    use super::*;
    use crate::chart::charts;
    use crate::series::places;

    fn svgs(values: &[f64]) -> String {
        let metrics = |value: f64| {
            let mut metrics = Metrics::new();
            metrics.insert("reward", value);
            metrics
        };
        let history: Vec<(u64, Metrics)> = (0..).zip(values.iter().map(|v| metrics(*v))).collect();
        let charts = charts(&history, &places(&history));
        svg(&charts[0], Along::Steps, false, "steps").unwrap()
    }

    #[test]
    fn a_gap_splits_the_curve() {
        let lines = |values: &[f64]| svgs(values).matches(r##"stroke="#1F66D1" stroke-width="8" points"##).count();
        assert_eq!(lines(&[1.0, 2.0, 3.0, 4.0]), 1);
        assert_eq!(lines(&[1.0, 2.0, f64::NAN, 3.0, 4.0]), 2);
    }

    #[test]
    fn odd_values_are_drawn_too() {
        for values in [&[0.0][..], &[-3.0, -3.0], &[f64::MAX, f64::MIN], &[1e-300, 2e-300], &[1e300]] {
            let svg = svgs(values);
            assert_eq!(svg.matches("<circle").count(), values.len(), "{values:?}: {svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{values:?}: {svg}");
        }
    }

    #[test]
    fn text_is_text_and_there_is_no_address() {
        let svg = svgs(&[1.0, 2.0]);
        assert!(svg.contains("<text") && svg.contains("\nstep\n"), "{svg}");
        assert!(svg.contains("\nmean score\n"), "{svg}");
        assert!(!svg.contains("http"), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.25, 12.5, 1234.56, 2.5e-7, 3e6, -0.00001, -1.0, 100.0];
        let texts = ["0", "0.25", "12.5", "1234.6", "2.5e-7", "3e6", "-1e-5", "-1", "100"];
        assert_eq!(numbers.map(number), texts);
        // Ticks of a narrow axis differ, and what is left of 0 after rounding is 0.
        assert_eq!([1.0, 1.000_005, 1.000_01].map(|x| rounded(x, 1e-6)), ["1", "1.000005", "1.00001"]);
        assert_eq!(rounded(-1.36e-20, 1e-5), "0");
    }

    #[test]
    fn the_unit_of_time_suits_the_run() {
        let unit = |seconds| Along::time(seconds).title();
        let titles = ["wall-clock, s", "wall-clock, min", "wall-clock, h"];
        assert_eq!([unit(20.0), unit(600.0), unit(1e5)], titles);
    }
}
