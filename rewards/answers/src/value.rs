//! Whether two answers have the same value.
//!
//! The rules: `$`, `\boxed{}`, `\text{}`, spacing commands, `\left` and `\right`, a variable that is set (`x = 4`), a full stop at the end and
//! what follows a number in letters (its unit) say nothing. A number is built from digits, with commas at thousands and a decimal
//! point, a power of ten (`1e3`), number words up to ninety, `+ - * / ^ ( )`, `\frac`, `\sqrt`, `\times`, `\cdot`, `\div`, `\pi` and mixed
//! fractions; `50%` is 50 as well as 0.5. Whole numbers and fractions are compared exactly; where one is written with a decimal point,
//! to 1e-6. Lists in brackets are compared item by item, sets in braces in any order. All else is compared as text, without regard to
//! case and spaces.

use std::collections::BTreeSet;

/// Numbers that are written as words.
const WORDS: [(&str, i128); 28] = [
    ("zero", 0),
    ("one", 1),
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
    ("ten", 10),
    ("eleven", 11),
    ("twelve", 12),
    ("thirteen", 13),
    ("fourteen", 14),
    ("fifteen", 15),
    ("sixteen", 16),
    ("seventeen", 17),
    ("eighteen", 18),
    ("nineteen", 19),
    ("twenty", 20),
    ("thirty", 30),
    ("forty", 40),
    ("fifty", 50),
    ("sixty", 60),
    ("seventy", 70),
    ("eighty", 80),
    ("ninety", 90),
];

/// How far apart numbers with a decimal point may be.
const NEAR: f64 = 1e-6;
/// How deep brackets may be nested.
const DEEPEST: usize = 32;

/// Whether `answer` has the value of `gold`.
pub fn same_value(gold: &str, answer: &str) -> bool {
    same(&bare(gold), &bare(answer), 0)
}

fn same(gold: &str, answer: &str, depth: usize) -> bool {
    if let (Some((open, a)), Some((other, b))) = (items(gold), items(answer))
        && depth < DEEPEST
    {
        let equal = |a: &str, b: &str| same(a, b, depth + 1);
        return open == other
            && a.len() == b.len()
            && match open {
                '{' => {
                    // Each pair once: both ways would be twice the work at every depth.
                    let [a, b] = [a, b].map(|items| items.into_iter().collect::<BTreeSet<String>>());
                    let row = |a: &String| b.iter().map(|b| equal(a, b)).collect::<Vec<bool>>();
                    let equal: Vec<Vec<bool>> = a.iter().map(row).collect();
                    equal.iter().all(|row| row.contains(&true)) && (0..b.len()).all(|j| equal.iter().any(|row| row[j]))
                }
                _ => a.iter().zip(&b).all(|(a, b)| equal(a, b)),
            };
    }
    if let (Some(a), Some(b)) = (Parser::number(gold), Parser::number(answer)) {
        let forms = |(value, percent): (Value, bool)| {
            let hundredth = percent.then(|| value.divided(Value::whole(100))).flatten();
            [Some(value), hundredth].into_iter().flatten().collect::<Vec<_>>()
        };
        let (a, b) = (forms(a), forms(b));
        return a.iter().any(|a| b.iter().any(|b| a.is(*b)));
    }
    let text =
        |text: &str| text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect::<String>();
    text(gold) == text(answer)
}

/// Without what says nothing.
fn bare(text: &str) -> String {
    let mut text = text.replace('$', "");
    for nothing in
        ["\\left", "\\right", "\\,", "\\!", "\\;", "\\:", "\\(", "\\)", "\\ ", "^\\circ", "^{\\circ}", "\u{b0}"]
    {
        text = text.replace(nothing, "");
    }
    for wrapper in ["\\boxed{", "\\text{", "\\mathrm{", "\\mathbf{"] {
        while let Some(at) = text.find(wrapper) {
            let Some(end) = closing(&text[at + wrapper.len()..]) else { break };
            let inner = text[at + wrapper.len()..][..end].to_owned();
            text.replace_range(at..at + wrapper.len() + end + 1, &inner);
        }
    }
    let text = text.trim().trim_end_matches('.').trim();
    match text.split_once('=') {
        Some((name, value)) if !name.contains('=') && name.trim().chars().all(|c| c.is_alphabetic() || c == '_') => {
            value.trim().to_owned()
        }
        _ => text.to_owned(),
    }
}

/// Where the brace that is open at the beginning of `text` closes.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 1;
    text.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        (depth == 0).then_some(at)
    })
}

/// The opening bracket and the items of a list of two or more.
fn items(text: &str) -> Option<(char, Vec<String>)> {
    let inner = [("(", ")", '('), ("[", "]", '['), ("\\{", "\\}", '{')]
        .into_iter()
        .find_map(|(open, close, kind)| Some((kind, text.strip_prefix(open)?.strip_suffix(close)?)));
    let (kind, inner) = inner?;
    let (mut depth, mut items) = (0_i32, vec![String::new()]);
    for c in inner.chars() {
        depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
        match (c, depth) {
            (_, ..0) => return None,
            (',', 0) => items.push(String::new()),
            _ => items.last_mut()?.push(c),
        }
    }
    let items: Vec<String> = items.iter().map(|item| item.trim().to_owned()).collect();
    (items.len() > 1).then_some((kind, items))
}

/// A number, exact as long as it can be.
#[derive(Debug, Clone, Copy)]
enum Value {
    /// Numerator and denominator, which is above 0.
    Exact(i128, i128),
    /// Written with a decimal point, or no fraction.
    Real(f64),
}

impl Value {
    fn whole(number: i128) -> Self {
        Self::Exact(number, 1)
    }

    fn real(self) -> f64 {
        match self {
            Self::Exact(n, d) => n as f64 / d as f64,
            Self::Real(x) => x,
        }
    }

    fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Exact(a, b), Self::Exact(c, d)) => match (a.checked_mul(d), c.checked_mul(b)) {
                (Some(x), Some(y)) => x == y,
                _ => self.real() == other.real(),
            },
            _ => (self.real() - other.real()).abs() <= NEAR,
        }
    }

    fn times(self, other: Self) -> Self {
        let exact = match (self, other) {
            (Self::Exact(a, b), Self::Exact(c, d)) => a.checked_mul(c).zip(b.checked_mul(d)),
            _ => None,
        };
        exact.map_or_else(|| Self::Real(self.real() * other.real()), |(n, d)| Self::Exact(n, d))
    }

    fn plus(self, other: Self) -> Self {
        let exact = match (self, other) {
            (Self::Exact(a, b), Self::Exact(c, d)) => {
                a.checked_mul(d).zip(c.checked_mul(b)).and_then(|(x, y)| x.checked_add(y).zip(b.checked_mul(d)))
            }
            _ => None,
        };
        exact.map_or_else(|| Self::Real(self.real() + other.real()), |(n, d)| Self::Exact(n, d))
    }

    fn divided(self, by: Self) -> Option<Self> {
        let inverse = match by {
            Self::Exact(0, _) => return None,
            Self::Exact(n, d) => Self::Exact(d.checked_mul(n.signum())?, n.checked_abs()?),
            Self::Real(0.0) => return None,
            Self::Real(x) => Self::Real(1.0 / x),
        };
        Some(self.times(inverse))
    }

    fn power(self, exponent: Self) -> Option<Self> {
        let exact = match (self, exponent) {
            (Self::Exact(n, d), Self::Exact(e, 1)) if (0..=64).contains(&e) => {
                n.checked_pow(e as u32).zip(d.checked_pow(e as u32))
            }
            _ => None,
        };
        let value = exact.map_or_else(|| Self::Real(self.real().powf(exponent.real())), |(n, d)| Self::Exact(n, d));
        value.real().is_finite().then_some(value)
    }

    fn root(self) -> Option<Self> {
        let root = |x: i128| (0..1 << 20).contains(&x).then(|| x.isqrt()).filter(|root| root * root == x);
        match self {
            Self::Exact(n, d) if root(n).is_some() && root(d).is_some() => Some(Self::Exact(root(n)?, root(d)?)),
            _ => (self.real() >= 0.0).then(|| Self::Real(self.real().sqrt())),
        }
    }
}

/// Reads numbers.
struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    /// The number that `text` is, and whether it is one of a hundred; letters may follow it.
    fn number(text: &str) -> Option<(Value, bool)> {
        let text = text.trim();
        if let Some((_, number)) = WORDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)) {
            return Some((Value::whole(*number), false));
        }
        let mut parser = Parser { rest: text, depth: 0 };
        let value = parser.sum()?;
        let percent = parser.take("\\%") || parser.take("%");
        let unit = parser.rest.trim();
        let is_unit = unit.chars().all(|c| c.is_alphabetic() || c.is_whitespace());
        (is_unit && value.real().is_finite()).then_some((value, percent))
    }

    fn take(&mut self, what: &str) -> bool {
        let Some(rest) = self.rest.trim_start().strip_prefix(what) else { return false };
        self.rest = rest;
        true
    }

    fn sum(&mut self) -> Option<Value> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut value = self.product()?;
        loop {
            if self.take("+") {
                value = value.plus(self.product()?);
            } else if self.take("-") {
                value = value.plus(self.product()?.times(Value::whole(-1)));
            } else {
                self.depth -= 1;
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<Value> {
        let mut value = self.signed()?;
        loop {
            if ["*", "\\times", "\\cdot", "\u{d7}"].into_iter().any(|sign| self.take(sign)) {
                value = value.times(self.signed()?);
            } else if ["/", "\\div", "\u{f7}"].into_iter().any(|sign| self.take(sign)) {
                value = value.divided(self.signed()?)?;
            } else if self.rest.trim_start().starts_with("\\frac") && matches!(value, Value::Exact(_, 1)) {
                // A mixed fraction.
                let fraction = self.signed()?;
                let sign = if value.real() < 0.0 { -1 } else { 1 };
                value = value.plus(fraction.times(Value::whole(sign)));
            } else {
                return Some(value);
            }
        }
    }

    fn signed(&mut self) -> Option<Value> {
        if self.take("-") {
            return Some(self.powered()?.times(Value::whole(-1)));
        }
        self.take("+");
        self.powered()
    }

    fn powered(&mut self) -> Option<Value> {
        let value = self.atom()?;
        if !self.take("^") {
            return Some(value);
        }
        let exponent = self.argument()?;
        value.power(exponent)
    }

    /// What a command or a power is given: in braces, or one digit.
    fn argument(&mut self) -> Option<Value> {
        if self.take("{") {
            let value = self.sum()?;
            return self.take("}").then_some(value);
        }
        let digit = self.rest.trim_start().chars().next()?.to_digit(10)?;
        self.rest = &self.rest.trim_start()[1..];
        Some(Value::whole(i128::from(digit)))
    }

    fn atom(&mut self) -> Option<Value> {
        if ["\\dfrac", "\\tfrac", "\\frac"].into_iter().any(|command| self.take(command)) {
            let above = self.argument()?;
            return above.divided(self.argument()?);
        }
        if self.take("\\sqrt") {
            return self.argument()?.root();
        }
        if self.take("\\pi") || self.take("\u{3c0}") {
            return Some(Value::Real(std::f64::consts::PI));
        }
        for (open, close) in [("(", ")"), ("{", "}")] {
            if self.take(open) {
                let value = self.sum()?;
                return self.take(close).then_some(value);
            }
        }
        self.digits()
    }

    fn digits(&mut self) -> Option<Value> {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == ',' || c == '.')).unwrap_or(text.len());
        // A comma or full stop at the end is no part of it.
        let written = text[..end].trim_end_matches([',', '.']);
        let (whole, decimals) = written.split_once('.').map_or((written, None), |(w, d)| (w, Some(d)));
        let mut groups = whole.split(',');
        let first = groups.next()?;
        let thousands = groups.clone().count() > 0;
        if !groups.all(|group| group.len() == 3) || (thousands && !(1..=3).contains(&first.len())) {
            return None;
        }
        let number = whole.replace(',', "");
        if number.is_empty() && decimals.is_none_or(str::is_empty) {
            return None;
        }
        self.rest = &text[written.len()..];
        let exponent = self.exponent();
        match (decimals, exponent) {
            (None, None) => Some(
                number
                    .parse()
                    .map_or_else(|_| number.parse().map(Value::Real).ok(), |number| Some(Value::whole(number)))?,
            ),
            (decimals, exponent) => {
                let decimals = decimals.unwrap_or("0");
                if !decimals.chars().all(|c| c.is_ascii_digit()) {
                    return None;
                }
                let text = format!("{number}.{decimals}e{}", exponent.unwrap_or(0));
                text.trim_start_matches('.').parse().ok().map(Value::Real)
            }
        }
    }

    /// `e3` or `E-3` right after a number.
    fn exponent(&mut self) -> Option<i32> {
        let rest = self.rest.strip_prefix(['e', 'E'])?;
        let digits = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let end = rest.len() - digits.len() + length;
        let exponent = rest[..end].parse().ok()?;
        self.rest = &rest[end..];
        Some(exponent)
    }
}
